using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Storage;

/// <summary>Everything that is kept of one request. After an erasure, texts and people are null and <see cref="Erased"/> is set.</summary>
public sealed record StoredRequest
{
    /// <summary>Position in the order of arrival.</summary>
    public required long Sequence { get; init; }

    public required RequestRecord Request { get; init; }

    public bool Erased { get; init; }

    /// <summary>Whether its texts were removed because of their age.</summary>
    public bool Expired { get; init; }

    /// <summary>Whether it is marked as golden.</summary>
    public bool Golden { get; init; }

    /// <summary>What was spent on it, oldest first.</summary>
    public IReadOnlyList<LedgerEntry> Costs { get; init; } = [];

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<Outcome> Outcomes { get; init; } = [];

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<TeacherLabel> Labels { get; init; } = [];

    /// <summary>Whether its outcomes contradict each other.</summary>
    public bool Contradicted { get; init; }

    /// <summary>Adapters whose training data held it.</summary>
    public IReadOnlyList<string> SeenBy { get; init; } = [];
}

/// <summary>A stored request that a teacher could be asked about.</summary>
/// <param name="Sequence">Position in the order of arrival.</param>
/// <param name="RequestId">The request.</param>
/// <param name="Task">Its task.</param>
/// <param name="PCorrect">The router's estimate, or null.</param>
/// <param name="Novelty">Distance to what was learned, or null.</param>
/// <param name="Audited">Whether it is in the audit sample and still lacks its label.</param>
/// <param name="Failed">Whether its latest outcome is bad (rejected, or corrected without a correction that can be used, or a score below one half).</param>
/// <param name="Embedding">Of the prompt; may be empty.</param>
public sealed record UnlabelledRequest(long Sequence, string RequestId, string Task, double? PCorrect, float? Novelty, bool Audited, bool Failed, ReadOnlyMemory<float> Embedding);

/// <summary>What an erasure did.</summary>
/// <param name="Requests">Requests whose texts were removed.</param>
/// <param name="Adapters">Adapters whose training data held any of them: they still carry what they learned.</param>
public sealed record ErasureResult(long Requests, IReadOnlyList<string> Adapters);

/// <summary>Totals for <c>/metrics</c>.</summary>
public sealed record StoreStatistics
{
    public long Requests { get; init; }

    public long Outcomes { get; init; }

    public long Labels { get; init; }

    /// <summary>Writes that wait.</summary>
    public int Queued { get; init; }

    /// <summary>Records that were given up: the disk was full or the file unavailable for too long.</summary>
    public long Dropped { get; init; }

    /// <summary>Records that had no place: labels of unknown or erased requests, and requests whose id was stored already.</summary>
    public long Ignored { get; init; }

    public long Commits { get; init; }

    /// <summary>Bytes of the database and its write-ahead log.</summary>
    public long Bytes { get; init; }

    /// <summary>Why writing fails at the moment, or null.</summary>
    public StoreError? Failing { get; init; }
}
