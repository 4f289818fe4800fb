using System.Security.Cryptography;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ContinualNative.Storage.Sqlite;

/// <summary>What SQLite's result codes mean to whoever runs the server.</summary>
internal static class StoreErrors
{
    /// <summary>Whether the surroundings (disk, locks, permissions, damage) are at fault, so that the same write may succeed later.</summary>
    public static bool IsEnvironmental(Exception e) => e is StoreException || (e is SqliteException s && Of(s.SqliteErrorCode) != StoreError.Failed);

    /// <summary>The exception that callers see.</summary>
    public static StoreException Wrap(Exception e, string path)
    {
        if (e is StoreException already)
        {
            return already;
        }
        if (e is CryptographicException)
        {
            return WrongKey(path, e);
        }
        if (e is not SqliteException sqlite)
        {
            return new StoreException(StoreError.Failed, $"The traffic store '{path}' failed: {e.Message}", e);
        }
        StoreError error = Of(sqlite.SqliteErrorCode);
        return new StoreException(error, Message(error, path, sqlite), e);
    }

    public static StoreException WrongKey(string path, Exception? inner = null) => new(
        StoreError.WrongKey,
        $"The texts in the traffic store '{path}' are encrypted, and the key is missing or is not the one that they were written with. Configure the key again, old ones included.",
        inner);

    private static StoreError Of(int code) => (code & 0xFF) switch
    {
        raw.SQLITE_BUSY or raw.SQLITE_LOCKED or raw.SQLITE_PROTOCOL => StoreError.Locked,
        raw.SQLITE_FULL => StoreError.DiskFull,
        raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB => StoreError.Damaged,
        raw.SQLITE_READONLY or raw.SQLITE_CANTOPEN or raw.SQLITE_PERM or raw.SQLITE_AUTH or raw.SQLITE_IOERR => StoreError.Inaccessible,
        raw.SQLITE_NOMEM => StoreError.Overloaded,
        _ => StoreError.Failed,
    };

    private static string Message(StoreError error, string path, SqliteException e) => error switch
    {
        StoreError.Locked => $"The traffic store '{path}' is locked by another process. Stop that process, or wait until it is done.",
        StoreError.DiskFull => $"There is no room for the traffic store '{path}'. Free some space on its disk; writing goes on by itself then.",
        StoreError.Damaged => $"'{path}' is no traffic store, or is damaged ({e.Message}). Restore it from a backup, or move it away and start with an empty one.",
        StoreError.Inaccessible => $"The traffic store '{path}' cannot be opened, read or written ({e.Message}). Check that the file and its folder are this user's and writable.",
        StoreError.Overloaded => $"There is not enough memory for the traffic store '{path}'.",
        _ => $"The traffic store '{path}' failed: {e.Message}",
    };
}
