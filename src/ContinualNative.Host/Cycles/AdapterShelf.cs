using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>The adapters' files in the data folder. A file appears whole or not at all, and is checked against its record before it is used.</summary>
internal sealed class AdapterShelf(string data, TrafficStore store)
{
    /// <summary>Where the files are.</summary>
    public string Folder { get; } = Path.Combine(data, "adapters");

    /// <summary>Where an adapter's file is, or would be.</summary>
    public string PathOf(string id) => Path.Combine(Folder, id + ".gguf");

    /// <summary>Makes the folder. Throws <see cref="IOException"/>.</summary>
    public void Prepare() => Directory.CreateDirectory(Folder);

    /// <summary>
    /// Records a file that lies at <see cref="PathOf"/>. Throws <see cref="EngineException"/> (BadFile) for one that is no GGUF adapter.
    /// </summary>
    public async Task<AdapterRecord> RecordAsync(AdapterRecord adapter, CancellationToken cancellationToken)
    {
        string path = PathOf(adapter.Id);
        AdapterFile file = AdapterFile.Read(path);
        AdapterRecord whole = adapter with { File = Path.GetFileName(path), Bytes = new FileInfo(path).Length, Hash = FileHash.Of(path), Rank = file.Rank };
        await store.SaveAdapterAsync(whole, cancellationToken);
        return whole;
    }

    /// <summary>The path of a recorded adapter's file. Throws <see cref="EngineException"/> (BadFile) when it is missing or is not what was recorded.</summary>
    public string Verify(AdapterRecord adapter)
    {
        if (adapter.File is not { } name)
        {
            throw new EngineException(EngineError.BadFile, $"The file of adapter '{adapter.Id}' was removed by retention; only its record is left.", "id");
        }
        string path = Path.Combine(Folder, name);
        if (!File.Exists(path))
        {
            throw new EngineException(EngineError.BadFile, $"The file of adapter '{adapter.Id}' is missing: '{path}'. Put it back, or promote another adapter.", "id");
        }
        return adapter.Hash.Length == 0 || FileHash.Of(path) == adapter.Hash
            ? path
            : throw new EngineException(EngineError.BadFile, $"The file of adapter '{adapter.Id}' is not what it was when it was recorded: '{path}' has another SHA-256. Put the right one back, or promote another adapter.", "id");
    }

    /// <summary>Loads an adapter into the engine under its id, unless it is loaded. Throws <see cref="EngineException"/>.</summary>
    public async Task LoadAsync(ServedModel model, string id, CancellationToken cancellationToken)
    {
        if (id == ModelAddress.Base || model.Engine.Adapters.Contains(id))
        {
            return;
        }
        AdapterRecord adapter = store.Adapter(id) ?? throw new EngineException(EngineError.NotFound, $"There is no adapter '{id}'. 'continual adapters list' tells which there are.", "id");
        await model.Engine.Adapters.LoadAsync(id, Verify(adapter), cancellationToken);
    }

    /// <summary>
    /// The adapter that an adapter's ancestors began with, if that came from outside and its file is there; null: the bare model. What it was trained on is not in the store, so that no later one could learn it again.
    /// </summary>
    public static AdapterRecord? OriginOf(TrafficStore store, AdapterRecord? adapter)
    {
        HashSet<string> seen = new(StringComparer.Ordinal);
        for (AdapterRecord? at = adapter; at is not null && seen.Add(at.Id); at = at.Parent is { } parent ? store.Adapter(parent) : null)
        {
            if (at.Origin == AdapterOrigin.Imported)
            {
                return at.File is null ? null : at;
            }
        }
        return null;
    }

    /// <summary>Removes the files of all but the newest <paramref name="keep"/> adapters; the champion, the one before it, and candidates on their way stay.</summary>
    /// <returns>The ids whose files were removed.</returns>
    public async Task<IReadOnlyList<string>> RetainAsync(int keep, IReadOnlyCollection<string> needed, CancellationToken cancellationToken)
    {
        List<string> removed = [];
        foreach (AdapterRecord old in store.Adapters().Where(static a => a.File is not null).Skip(keep))
        {
            if (old.Status is AdapterStatus.Champion || needed.Contains(old.Id))
            {
                continue;
            }
            await DeleteAsync(old.Id, cancellationToken);
            removed.Add(old.Id);
        }
        return removed;
    }

    /// <summary>Removes an adapter's file; its record stays. Throws <see cref="StoreException"/> and <see cref="IOException"/>.</summary>
    public async Task DeleteAsync(string id, CancellationToken cancellationToken)
    {
        // The record first: a record of a file that is gone would be worse than a file that nothing knows.
        await store.ForgetAdapterFileAsync(id, cancellationToken);
        File.Delete(PathOf(id));
    }
}
