namespace ContinualNative.Storage;

/// <summary>How the store is opened.</summary>
public sealed record StoreOptions
{
    /// <summary>The database file. Its folder is made, readable by its owner only.</summary>
    public required string Path { get; init; }

    /// <summary>Writes that may wait; one more waits for room (requests, labels, costs) or is refused (feedback).</summary>
    public int QueueCapacity { get; init; } = 8192;

    /// <summary>Most writes in one transaction.</summary>
    public int BatchSize { get; init; } = 512;

    /// <summary>Longest time that a write waits for company before its transaction begins.</summary>
    public TimeSpan BatchDelay { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>How long a lock of another process is waited for.</summary>
    public TimeSpan BusyTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Requests older than this lose their texts; null: never.</summary>
    public TimeSpan? KeepFor { get; init; }

    /// <summary>The file's size above which the oldest requests are removed; null: no limit.</summary>
    public long? KeepBytes { get; init; }

    /// <summary>Outcomes that one key may report within an hour; more are refused and the key is flagged.</summary>
    public int OutcomesPerKeyAndHour { get; init; } = 10_000;

    /// <summary>Outcomes that are kept of one request.</summary>
    public int OutcomesPerRequest { get; init; } = 8;

    /// <summary>Encrypts texts on their way into the file; null: they are stored as they are.</summary>
    public ITextCipher? Cipher { get; init; }
}
