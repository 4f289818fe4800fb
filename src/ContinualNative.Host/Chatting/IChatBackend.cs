using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Chatting;

/// <summary>What answers a terminal chat: a model in this process (<see cref="EngineChat"/>) or a server (<see cref="HttpChat"/>).</summary>
internal interface IChatBackend : IAsyncDisposable
{
    /// <summary>Who answers, for the greeting.</summary>
    string Description { get; }

    /// <summary>False when there is no chat template, so that each message is continued as plain text, by itself.</summary>
    bool IsChat { get; }

    /// <summary>
    /// The answer's text as it comes; <paramref name="stats"/> is filled by its end, whether it ends or is cancelled. With
    /// <paramref name="spacious"/>, chats that leave little room for an answer are refused. Throws <see cref="ContextFullException"/> before
    /// any text, <see cref="ChatFailedException"/> for all else.
    /// </summary>
    IAsyncEnumerable<string> AnswerAsync(IReadOnlyList<ChatMessage> messages, ChatSettings settings, bool spacious, AnswerStats stats, CancellationToken cancellationToken);

    /// <summary>Makes an adapter answer from now on: an id, <c>base</c>, or the path of a file where files can be loaded. Gives what to tell the user.</summary>
    Task<string> UseAdapterAsync(string adapter, CancellationToken cancellationToken);
}

/// <summary>How answers are drawn.</summary>
internal sealed record ChatSettings(float? Temperature, int? MaxTokens, ulong? Seed);

/// <summary>What is known of an answer.</summary>
internal sealed class AnswerStats
{
    public int PromptTokens { get; set; }

    public int CachedTokens { get; set; }

    public int Tokens { get; set; }

    /// <summary>Geometric mean of the probabilities of the tokens chosen; null when unknown.</summary>
    public double? Confidence { get; set; }

    /// <summary>Tokens a second after the first; null when there were none.</summary>
    public double? Rate { get; set; }

    /// <summary>Whether the answer was cut by a limit.</summary>
    public bool Cut { get; set; }
}

/// <summary>The chat doesn't fit into the context.</summary>
internal sealed class ContextFullException(string message) : Exception(message);

/// <summary>An answer that could not be had; the message says why and what to do.</summary>
internal sealed class ChatFailedException(string message, Exception? inner = null) : Exception(message, inner);
