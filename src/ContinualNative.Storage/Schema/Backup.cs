using ContinualNative.Storage.Sqlite;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ContinualNative.Storage.Schema;

/// <summary>Copies the database into a new file while writing goes on.</summary>
internal static class Backup
{
    private const int PagesAtOnce = 1024;

    /// <summary>
    /// The copy is complete and on disk before it gets its name. The source is held at one state by a read transaction, so that the copy does not begin again with every commit;
    /// the log grows meanwhile. Throws <see cref="StoreException"/>.
    /// </summary>
    public static void Run(StoreOptions options, string target, CancellationToken cancellationToken)
    {
        if (Path.Exists(target))
        {
            throw Exists(target);
        }
        string temporary = $"{target}.{Guid.NewGuid():N}.partial";
        try
        {
            DatabaseFile.CreatePrivate(temporary).Dispose();
            using (Session source = DatabaseFile.OpenReader(options.Path, options.BusyTimeout))
            using (Session copy = Session.Open(temporary, options.BusyTimeout, readOnly: false, cacheKibibytes: 1024))
            {
                source.Execute("BEGIN");
                _ = source.Number("SELECT count(*) FROM meta");
                Copy(source, copy, cancellationToken);
                source.Execute("COMMIT");
            }
            using (FileStream file = new(temporary, FileMode.Open, FileAccess.ReadWrite))
            {
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, target, overwrite: false);
        }
        catch (SqliteException e)
        {
            throw StoreErrors.Wrap(e, target);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw File.Exists(target) ? Exists(target) : new StoreException(StoreError.Inaccessible, $"The backup '{target}' cannot be written: {e.Message}", e);
        }
        finally
        {
            foreach (string suffix in (ReadOnlySpan<string>)["", "-wal", "-shm", "-journal"])
            {
                if (File.Exists(temporary + suffix))
                {
                    File.Delete(temporary + suffix);
                }
            }
        }
    }

    private static void Copy(Session source, Session copy, CancellationToken cancellationToken)
    {
        using sqlite3_backup backup = raw.sqlite3_backup_init(copy.Handle, "main", source.Handle, "main");
        if (backup.IsInvalid)
        {
            SqliteException.ThrowExceptionForRC(raw.sqlite3_errcode(copy.Handle), copy.Handle);
        }
        int code;
        do
        {
            cancellationToken.ThrowIfCancellationRequested();
            code = raw.sqlite3_backup_step(backup, PagesAtOnce);
        }
        while (code == raw.SQLITE_OK);
        if (code != raw.SQLITE_DONE)
        {
            SqliteException.ThrowExceptionForRC(code, copy.Handle);
        }
    }

    private static StoreException Exists(string target) => new(StoreError.Inaccessible, $"'{target}' exists already. Name a file that does not: a backup never replaces anything.");
}
