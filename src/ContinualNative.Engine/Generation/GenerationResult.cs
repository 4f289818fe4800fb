using ContinualNative.Core.Routing;

namespace ContinualNative.Engine.Generation;

/// <summary>What is known of an answer once it has ended.</summary>
public sealed record GenerationResult
{
    /// <summary>Why it ended.</summary>
    public required FinishReason FinishReason { get; init; }

    /// <summary>Tokens of the prompt.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>How many of them came from the prefix cache.</summary>
    public required int CachedTokens { get; init; }

    /// <summary>Tokens generated, the ending one included.</summary>
    public required int CompletionTokens { get; init; }

    /// <summary>The adapter that answered: an id, or <c>base</c>.</summary>
    public required string Adapter { get; init; }

    /// <summary>How sure the model was.</summary>
    public required Confidence Confidence { get; init; }

    /// <summary>The stop text that ended it, or null.</summary>
    public string? StopText { get; init; }

    /// <summary>From arrival to the start of the prompt's computation.</summary>
    public TimeSpan QueueTime { get; init; }

    /// <summary>From arrival to the first token.</summary>
    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>From arrival to the end.</summary>
    public TimeSpan Total { get; init; }
}

/// <summary>Log-probability of one token.</summary>
/// <param name="Token">The token's id.</param>
/// <param name="LogProb">Natural logarithm of its probability under the bare model, before temperature, penalties and grammar.</param>
public readonly record struct TokenLogProb(int Token, float LogProb);

/// <summary>A chosen token with its log-probability and the likeliest tokens of its step, most likely first.</summary>
public sealed record TokenInfo(int Token, float LogProb, IReadOnlyList<TokenLogProb> Top);

/// <summary>Text that has become final, with the tokens chosen meanwhile.</summary>
/// <param name="Text">Whole characters only; may be empty when tokens were chosen but no text is final yet.</param>
/// <param name="TokenCount">Tokens chosen since the previous chunk.</param>
/// <param name="Tokens">Their log-probabilities; empty unless asked for.</param>
public sealed record GenerationChunk(string Text, int TokenCount, IReadOnlyList<TokenInfo> Tokens);
