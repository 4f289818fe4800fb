using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>A stored request that a teacher could be asked about, and has not answered yet.</summary>
public sealed record TeachingCandidate
{
    /// <summary>Position in the order of arrival; larger is newer.</summary>
    public required long Sequence { get; init; }

    public required string RequestId { get; init; }

    public required string Task { get; init; }

    /// <summary>Calibrated probability that the local answer is right, or null where none was estimated.</summary>
    public double? PCorrect { get; init; }

    /// <summary>Cosine distance to the nearest prompts that the model learned from, 0 to 2, or null.</summary>
    public double? Novelty { get; init; }

    /// <summary>Whether it is in the random audit sample.</summary>
    public bool Audited { get; init; }

    /// <summary>Whether its outcome was bad.</summary>
    public bool Failed { get; init; }

    /// <summary>The cluster of its prompt, or null.</summary>
    public long? Cluster { get; init; }

    /// <summary>What the teacher's answer is expected to cost, 0 or more.</summary>
    public Money EstimatedCost { get; init; }
}

/// <summary>A request to ask the teacher about.</summary>
/// <param name="Candidate">The request.</param>
/// <param name="Reason">Why.</param>
/// <param name="Value">What it was ranked by within its reason; comparable there only.</param>
public readonly record struct TeachingPick(TeachingCandidate Candidate, LabelReason Reason, double Value);
