namespace ContinualNative.Storage;

/// <summary>What is wrong with the store.</summary>
public enum StoreError
{
    /// <summary>The file can't be opened, read or written: permissions, a folder in its place, read-only.</summary>
    Inaccessible,

    /// <summary>It is no database, or is damaged.</summary>
    Damaged,

    /// <summary>It was written by a newer version of this program.</summary>
    NewerVersion,

    /// <summary>Another process holds it.</summary>
    Locked,

    /// <summary>The disk is full.</summary>
    DiskFull,

    /// <summary>Writes come faster than the disk takes them.</summary>
    Overloaded,

    /// <summary>The key of the cipher is missing or wrong.</summary>
    WrongKey,

    /// <summary>Nothing was written, because what is stored is not what the write takes it for: a cycle runs already, is in another state or is not there.</summary>
    Conflict,

    /// <summary>Something else failed.</summary>
    Failed,
}

/// <summary>The store can't do what was asked; the message says why and what to do.</summary>
public sealed class StoreException(StoreError error, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What is wrong.</summary>
    public StoreError Error { get; } = error;
}
