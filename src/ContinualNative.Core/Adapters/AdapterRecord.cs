namespace ContinualNative.Core.Adapters;

/// <summary>Where an adapter comes from. The numbers are stored.</summary>
public enum AdapterOrigin
{
    /// <summary>A cycle trained it.</summary>
    Trained = 0,

    /// <summary>It was brought in from a file or a PEFT folder.</summary>
    Imported = 1,
}

/// <summary>What became of an adapter. The numbers are stored.</summary>
public enum AdapterStatus
{
    /// <summary>Trained or imported, and neither promoted nor refused yet.</summary>
    Candidate = 0,

    /// <summary>It answers.</summary>
    Champion = 1,

    /// <summary>It was champion, and another one followed it in good order.</summary>
    Retired = 2,

    /// <summary>The gate, or the shadow or canary stage, refused it.</summary>
    Rejected = 3,

    /// <summary>It was champion and was taken back.</summary>
    RolledBack = 4,
}

/// <summary>One adapter as the store knows it.</summary>
public sealed record AdapterRecord
{
    /// <summary>What <see cref="ModelAddress.IsValidAdapterId"/> allows.</summary>
    public required string Id { get; init; }

    /// <summary>The adapter that its training began with; null: the bare model, or not known.</summary>
    public string? Parent { get; init; }

    public required AdapterOrigin Origin { get; init; }

    public AdapterStatus Status { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>Fingerprint of the model that it fits.</summary>
    public required string Model { get; init; }

    /// <summary>Its file's name in the data folder's <c>adapters</c>; null once the file was removed by retention.</summary>
    public string? File { get; init; }

    /// <summary>The file's length in bytes.</summary>
    public long Bytes { get; init; }

    /// <summary>The file's SHA-256 in hexadecimal digits.</summary>
    public string Hash { get; init; } = "";

    public int Rank { get; init; }

    /// <summary>The cycle that trained it, or null.</summary>
    public long? Cycle { get; init; }

    /// <summary>For people.</summary>
    public string Note { get; init; } = "";
}

/// <summary>Why the champion changed. The numbers are stored.</summary>
public enum PromotionReason
{
    /// <summary>A cycle's gate and rollout let it through.</summary>
    Gate = 0,

    /// <summary>Somebody said so.</summary>
    Manual = 1,

    /// <summary>Live outcomes told that the champion was worse than the one before.</summary>
    Rollback = 2,

    /// <summary>Somebody took it back.</summary>
    ManualRollback = 3,

    /// <summary>It was named when the server started.</summary>
    Start = 4,
}

/// <summary>One change of champion, with what justified it.</summary>
public sealed record PromotionRecord
{
    /// <summary>Position in the order of changes; 0: not stored yet.</summary>
    public long Number { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>The new champion; <see cref="ModelAddress.Base"/>: the bare model.</summary>
    public required string Adapter { get; init; }

    /// <summary>The champion before.</summary>
    public required string Previous { get; init; }

    public required PromotionReason Reason { get; init; }

    /// <summary>The cycle, or null.</summary>
    public long? Cycle { get; init; }

    /// <summary>What justified it, as JSON: the gate's verdict, the test that called for a rollback, or <c>{}</c>.</summary>
    public string Evidence { get; init; } = "{}";
}
