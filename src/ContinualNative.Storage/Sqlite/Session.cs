using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ContinualNative.Storage.Sqlite;

/// <summary>One connection with its prepared statements. Not thread-safe.</summary>
internal sealed class Session : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly Dictionary<string, Statement> _statements = new(StringComparer.Ordinal);

    private Session(SqliteConnection connection)
    {
        _connection = connection;
    }

    public sqlite3 Handle => _connection.Handle!;

    /// <summary>Opens an existing file. Throws <see cref="SqliteException"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="busyTimeout">How long locks of others are waited for.</param>
    /// <param name="readOnly">Whether nothing may be changed.</param>
    /// <param name="cacheKibibytes">Memory for pages.</param>
    public static Session Open(string path, TimeSpan busyTimeout, bool readOnly, int cacheKibibytes)
    {
        SqliteConnection connection = new(new SqliteConnectionStringBuilder
        {
            DataSource = path,
            Mode = readOnly ? SqliteOpenMode.ReadOnly : SqliteOpenMode.ReadWrite,
            Pooling = false,
        }.ToString());
        Session session = new(connection);
        try
        {
            connection.Open();
            _ = raw.sqlite3_busy_timeout(connection.Handle!, (int)Math.Clamp(busyTimeout.TotalMilliseconds, 0, int.MaxValue));
            session.Execute($"PRAGMA cache_size = -{cacheKibibytes}; PRAGMA temp_store = MEMORY;");
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>The statement of a text, prepared once for the session's life. Only for texts that are constants.</summary>
    public Statement Prepared(string sql)
    {
        if (!_statements.TryGetValue(sql, out Statement? statement))
        {
            statement = new Statement(Handle, sql);
            _statements.Add(sql, statement);
        }
        return statement;
    }

    /// <summary>Runs statements whose results nobody needs.</summary>
    public void Execute(string sql)
    {
        int code = raw.sqlite3_exec(Handle, sql);
        if (code != raw.SQLITE_OK)
        {
            SqliteException.ThrowExceptionForRC(code, Handle);
        }
    }

    /// <summary>One number of a statement that is run once.</summary>
    public long Number(string sql)
    {
        using Statement statement = new(Handle, sql);
        return statement.Number() ?? 0;
    }

    /// <summary>Undoes the transaction, if one is open: SQLite ends it by itself after some errors.</summary>
    public void RollBack()
    {
        if (raw.sqlite3_get_autocommit(Handle) == 0)
        {
            Execute("ROLLBACK");
        }
    }

    public void Dispose()
    {
        foreach (Statement statement in _statements.Values)
        {
            statement.Dispose();
        }
        _statements.Clear();
        _connection.Dispose();
    }
}
