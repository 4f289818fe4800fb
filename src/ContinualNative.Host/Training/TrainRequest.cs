using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>What <c>continual train</c> was told.</summary>
internal sealed record TrainRequest
{
    public required string Model { get; init; }

    public required string Data { get; init; }

    public required string Out { get; init; }

    public string? Initial { get; init; }

    public string? Validation { get; init; }

    public string? ChatTemplate { get; init; }

    /// <summary>Null: beside the adapter.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>Null: 256 or the model's context, whichever is less.</summary>
    public int? SequenceLength { get; init; }

    public required TrainingOptions Options { get; init; }

    public bool Resume { get; init; }

    public bool Peft { get; init; }

    public bool ParityCheck { get; init; } = true;
}
