namespace ContinualNative.Core.Traffic;

/// <summary>What became of an answer in production. The numbers are stored.</summary>
public enum OutcomeKind
{
    Accepted = 0,
    Rejected = 1,
    Corrected = 2,

    /// <summary>Only a score was given.</summary>
    Scored = 3,
}

/// <summary>One report of what became of an answer.</summary>
public sealed record Outcome
{
    public required string RequestId { get; init; }

    public required OutcomeKind Kind { get; init; }

    /// <summary>The right answer, redacted; only with <see cref="OutcomeKind.Corrected"/>.</summary>
    public string? Correction { get; init; }

    /// <summary>0 (useless) to 1 (perfect), or null.</summary>
    public double? Score { get; init; }

    /// <summary>Who or what says so, in the client's words; may be empty.</summary>
    public string Source { get; init; } = "";

    /// <summary>When it was received.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>Id of the API key that reported it, or null.</summary>
    public string? KeyId { get; init; }
}

/// <summary>What the store made of an <see cref="Outcome"/>.</summary>
public enum OutcomeVerdict
{
    /// <summary>Stored, on disk.</summary>
    Stored,

    /// <summary>The same report is stored already; nothing was added.</summary>
    Duplicate,

    /// <summary>Stored, and flagged: it contradicts an earlier report of the same request (accepted against rejected or corrected).</summary>
    Contradicts,

    /// <summary>Not stored: there is no such request.</summary>
    UnknownRequest,

    /// <summary>Not stored: the request's data were erased or have expired.</summary>
    ErasedRequest,

    /// <summary>Not stored, and the key is flagged: it sent more reports than its cap allows.</summary>
    Capped,
}
