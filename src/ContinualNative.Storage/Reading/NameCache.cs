using System.Collections.Concurrent;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>Names by their numbers, which never change once they are given. Thread-safe.</summary>
internal sealed class NameCache
{
    private readonly ConcurrentDictionary<long, string> _names = new();
    private readonly ConcurrentDictionary<long, string> _tasks = new();

    public string Name(Session session, long id) => Look(_names, session, "SELECT name FROM names WHERE id = ?1", id);

    public string Task(Session session, long id) => Look(_tasks, session, "SELECT name FROM tasks WHERE id = ?1", id);

    public static long? NameId(Session session, string name) => session.Prepared("SELECT id FROM names WHERE name = ?1").Bind(1, name).Number();

    public static long? TaskId(Session session, string task) => session.Prepared("SELECT id FROM tasks WHERE name = ?1").Bind(1, task).Number();

    private static string Look(ConcurrentDictionary<long, string> known, Session session, string sql, long id)
    {
        if (known.TryGetValue(id, out string? name))
        {
            return name;
        }
        using Statement.Rows rows = session.Prepared(sql).Bind(1, id).Open();
        name = rows.Next() ? rows.Text(0) : "";
        known.TryAdd(id, name);
        return name;
    }
}
