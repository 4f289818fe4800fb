using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Evaluation;

/// <summary>
/// One line of a JSONL data set: a chat whose last message is the assistant's and is the target, or a raw prompt with its completion.
/// </summary>
public sealed record Example
{
    /// <summary>The line in its file, from 1.</summary>
    public required int Line { get; init; }

    /// <summary>The line's <c>id</c>, or null.</summary>
    public string? Id { get; init; }

    /// <summary>How much the line counts in the loss; 0 or more.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>The chat, or null for raw text.</summary>
    public IReadOnlyList<ChatMessage>? Messages { get; init; }

    /// <summary>Raw text: what the model is given; empty for a chat.</summary>
    public string Prompt { get; init; } = "";

    /// <summary>What the model should write: the last message's content, or the completion. Never empty.</summary>
    public required string Target { get; init; }

    /// <summary>An answer that is worse than <see cref="Target"/>, for training on preferences; null for none. Never empty.</summary>
    public string? Rejected { get; init; }
}
