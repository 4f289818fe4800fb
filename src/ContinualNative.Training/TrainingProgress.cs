namespace ContinualNative.Training;

/// <summary>How far a run is.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps of the whole run.</param>
/// <param name="Epoch">The epoch, from 1.</param>
/// <param name="Epochs">Epochs of the run.</param>
/// <param name="Loss">Mean over the last steps, in nats a token, or a pair.</param>
/// <param name="LearningRate">Of the last step.</param>
/// <param name="GradientNorm">Of the last step, before clipping.</param>
/// <param name="TokensPerSecond">Since this process began to train, validation left out.</param>
/// <param name="TimeLeft">At that rate, without validation.</param>
/// <param name="Skipped">Steps skipped.</param>
/// <param name="ValidationLoss">The last, or NaN.</param>
public sealed record TrainingProgress(
    int Step,
    int Steps,
    int Epoch,
    int Epochs,
    double Loss,
    double LearningRate,
    double GradientNorm,
    double TokensPerSecond,
    TimeSpan TimeLeft,
    int Skipped,
    double ValidationLoss);

/// <summary>What a run came to; over all processes that it took.</summary>
public sealed record TrainingResult
{
    /// <summary>Steps of AdamW.</summary>
    public required int Steps { get; init; }

    /// <summary>Steps whose gradient was not finite, among them.</summary>
    public required int Skipped { get; init; }

    /// <summary>Tokens trained on.</summary>
    public required long Tokens { get; init; }

    /// <summary>Of them, those that carried a loss.</summary>
    public required long Targets { get; init; }

    /// <summary>Share of those whose likeliest token was the target, over the whole run.</summary>
    public required double Accuracy { get; init; }

    /// <summary>Mean loss of the first step.</summary>
    public required double FirstLoss { get; init; }

    /// <summary>Mean over the last 20 steps.</summary>
    public required double LastLoss { get; init; }

    /// <summary>Every validation, the one before the first step included.</summary>
    public required IReadOnlyList<ValidationPoint> Validations { get; init; }

    /// <summary>The step whose parameters are the result: the best on validation, or the last.</summary>
    public required int BestStep { get; init; }

    /// <summary>Its validation loss, or NaN.</summary>
    public required double BestLoss { get; init; }

    /// <summary>Whether patience ended the run.</summary>
    public required bool StoppedEarly { get; init; }

    /// <summary>Seconds of training, validation included.</summary>
    public required double Seconds { get; init; }

    /// <summary>Tokens trained on per second, of this process, validation left out.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>Checkpoints that could not be written; the run went on without.</summary>
    public required int CheckpointFailures { get; init; }

    /// <summary>Why the last of them failed, or null.</summary>
    public required string? CheckpointFailure { get; init; }
}
