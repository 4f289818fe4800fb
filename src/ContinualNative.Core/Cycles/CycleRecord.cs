namespace ContinualNative.Core.Cycles;

/// <summary>Where an update cycle is. The numbers are stored. The first five are steps that a restarted server takes up again; the others are ends.</summary>
public enum CycleState
{
    Curating = 0,
    Training = 1,
    Evaluating = 2,
    Shadow = 3,
    Canary = 4,

    /// <summary>Its adapter became champion.</summary>
    Promoted = 10,

    /// <summary>Its adapter was refused, or there was nothing to learn; <see cref="CycleRecord.Outcome"/> says why.</summary>
    Rejected = 11,

    Cancelled = 12,

    /// <summary>Something went wrong that is no verdict on the adapter: a full disk, a broken file.</summary>
    Failed = 13,
}

/// <summary>What set a cycle off. The numbers are stored.</summary>
public enum CycleTrigger
{
    Manual = 0,
    Schedule = 1,
    Labels = 2,
    Drift = 3,
    NewTeacher = 4,
}

/// <summary>One update cycle as the store knows it.</summary>
public sealed record CycleRecord
{
    /// <summary>1 or more.</summary>
    public required long Id { get; init; }

    public required CycleState State { get; init; }

    public required CycleTrigger Trigger { get; init; }

    /// <summary>What set it off, for people.</summary>
    public string Cause { get; init; } = "";

    /// <summary>The champion when it began; the candidate is compared with it.</summary>
    public required string Champion { get; init; }

    /// <summary>The adapter that it trains.</summary>
    public required string Candidate { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>When <see cref="State"/> was entered.</summary>
    public required DateTimeOffset ChangedAt { get; init; }

    /// <summary>Requests up to this position were there when it curated; fresh evidence comes after it. 0: not curated yet.</summary>
    public long Sequence { get; init; }

    /// <summary>What each finished step left, as one JSON object by the step's name (<c>curate</c>, <c>train</c>, <c>evaluate</c>, <c>shadow</c>, <c>canary</c>).</summary>
    public string Detail { get; init; } = "{}";

    /// <summary>Why it ended as it did, for people; empty while it runs.</summary>
    public string Outcome { get; init; } = "";

    /// <summary>Whether it still runs.</summary>
    public bool IsActive => State < CycleState.Promoted;
}
