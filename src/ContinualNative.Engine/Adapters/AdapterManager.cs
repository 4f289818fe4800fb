using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Adapters;

/// <summary>Loads, promotes and unloads adapters while the engine serves. Running sequences keep the adapter they began with. Thread-safe.</summary>
public sealed class AdapterManager
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly LlamaModelHandle _model;
    private readonly GgufFile _modelFile;
    private readonly TimeProvider _time;
    private readonly Action<AdapterVersion> _retire;
    private Entry? _champion;

    internal AdapterManager(LlamaModelHandle model, GgufFile modelFile, TimeProvider time, Action<AdapterVersion> retire)
    {
        _model = model;
        _modelFile = modelFile;
        _time = time;
        _retire = retire;
    }

    /// <summary>The champion's id, or null when the bare model is champion.</summary>
    public string? Champion
    {
        get
        {
            lock (_gate)
            {
                return _champion?.Version.Id;
            }
        }
    }

    /// <summary>The bare model.</summary>
    internal AdapterVersion Base { get; } = new(ModelAddress.Base, null);

    /// <summary>All adapters loaded now, oldest first.</summary>
    public IReadOnlyList<AdapterInfo> List()
    {
        lock (_gate)
        {
            return [.. _entries.Values.OrderBy(static e => e.LoadedAt).Select(Describe)];
        }
    }

    /// <summary>Whether an adapter of this id is loaded now.</summary>
    public bool Contains(string id)
    {
        lock (_gate)
        {
            return _entries.ContainsKey(id);
        }
    }

    /// <summary>Loads a GGUF LoRA file under <paramref name="id"/>. Throws <see cref="EngineException"/> (BadFile, Conflict, InvalidRequest).</summary>
    public Task<AdapterInfo> LoadAsync(string id, string path, CancellationToken cancellationToken = default) =>
        Task.Run(() => Load(id, Path.GetFullPath(path), () => AdapterFile.Read(path), () => LlamaAdapterHandle.Load(_model, path), FileLength(path)), cancellationToken);

    /// <summary>Loads a GGUF LoRA from memory.</summary>
    public Task<AdapterInfo> LoadAsync(string id, ReadOnlyMemory<byte> gguf, CancellationToken cancellationToken = default) =>
        Task.Run(
            () => Load(
                id,
                null,
                () =>
                {
                    using MemoryStream stream = new(gguf.ToArray(), writable: false);
                    return AdapterFile.Read(stream);
                },
                () => LlamaAdapterHandle.Load(_model, gguf),
                gguf.Length),
            cancellationToken);

    /// <summary>Makes an adapter the champion (null or <c>base</c>: the bare model) for requests admitted from now on.</summary>
    public void Promote(string? id)
    {
        lock (_gate)
        {
            _champion = id is null or ModelAddress.Base ? null : Find(id);
        }
    }

    /// <summary>Takes an adapter away: new requests no longer find it; memory is freed when the last sequence on it ends. The champion can't be unloaded.</summary>
    public void Unload(string id)
    {
        Entry entry;
        lock (_gate)
        {
            entry = Find(id);
            if (entry == _champion)
            {
                throw new EngineException(EngineError.Conflict, $"Adapter '{id}' is the champion. Promote another adapter, or 'base', before you unload it.");
            }
            _entries.Remove(id);
        }
        _retire(entry.Version);
    }

    /// <summary>The version that a request gets now, counted in; null for the champion. Throws NotFound.</summary>
    internal AdapterVersion Acquire(string? adapter)
    {
        lock (_gate)
        {
            AdapterVersion version = adapter switch
            {
                null => _champion?.Version ?? Base,
                ModelAddress.Base => Base,
                _ => Find(adapter).Version,
            };
            version.Acquire();
            return version;
        }
    }

    /// <summary>Every loaded version, for the engine's end.</summary>
    internal IReadOnlyList<AdapterVersion> RemoveAll()
    {
        lock (_gate)
        {
            AdapterVersion[] versions = [.. _entries.Values.Select(static e => e.Version)];
            _entries.Clear();
            _champion = null;
            return versions;
        }
    }

    private static long FileLength(string path)
    {
        FileInfo file = new(path);
        return file.Exists ? file.Length : throw new EngineException(EngineError.BadFile, $"There is no adapter file '{path}'.", "path");
    }

    private AdapterInfo Load(string id, string? path, Func<AdapterFile> read, Func<LlamaAdapterHandle> load, long bytes)
    {
        if (!ModelAddress.IsValidAdapterId(id))
        {
            throw new EngineException(EngineError.InvalidRequest, $"'{id}' can't name an adapter: use 1 to 64 letters, digits, '-', '_' or '.', and not 'base'.", "id");
        }
        ThrowIfTaken(id);
        // Read and checked by managed code first: llama.cpp trusts the file's numbers more than a stranger's file deserves.
        AdapterFile file = read();
        file.CheckAgainst(_modelFile);
        LlamaAdapterHandle handle;
        try
        {
            handle = load();
        }
        catch (LlamaException e)
        {
            throw new EngineException(EngineError.BadFile, e.Message, "path", e);
        }
        lock (_gate)
        {
            if (_entries.ContainsKey(id))
            {
                handle.Dispose();
                ThrowIfTaken(id);
            }
            Entry entry = new(new AdapterVersion(id, handle), path, bytes, file.Rank, file.Alpha, _time.GetUtcNow());
            _entries.Add(id, entry);
            return Describe(entry);
        }
    }

    private void ThrowIfTaken(string id)
    {
        lock (_gate)
        {
            if (_entries.ContainsKey(id))
            {
                throw new EngineException(EngineError.Conflict, $"An adapter '{id}' is loaded already. Unload it first, or choose another id.", "id");
            }
        }
    }

    private Entry Find(string id) => _entries.TryGetValue(id, out Entry? entry)
        ? entry
        : throw new EngineException(EngineError.NotFound, $"There is no adapter '{id}'. Loaded: {(_entries.Count == 0 ? "none" : string.Join(", ", _entries.Keys.Order()))}.", "model");

    private AdapterInfo Describe(Entry entry) => new()
    {
        Id = entry.Version.Id,
        IsChampion = entry == _champion,
        Path = entry.Path,
        Bytes = entry.Bytes,
        Rank = entry.Rank,
        Alpha = entry.Alpha,
        Running = entry.Version.Running,
        LoadedAt = entry.LoadedAt,
    };

    private sealed record Entry(AdapterVersion Version, string? Path, long Bytes, int Rank, float Alpha, DateTimeOffset LoadedAt);
}
