namespace ContinualNative.Engine.Adapters;

/// <summary>A loaded adapter.</summary>
public sealed record AdapterInfo
{
    /// <summary>Its id: the part after <c>@</c> in a model name.</summary>
    public required string Id { get; init; }

    /// <summary>Whether requests that name no adapter get this one.</summary>
    public required bool IsChampion { get; init; }

    /// <summary>The file it came from, or null for memory.</summary>
    public string? Path { get; init; }

    /// <summary>Its size in bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>LoRA rank (the largest of its tensors).</summary>
    public required int Rank { get; init; }

    /// <summary>LoRA alpha; the update is scaled by alpha ÷ rank.</summary>
    public required float Alpha { get; init; }

    /// <summary>Sequences that run on it now.</summary>
    public required int Running { get; init; }

    /// <summary>When it was loaded.</summary>
    public required DateTimeOffset LoadedAt { get; init; }
}
