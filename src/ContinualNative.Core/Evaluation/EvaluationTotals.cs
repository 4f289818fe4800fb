namespace ContinualNative.Core.Evaluation;

/// <summary>Sums over the examples of an evaluation, in double precision. Not thread-safe.</summary>
public sealed class EvaluationTotals
{
    private double _weightedLoss;
    private double _weightedTokens;

    /// <summary>Examples added.</summary>
    public int Examples { get; private set; }

    /// <summary>Examples whose answer was the target.</summary>
    public int ExactMatches { get; private set; }

    /// <summary>Target tokens scored.</summary>
    public long Tokens { get; private set; }

    /// <summary>Prompt tokens of the examples.</summary>
    public long PromptTokens { get; private set; }

    /// <summary>Tokens generated.</summary>
    public long GeneratedTokens { get; private set; }

    /// <summary>
    /// Weighted mean over all target tokens of −ln p: Σ wᵢ Σₜ −ln pᵢₜ ÷ Σ wᵢ nᵢ, where i runs over examples and t over the nᵢ target tokens
    /// of one. NaN when no example has a weight; infinite when a target token was impossible.
    /// </summary>
    public double Loss => _weightedTokens > 0 ? _weightedLoss / _weightedTokens : double.NaN;

    /// <summary>e to the power of <see cref="Loss"/>.</summary>
    public double Perplexity => Math.Exp(Loss);

    /// <summary>Share of the examples whose answer was the target, unweighted; NaN for none.</summary>
    public double ExactMatch => Examples > 0 ? (double)ExactMatches / Examples : double.NaN;

    /// <summary>−Σ ln p of one example's target tokens.</summary>
    public static double NegativeLogLikelihood(ReadOnlySpan<float> logProbs)
    {
        double sum = 0;
        foreach (float logProb in logProbs)
        {
            sum -= logProb;
        }
        return sum;
    }

    /// <summary>Whether an answer is the target, white space around both aside.</summary>
    public static bool IsExact(string answer, string target)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(target);
        return answer.AsSpan().Trim().SequenceEqual(target.AsSpan().Trim());
    }

    /// <summary>Adds an example.</summary>
    public void Add(double weight, double negativeLogLikelihood, int targetTokens, int promptTokens, int generatedTokens, bool exact)
    {
        Examples++;
        Tokens += targetTokens;
        PromptTokens += promptTokens;
        GeneratedTokens += generatedTokens;
        ExactMatches += exact ? 1 : 0;
        // A weight of 0 must not turn an infinite loss into NaN.
        if (weight > 0)
        {
            _weightedLoss += weight * negativeLogLikelihood;
            _weightedTokens += weight * targetTokens;
        }
    }
}
