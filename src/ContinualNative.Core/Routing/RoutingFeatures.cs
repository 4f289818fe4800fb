namespace ContinualNative.Core.Routing;

/// <summary>What the router knows of a local answer (or of its beginning) when it judges it. Log-probabilities and entropies are in nats.</summary>
/// <param name="MeanLogProb">Mean log-probability of the chosen tokens.</param>
/// <param name="MinLogProb">The lowest of them.</param>
/// <param name="FirstTokenMargin">Probability of the likeliest first token less that of the second.</param>
/// <param name="MeanEntropy">Mean entropy of the next-token distribution.</param>
/// <param name="Tokens">Tokens that these figures cover.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="Novelty">Cosine distance, 0 to 2, of the prompt's embedding to the nearest prompts that the model learned from; 1 when it learned from none.</param>
/// <param name="Truncated">Whether the answer ended because it ran out of tokens.</param>
/// <param name="Early">Whether only the beginning of the answer was seen, as for streams that are judged before their first byte.</param>
/// <param name="WordRisk">Risk of the prompt's least proven word, 0 to 1, by <see cref="WordRiskIndex"/>; NaN when it is not known.</param>
public readonly record struct RoutingFeatures(
    float MeanLogProb,
    float MinLogProb,
    float FirstTokenMargin,
    float MeanEntropy,
    int Tokens,
    int PromptTokens,
    float Novelty,
    bool Truncated,
    bool Early,
    float WordRisk = float.NaN)
{
    /// <summary>The features of an answer.</summary>
    public static RoutingFeatures Of(in Confidence confidence, int promptTokens, float novelty, bool truncated, bool early, float wordRisk = float.NaN) => new(
        Finite(confidence.MeanLogProb),
        Finite(confidence.MinLogProb),
        Finite(confidence.FirstTokenMargin),
        Finite(confidence.MeanEntropy),
        confidence.Tokens,
        promptTokens,
        Finite(novelty),
        truncated,
        early,
        wordRisk);

    // A grammar can force a token that the model thinks impossible: its log-probability is −∞, which no linear model can weigh.
    private static float Finite(float value) => float.IsNaN(value) ? 0 : Math.Clamp(value, -100f, 100f);
}
