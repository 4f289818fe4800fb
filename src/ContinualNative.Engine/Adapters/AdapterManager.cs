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

/// <summary>Loads, promotes and unloads adapters while the engine serves. Running sequences keep the adapter they began with. Thread-safe.</summary>
public sealed class AdapterManager
{
    /// <summary>All adapters loaded now.</summary>
    public IReadOnlyList<AdapterInfo> List() => throw new NotSupportedException();

    /// <summary>The champion's id, or null when the bare model is champion.</summary>
    public string? Champion => throw new NotSupportedException();

    /// <summary>Loads a GGUF LoRA file under <paramref name="id"/>. Throws <see cref="EngineException"/> (BadFile, Conflict, InvalidRequest).</summary>
    public Task<AdapterInfo> LoadAsync(string id, string path, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Loads a GGUF LoRA from memory.</summary>
    public Task<AdapterInfo> LoadAsync(string id, ReadOnlyMemory<byte> gguf, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Makes an adapter the champion (null: the bare model) for requests admitted from now on.</summary>
    public void Promote(string? id) => throw new NotSupportedException();

    /// <summary>Takes an adapter away: new requests no longer find it; memory is freed when the last sequence on it ends. The champion can't be unloaded.</summary>
    public void Unload(string id) => throw new NotSupportedException();
}
