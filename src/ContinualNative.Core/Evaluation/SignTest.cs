namespace ContinualNative.Core.Evaluation;

/// <summary>Exact binomial probabilities of fair flips.</summary>
internal static class SignTest
{
    /// <summary>P(X ≥ losses) for X ~ Binomial(wins + losses, ½): how likely so many losses are where a loss is as likely as a win. For one look only.</summary>
    public static double PValue(int wins, int losses)
    {
        int n = wins + losses;
        // From the largest term outwards by ratios, as 2⁻ⁿ alone is 0 beyond some thousand.
        double log = 0;
        for (int k = 1; k <= wins; k++)
        {
            log += Math.Log((double)(losses + k) / k);
        }
        double term = Math.Exp(log - n * Math.Log(2)), sum = term;
        for (int k = losses; k < n; k++)
        {
            term *= (double)(n - k) / (k + 1);
            sum += term;
        }
        return Math.Min(sum, 1);
    }
}
