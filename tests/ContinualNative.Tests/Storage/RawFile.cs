using Microsoft.Data.Sqlite;

namespace ContinualNative.Tests.Storage;

/// <summary>A store's file as SQLite sees it, for states that the store itself does not make.</summary>
internal static class RawFile
{
    /// <summary>Runs statements. Throws <see cref="SqliteException"/>.</summary>
    public static void Execute(string path, string sql)
    {
        using SqliteConnection connection = new(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, Mode = SqliteOpenMode.ReadWrite }.ToString());
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
