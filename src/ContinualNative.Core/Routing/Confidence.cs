namespace ContinualNative.Core.Routing;

/// <summary>
/// How sure the model was of one answer, from the logits of its own steps before temperature, penalties, bias and grammar.
/// All logarithms are natural.
/// </summary>
/// <param name="MeanLogProb">Mean log-probability of the tokens that were chosen; 0 for an empty answer.</param>
/// <param name="MinLogProb">The lowest of them; 0 for an empty answer.</param>
/// <param name="FirstTokenMargin">Probability of the likeliest first token less that of the second.</param>
/// <param name="MeanEntropy">Mean entropy of the next-token distribution, in nats.</param>
/// <param name="Tokens">How many tokens the figures cover.</param>
public readonly record struct Confidence(float MeanLogProb, float MinLogProb, float FirstTokenMargin, float MeanEntropy, int Tokens)
{
    /// <summary>One figure in (0, 1]: the geometric mean of the probabilities of the chosen tokens.</summary>
    public float Score => MathF.Exp(MeanLogProb);
}
