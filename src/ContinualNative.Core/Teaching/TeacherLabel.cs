using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>Why a teacher was asked. The numbers are stored.</summary>
public enum LabelReason
{
    /// <summary>The request was routed up; the client got this answer.</summary>
    Escalated = 0,

    /// <summary>It is in the random audit sample.</summary>
    Audit = 1,

    /// <summary>Its outcome was bad.</summary>
    Failure = 2,

    /// <summary>The local model was unsure.</summary>
    Uncertain = 3,

    /// <summary>Its prompt is unlike what was labelled before.</summary>
    Novel = 4,

    /// <summary>The teacher has a new version, and this is golden or recent holdout.</summary>
    Relabel = 5,

    /// <summary>Drawn at random, to compare the other reasons with.</summary>
    Random = 6,

    /// <summary>Drawn at random among held-out requests, for a cycle's gate to judge on.</summary>
    Gate = 7,
}

/// <summary>A teacher's answer to a stored request.</summary>
public sealed record TeacherLabel
{
    public required string RequestId { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>The endpoint's configured name.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The model and version that the endpoint says it answered with.</summary>
    public required string Teacher { get; init; }

    public required LabelReason Reason { get; init; }

    /// <summary>The answer, redacted, in the form of <see cref="Traffic.RequestRecord.LocalAnswer"/>; null where texts are not recorded.</summary>
    public string? Answer { get; init; }

    /// <summary>How far the local answer agrees, 0 to 1, by the task's measure; null without a local answer.</summary>
    public double? Agreement { get; init; }

    /// <summary>Whether that counts as right; null without a local answer.</summary>
    public bool? Correct { get; init; }

    /// <summary>The name of the measure.</summary>
    public string Measure { get; init; } = "";

    /// <summary>Log-probabilities as the endpoint gave them (OpenAI's <c>logprobs.content</c>), or null.</summary>
    public string? LogProbs { get; init; }

    public int PromptTokens { get; init; }

    public int CachedTokens { get; init; }

    public int CompletionTokens { get; init; }

    public Money Cost { get; init; }

    public TimeSpan Latency { get; init; }

    /// <summary>Whether the endpoint's terms allow training on its answers.</summary>
    public bool TrainingAllowed { get; init; }
}
