namespace ContinualNative.Training;

/// <summary>What kind of failure a <see cref="TrainingException"/> tells of.</summary>
public enum TrainingError
{
    /// <summary>An option that can't be.</summary>
    BadOption,

    /// <summary>Data that nothing can be learned from.</summary>
    BadData,

    /// <summary>A checkpoint of another run, or none, or one that a new run would overwrite.</summary>
    Checkpoint,

    /// <summary>A checkpoint that can't be written.</summary>
    CheckpointNotWritten,

    /// <summary>The model's file is not what it was when training began.</summary>
    ModelChanged,

    /// <summary>Gradients or losses that are not finite, again and again.</summary>
    NotFinite,
}

/// <summary>Training that can't start or go on; the message says what to do.</summary>
public sealed class TrainingException : Exception
{
    /// <summary>Creates the failure; <paramref name="option"/> is the option at fault as the command line spells it, without dashes, or null.</summary>
    public TrainingException(TrainingError error, string message, string? option = null, Exception? inner = null)
        : base(message, inner)
    {
        Error = error;
        Option = option;
    }

    /// <summary>The kind of failure.</summary>
    public TrainingError Error { get; }

    /// <summary>The option at fault, or null.</summary>
    public string? Option { get; }
}

/// <summary>Training was cancelled between two steps' worth of work; a checkpoint was written.</summary>
public sealed class TrainingInterruptedException : OperationCanceledException
{
    /// <summary>Creates it.</summary>
    public TrainingInterruptedException(int step, int steps, string checkpoint, Exception inner, CancellationToken cancellationToken)
        : base($"Training was interrupted after step {step} of {steps}. A checkpoint is in '{checkpoint}'.", inner, cancellationToken)
    {
        Step = step;
        Checkpoint = checkpoint;
    }

    /// <summary>Steps done.</summary>
    public int Step { get; }

    /// <summary>The checkpoint's folder.</summary>
    public string Checkpoint { get; }
}
