using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Training;
using ContinualNative.Storage;

namespace ContinualNative.Host.Adapters;

/// <summary>
/// Takes adapters from outside into the data folder: written beside, checked against the model, moved to their place whole, and recorded. What fails leaves nothing behind.
/// </summary>
internal sealed class AdapterIntake(AdapterShelf shelf, TrafficStore store, BaseModel model, TimeProvider time)
{
    /// <summary>Whether an import was deleted before it ever answered: its record stays, and its id is free.</summary>
    public static bool IsDeleted(AdapterRecord adapter) => adapter is { Origin: AdapterOrigin.Imported, Status: AdapterStatus.Candidate, File: null };

    /// <summary>What writes a copy of a file, for <see cref="TakeAsync"/>.</summary>
    public static Func<string, Task> CopyOf(string path, CancellationToken cancellationToken) => async target =>
    {
        await using FileStream from = File.OpenRead(path);
        await using FileStream to = new(target, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, useAsync: true);
        await from.CopyToAsync(to, cancellationToken);
        to.Flush(flushToDisk: true);
    };

    /// <summary>
    /// Takes one in; the same file under the same id again gives what is there already, and puts a file back that was lost. Throws <see cref="EngineException"/>
    /// (Conflict for an id that is taken, InvalidRequest, BadFile), <see cref="IOException"/> and <see cref="StoreException"/>.
    /// </summary>
    /// <param name="id">What it is to be called.</param>
    /// <param name="source">How messages call it.</param>
    /// <param name="note">For people.</param>
    /// <param name="write">Writes the GGUF file at the path that it is given, which ends in <c>.gguf</c>.</param>
    /// <param name="cancellationToken">Stops before it is recorded.</param>
    public async Task<AdapterRecord> TakeAsync(string id, string source, string note, Func<string, Task> write, CancellationToken cancellationToken)
    {
        AdapterRecord? present = MustBeFree(id);
        shelf.Prepare();
        string path = shelf.PathOf(id);
        string temporary = Path.Combine(shelf.Folder, $".{id}.{Guid.NewGuid():N}.part.gguf");
        bool moved = false;
        try
        {
            await write(temporary);
            using (FileStream stream = File.OpenRead(temporary))
            {
                AdapterFile.Read(stream, $"'{source}'").CheckAgainst(model.Head);
            }
            string hash = FileHash.Of(temporary);
            if (present is not null && present.Hash != hash)
            {
                throw Taken(id, present);
            }
            cancellationToken.ThrowIfCancellationRequested();
            moved = Place(temporary, path, hash);
            return present is { File: not null }
                ? present
                : await shelf.RecordAsync(
                    present ?? new AdapterRecord { Id = id, Origin = AdapterOrigin.Imported, Status = AdapterStatus.Candidate, At = time.GetUtcNow(), Model = model.Fingerprint, Note = note }, CancellationToken.None);
        }
        catch
        {
            if (moved && present is null)
            {
                File.Delete(path);
            }
            throw;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    // The adapter of that id, to which only the same file may be given; null when there is none. Throws when a cycle is at it.
    private AdapterRecord? MustBeFree(string id)
    {
        if (!ModelAddress.IsValidAdapterId(id))
        {
            throw new EngineException(EngineError.InvalidRequest, $"'{id}' can't name an adapter: use 1 to 64 letters, digits, '-', '_' or '.', and not 'base'.", "id");
        }
        if (store.ActiveCycle() is { } cycle && cycle.Candidate == id)
        {
            throw new EngineException(EngineError.Conflict, $"Cycle {cycle.Id} trains an adapter '{id}'. Use another id.", "id");
        }
        return store.Adapter(id) switch
        {
            null => null,
            { } adapter when IsDeleted(adapter) => null,
            { } adapter => adapter,
        };
    }

    // True when the file was put there; false when the same one was there already.
    private static bool Place(string temporary, string path, string hash)
    {
        if (!File.Exists(path))
        {
            File.Move(temporary, path, overwrite: false);
            return true;
        }
        return FileHash.Of(path) == hash
            ? false
            : throw new EngineException(EngineError.Conflict, $"There is another file '{path}' already, which is not what was recorded. Move it away, or use another id.", "id");
    }

    private static EngineException Taken(string id, AdapterRecord adapter) => new(
        EngineError.Conflict,
        $"There is another adapter '{id}' already ({CycleText.Name(adapter.Origin)} {adapter.At:yyyy-MM-dd HH:mm}, {CycleText.Name(adapter.Status)}). Use another id.",
        "id");
}
