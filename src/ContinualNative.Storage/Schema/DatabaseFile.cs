using ContinualNative.Storage.Sqlite;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ContinualNative.Storage.Schema;

/// <summary>Makes, checks and migrates the file, and opens sessions on it. Throws <see cref="StoreException"/>.</summary>
internal static class DatabaseFile
{
    /// <summary>"CNts" in ASCII: <c>PRAGMA application_id</c> of our files.</summary>
    public const int ApplicationId = 0x434E7473;

    private const int WriterCache = 64 * 1024;
    private const int ReaderCache = 16 * 1024;

    /// <summary>Makes the file where there is none, and brings its schema up to date.</summary>
    public static void Prepare(string path, TimeSpan busyTimeout, IReadOnlyList<Migration> migrations)
    {
        try
        {
            Create(path);
            using Session session = Session.Open(path, busyTimeout, readOnly: false, ReaderCache);
            if (raw.sqlite3_db_readonly(session.Handle, "main") != 0)
            {
                throw ReadOnly(path);
            }
            Claim(session, path);
            Migrate(session, path, migrations);
        }
        catch (Exception e) when (e is SqliteException or IOException or UnauthorizedAccessException)
        {
            throw e is SqliteException ? StoreErrors.Wrap(e, path) : new StoreException(StoreError.Inaccessible, $"The traffic store '{path}' cannot be made or opened: {e.Message}", e);
        }
    }

    /// <summary>The writer's connection: every commit is on disk when it returns, and what is deleted is overwritten.</summary>
    public static Session OpenWriter(string path, TimeSpan busyTimeout)
    {
        Session session = Session.Open(path, busyTimeout, readOnly: false, WriterCache);
        try
        {
            // Decision: the log may grow to 16 MiB before it is copied into the file. Ids are random, so each batch touches as many pages of their index as it has
            // requests; the longer the log, the more of them are copied once instead of several times.
            session.Execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864;");
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    public static Session OpenReader(string path, TimeSpan busyTimeout) => Session.Open(path, busyTimeout, readOnly: true, ReaderCache);

    // SQLite would make the file with the process's mask; its log and shared memory take over the mode that the file has.
    private static void Create(string path)
    {
        if (Directory.Exists(path))
        {
            throw new StoreException(StoreError.Inaccessible, $"'{path}' is a folder; the traffic store is a file. Name a file, or move the folder away.");
        }
        string folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
        {
            if (OperatingSystem.IsWindows())
            {
                Directory.CreateDirectory(folder);
            }
            else
            {
                Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }
        }
        // Asked for, rather than tried, because the superuser may write to what is marked as read-only.
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(folder) & (UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite)) == 0)
        {
            throw new StoreException(StoreError.Inaccessible, $"The folder '{folder}' of the traffic store is read-only. Make it writable for the user who runs this.");
        }
        if (File.Exists(path))
        {
            if ((File.GetAttributes(path) & FileAttributes.ReadOnly) != 0)
            {
                throw ReadOnly(path);
            }
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }
            return;
        }
        CreatePrivate(path).Dispose();
    }

    /// <summary>A new, empty file that only its owner may read and write. Throws <see cref="IOException"/> when it exists.</summary>
    public static FileStream CreatePrivate(string path)
    {
        FileStreamOptions options = new() { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }
        return new FileStream(path, options);
    }

    private static void Claim(Session session, string path)
    {
        long application = session.Number("PRAGMA application_id");
        if (application == ApplicationId)
        {
            return;
        }
        if (application != 0 || session.Number("SELECT count(*) FROM sqlite_schema") != 0)
        {
            throw new StoreException(StoreError.Damaged, $"'{path}' is a database of another program. Name another file, or move it away.");
        }
        // Both are fixed once the first page is written. Expiry by size hands pages back to the file system.
        session.Execute("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;");
    }

    private static void Migrate(Session session, string path, IReadOnlyList<Migration> migrations)
    {
        int newest = migrations[^1].Version;
        if (session.Number("PRAGMA user_version") == newest)
        {
            return;
        }
        foreach (Migration migration in migrations)
        {
            // Another process may migrate at the same moment: the version is read again under the lock.
            session.Execute("BEGIN IMMEDIATE");
            try
            {
                long version = session.Number("PRAGMA user_version");
                if (version > newest)
                {
                    throw new StoreException(
                        StoreError.NewerVersion,
                        $"The traffic store '{path}' has schema version {version}, and this program knows versions up to {newest}. Use the newer program that wrote it.");
                }
                if (version < migration.Version)
                {
                    session.Execute(migration.Sql);
                    session.Execute($"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {migration.Version};");
                }
                session.Execute("COMMIT");
            }
            catch
            {
                session.RollBack();
                throw;
            }
        }
    }

    private static StoreException ReadOnly(string path) =>
        new(StoreError.Inaccessible, $"The traffic store '{path}' is read-only. Make the file writable for the user who runs this.");
}
