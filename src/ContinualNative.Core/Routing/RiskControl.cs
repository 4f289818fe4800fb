namespace ContinualNative.Core.Routing;

/// <summary>
/// Conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022, arXiv 2208.02814) of the share of requests that get a wrong local answer.
/// <para>
/// The loss of a request at threshold t is 1 when its probability p is at least t (so that it is answered locally) and its local answer is wrong, else 0: it never
/// rises with t, and is bounded by B = 1. With n samples that are exchangeable with the next request, and probabilities from a model that was fitted to other
/// data, the smallest t with (n·R̂(t) + B) ÷ (n + 1) ≤ target gives E[loss of the next request] ≤ target (theorem 1). The expectation is over the samples and the
/// request: it is a statement about the mean over calibrations, not about each one.
/// </para>
/// <para>
/// Weighted: w of a sample in place of 1, and the largest weight for the next request, as for a shift by a known factor (there, under distribution shift) and for weights that fade with age
/// (Farinhas, Zerva, Ulmer, Martins 2023, arXiv 2310.01262). Equal weights give the formula above.
/// </para>
/// </summary>
public static class RiskControl
{
    /// <summary>The smallest probability that is answered locally, 0 (all) to 1 (none: no probability reaches 1); null when there are too few samples for the target: 1 ÷ (n + 1) > target.</summary>
    /// <param name="predicted">Probability that the local answer is right, below 1, of each sample.</param>
    /// <param name="correct">Whether it was.</param>
    /// <param name="weights">Weights above 0, or empty for equal ones.</param>
    /// <param name="target">Above 0 and below 1.</param>
    public static double? Threshold(ReadOnlySpan<double> predicted, ReadOnlySpan<bool> correct, ReadOnlySpan<double> weights, double target)
    {
        int n = predicted.Length;
        double total = 0, largest = 0;
        double[] wrong = new double[n];
        double[] wrongWeights = new double[n];
        int count = 0;
        for (int i = 0; i < n; i++)
        {
            double weight = weights.IsEmpty ? 1 : weights[i];
            total += weight;
            largest = Math.Max(largest, weight);
            if (!correct[i])
            {
                // Negative, so that sorting puts the surest first.
                wrong[count] = -predicted[i];
                wrongWeights[count++] = weight;
            }
        }
        // The sum of the weights of wrong samples that may stay local. A rounding error must not cost the last one: 0.05 · 20 − 1 is 0.
        double room = target * (total + largest) - largest + 1e-9 * largest;
        if (n == 0 || room < 0)
        {
            return null;
        }
        Array.Sort(wrong, wrongWeights, 0, count);
        double held = 0;
        for (int i = 0; i < count; i++)
        {
            held += wrongWeights[i];
            if (held > room)
            {
                // Just above this one, and so above all that tie with it: the loss is right-continuous in t, as the theorem asks.
                return Math.Min(Math.BitIncrement(-wrong[i]), 1);
            }
        }
        return 0;
    }
}
