namespace ContinualNative.Interop.Trainer;

/// <summary>The statuses <c>CN_ERROR_*</c> of <c>continual_native.h</c>.</summary>
public enum TrainerStatus
{
    /// <summary>An argument or option is out of its range.</summary>
    Argument = 1,

    /// <summary>An exception that nobody expected.</summary>
    Exception = 2,

    /// <summary>No memory.</summary>
    OutOfMemory = 3,

    /// <summary>An exception of no known type.</summary>
    UnknownException = 4,

    /// <summary>The architecture, tensor type or processor is not supported; the message names it.</summary>
    Unsupported = 5,

    /// <summary>A file is missing, damaged, of another format, or can't be written.</summary>
    File = 6,

    /// <summary>An adapter, checkpoint or batch does not fit this model or trainer.</summary>
    Mismatch = 7,

    /// <summary>The memory budget is too small; the message names the smallest that would do.</summary>
    Budget = 8,

    /// <summary>The slice callback asked to stop.</summary>
    Cancelled = 9,

    /// <summary>There is no usable GPU or driver, or it failed.</summary>
    Device = 10,
}
