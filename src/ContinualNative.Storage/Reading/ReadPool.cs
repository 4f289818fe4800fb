using System.Collections.Concurrent;
using ContinualNative.Storage.Schema;
using ContinualNative.Storage.Sqlite;
using Microsoft.Data.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>Read connections with their prepared statements. A reader sees the last commit before its query and never waits for the writer. Thread-safe.</summary>
internal sealed class ReadPool(StoreOptions options) : IDisposable
{
    // More than this at once are opened as needed and closed again.
    private const int MostKept = 8;

    private readonly ConcurrentBag<Session> _idle = [];
    private volatile bool _closed;

    /// <summary>Runs a query. Throws <see cref="StoreException"/>.</summary>
    /// <param name="query">Reads; several statements see one state only within <paramref name="snapshot"/>.</param>
    /// <param name="snapshot">Whether all statements are to see the same state.</param>
    public T Read<T>(Func<Session, T> query, bool snapshot = false)
    {
        ObjectDisposedException.ThrowIf(_closed, typeof(TrafficStore));
        Session? session = null;
        bool sound = false;
        try
        {
            session = _idle.TryTake(out Session? idle) ? idle : DatabaseFile.OpenReader(options.Path, options.BusyTimeout);
            if (snapshot)
            {
                session.Execute("BEGIN");
            }
            T result = query(session);
            if (snapshot)
            {
                session.Execute("COMMIT");
            }
            sound = true;
            return result;
        }
        catch (SqliteException e)
        {
            throw StoreErrors.Wrap(e, options.Path);
        }
        finally
        {
            // A connection on which something failed may still have a transaction open, which would keep the log from being emptied.
            if (session is not null && (!sound || _closed || _idle.Count >= MostKept))
            {
                session.Dispose();
            }
            else if (session is not null)
            {
                _idle.Add(session);
            }
        }
    }

    public void Dispose()
    {
        _closed = true;
        while (_idle.TryTake(out Session? session))
        {
            session.Dispose();
        }
    }
}
