using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace ContinualNative.Storage.Sqlite;

/// <summary>
/// One prepared statement, to be used again and again. Parameters are numbered from 1, columns from 0. Not thread-safe.
/// </summary>
/// <remarks>
/// Decision: SQLite's own functions rather than <see cref="SqliteCommand"/>: the writer runs some ten statements a request, and boxed parameters and
/// readers would cost it more than the B-trees do. SqliteCommand also waits for locks by a clock of its own instead of SQLite's busy handler.
/// </remarks>
internal sealed class Statement : IDisposable
{
    private readonly sqlite3 _database;
    private readonly sqlite3_stmt _statement;

    public Statement(sqlite3 database, string sql)
    {
        _database = database;
        Check(raw.sqlite3_prepare_v3(database, sql, raw.SQLITE_PREPARE_PERSISTENT, out _statement));
    }

    public Statement Bind(int index, long value)
    {
        Check(raw.sqlite3_bind_int64(_statement, index, value));
        return this;
    }

    public Statement Bind(int index, bool value) => Bind(index, value ? 1L : 0L);

    public Statement Bind(int index, long? value) => value is { } number ? Bind(index, number) : BindNull(index);

    public Statement Bind(int index, double value)
    {
        Check(raw.sqlite3_bind_double(_statement, index, value));
        return this;
    }

    public Statement Bind(int index, double? value) => value is { } number ? Bind(index, number) : BindNull(index);

    public Statement Bind(int index, string? value)
    {
        if (value is null)
        {
            return BindNull(index);
        }
        Check(raw.sqlite3_bind_text(_statement, index, value));
        return this;
    }

    public Statement Bind(int index, byte[]? value) => value is null ? BindNull(index) : Bind(index, value.AsSpan());

    public Statement Bind(int index, ReadOnlySpan<byte> value)
    {
        // An empty span has no address, which SQLite would take for NULL.
        Check(value.IsEmpty ? raw.sqlite3_bind_zeroblob(_statement, index, 0) : raw.sqlite3_bind_blob(_statement, index, value));
        return this;
    }

    public Statement BindNull(int index)
    {
        Check(raw.sqlite3_bind_null(_statement, index));
        return this;
    }

    /// <summary>Runs to the end; gives how many rows it changed.</summary>
    public int Run()
    {
        using Rows rows = Open();
        while (rows.Next())
        {
        }
        return raw.sqlite3_changes(_database);
    }

    /// <summary>The first column of the first row, or null without a row or for NULL.</summary>
    public long? Number()
    {
        using Rows rows = Open();
        return rows.Next() && !rows.IsNull(0) ? rows.Int(0) : null;
    }

    /// <summary>Runs; the rows must be disposed before the statement is used again.</summary>
    public Rows Open() => new(this);

    public void Dispose() => _statement.Dispose();

    private void Check(int code)
    {
        if (code != raw.SQLITE_OK)
        {
            SqliteException.ThrowExceptionForRC(code, _database);
        }
    }

    /// <summary>Rows of one run. A blob's or text's bytes are valid until the next row.</summary>
    internal readonly ref struct Rows(Statement statement)
    {
        private readonly sqlite3_stmt _row = statement._statement;

        public bool Next()
        {
            int code = raw.sqlite3_step(_row);
            if (code == raw.SQLITE_ROW)
            {
                return true;
            }
            if (code != raw.SQLITE_DONE)
            {
                SqliteException.ThrowExceptionForRC(code, statement._database);
            }
            return false;
        }

        public bool IsNull(int column) => raw.sqlite3_column_type(_row, column) == raw.SQLITE_NULL;

        public long Int(int column) => raw.sqlite3_column_int64(_row, column);

        public long? IntOrNull(int column) => IsNull(column) ? null : Int(column);

        public bool Bool(int column) => Int(column) != 0;

        public double Real(int column) => raw.sqlite3_column_double(_row, column);

        public double? RealOrNull(int column) => IsNull(column) ? null : Real(column);

        public ReadOnlySpan<byte> Blob(int column) => raw.sqlite3_column_blob(_row, column);

        public string Text(int column) => raw.sqlite3_column_text(_row, column).utf8_to_string();

        public string? TextOrNull(int column) => IsNull(column) ? null : Text(column);

        // What went wrong was told by Next; resetting says it once more.
        public void Dispose() => _ = raw.sqlite3_reset(_row);
    }
}
