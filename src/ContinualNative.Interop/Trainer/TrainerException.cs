namespace ContinualNative.Interop.Trainer;

/// <summary>The trainer refused or failed; the message says why and what to do.</summary>
public sealed class TrainerException : Exception
{
    /// <summary>Creates the failure of <paramref name="operation"/>.</summary>
    public TrainerException(TrainerStatus status, string operation, string message)
        : base(message)
    {
        Status = status;
        Operation = operation;
    }

    /// <summary>The kind of failure.</summary>
    public TrainerStatus Status { get; }

    /// <summary>The native function that failed.</summary>
    public string Operation { get; }
}
