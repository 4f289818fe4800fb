namespace ContinualNative.Core.Routing;

/// <summary>The columns that the logistic model weighs, made from <see cref="RoutingFeatures"/> by fixed formulas.</summary>
internal static class FeatureBasis
{
    /// <summary>How many columns there are.</summary>
    public const int Count = 11;

    private const double LeastRisk = 0.02;

    /// <summary>
    /// What the model believes before it has seen a label, in log-odds per standard deviation of a column: surer is better, unlike what was learned is worse.
    /// With it the order of the first requests makes sense; the size matters little, because thresholds are set on the outcome.
    /// </summary>
    public static ReadOnlySpan<double> Prior => [0.3, 0.2, 0.2, -0.2, 0, 0, -0.2, -0.2, 0.3, -0.2, -0.3];

    /// <summary>Writes <see cref="Count"/> finite values, or NaN for one that is not known.</summary>
    public static void Write(in RoutingFeatures features, Span<double> columns)
    {
        double mean = Math.Clamp((double)features.MeanLogProb, -10, 0);
        double tokens = Math.Max(features.Tokens, 0);
        columns[0] = mean;
        columns[1] = -Math.Log(1 - Math.Clamp((double)features.MinLogProb, -100, 0));
        columns[2] = Math.Clamp((double)features.FirstTokenMargin, 0, 1);
        columns[3] = Math.Clamp((double)features.MeanEntropy, 0, 12);
        columns[4] = Math.Log(1 + tokens);
        columns[5] = Math.Log(1 + Math.Max((double)features.PromptTokens, 0));
        columns[6] = Math.Clamp((double)features.Novelty, 0, 2);
        columns[7] = features.Truncated ? 1 : 0;
        // A right answer needs every token right: the geometric mean of the tokens' probabilities, and (in logarithms) the surprise of all tokens together.
        columns[8] = Math.Exp(mean);
        columns[9] = Math.Log(1 - mean * tokens);
        // Log-odds; a word that was right a hundred times is hardly better proven than one that was right thirty times.
        double risk = Math.Clamp((double)features.WordRisk, LeastRisk, 1 - LeastRisk);
        columns[10] = Math.Log(risk / (1 - risk));
    }
}
