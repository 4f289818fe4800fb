using ContinualNative.Engine.Gguf;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>What <c>continual pretrain</c> was told.</summary>
internal sealed record PretrainRequest
{
    public required IReadOnlyList<string> Corpus { get; init; }

    public required string Out { get; init; }

    /// <summary>Largest vocabulary.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>The model, but for its vocabulary.</summary>
    public required SyntheticShape Shape { get; init; }

    /// <summary>How the result is written.</summary>
    public required GgmlType Type { get; init; }

    /// <summary>Null: 256 or the model's context, whichever is less.</summary>
    public int? SequenceLength { get; init; }

    /// <summary>Null: beside the model.</summary>
    public string? Checkpoint { get; init; }

    public required TrainingOptions Options { get; init; }

    public bool Resume { get; init; }

    public bool ParityCheck { get; init; } = true;
}
