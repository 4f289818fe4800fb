namespace ContinualNative.Core.Economics;

/// <summary>What money was spent on. The numbers are stored.</summary>
public enum LedgerKind
{
    /// <summary>Answers of the local model: seconds of this machine.</summary>
    Serving = 0,

    /// <summary>Requests answered by a frontier model.</summary>
    Escalation = 1,

    /// <summary>Labels asked for off the request's path, judges included.</summary>
    Teaching = 2,

    /// <summary>Seconds of training.</summary>
    Training = 3,

    /// <summary>What a frontier model would have charged for a request that was answered locally; never paid, kept to compare with.</summary>
    Avoided = 4,
}

/// <summary>One cost.</summary>
public sealed record LedgerEntry
{
    public required DateTimeOffset At { get; init; }

    public required LedgerKind Kind { get; init; }

    public required Money Amount { get; init; }

    /// <summary>The request that it belongs to, or null.</summary>
    public string? RequestId { get; init; }

    /// <summary>The endpoint that was paid; empty for this machine.</summary>
    public string Endpoint { get; init; } = "";

    public string Task { get; init; } = "";

    public int PromptTokens { get; init; }

    public int CachedTokens { get; init; }

    public int CompletionTokens { get; init; }

    /// <summary>Seconds of this machine, for serving and training.</summary>
    public double Seconds { get; init; }
}
