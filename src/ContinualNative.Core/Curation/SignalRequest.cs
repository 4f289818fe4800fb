using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Curation;

/// <summary>What curation chooses by, without any text: one for each stored request that could teach something.</summary>
/// <param name="Sequence">Position in the order of arrival.</param>
/// <param name="RequestId">The request.</param>
/// <param name="At">When it came.</param>
/// <param name="Task">Its task.</param>
/// <param name="KeyId">The API key that it came with, or null.</param>
/// <param name="Labelled">Whether a teacher answered it.</param>
/// <param name="Reported">Whether an outcome was reported for it.</param>
/// <param name="Golden">Whether it is marked as golden.</param>
/// <param name="PCorrect">The router's estimate that its local answer is right, or null.</param>
/// <param name="Audited">Whether it is in the random audit sample: what is measured on is never trained on.</param>
public readonly record struct SignalKey(
    long Sequence, string RequestId, DateTimeOffset At, string Task, string? KeyId, bool Labelled, bool Reported, bool Golden, double? PCorrect, bool Audited = false);

/// <summary>One stored request with its texts, labels and outcomes, as curation and evaluation read it. All texts are redacted.</summary>
public sealed record SignalRequest
{
    public required SignalKey Key { get; init; }

    /// <summary>The request as JSON, as <see cref="RequestRecord.Prompt"/>.</summary>
    public required string Prompt { get; init; }

    /// <summary>The local model's answer, or null.</summary>
    public string? LocalAnswer { get; init; }

    /// <summary>The adapter that gave it.</summary>
    public required string Adapter { get; init; }

    /// <summary>The model whose answer the client got: outcomes are about that one.</summary>
    public required Route Route { get; init; }

    /// <summary>Whether it is in the random audit sample.</summary>
    public bool Audited => Key.Audited;

    /// <summary>The probability with which it was drawn into the random audit sample; 0: it was not to be drawn.</summary>
    public double AuditProbability { get; init; }

    /// <summary>Embedding of the prompt; may be empty.</summary>
    public ReadOnlyMemory<float> Embedding { get; init; }

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<TeacherLabel> Labels { get; init; } = [];

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<Outcome> Outcomes { get; init; } = [];

    /// <summary>Whether its outcomes contradict each other.</summary>
    public bool Contradicted { get; init; }
}
