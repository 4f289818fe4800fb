using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>Totals, costs, calibrations, and lists of names.</summary>
internal static class ReportReader
{
    public const string SpentOfDay = "SELECT coalesce(sum(amount), 0) FROM ledger_days WHERE day = ?1 AND kind = ?2";

    public const string NewestCalibrations = """
        SELECT c.id, t.name, n.name, c.at, c.calibration FROM tasks t JOIN calibrations c ON c.id = t.calibration JOIN names n ON n.id = c.adapter ORDER BY t.id
        """;

    public static Money Spent(Session session, LedgerKind kind, DateOnly day) =>
        new(session.Prepared(SpentOfDay).Bind(1, day.DayNumber).Bind(2, (long)kind).Number() ?? 0);

    public static IReadOnlyList<TrafficTotals> Traffic(Session session, DateOnly from, DateOnly to)
    {
        List<TrafficTotals> totals = [];
        using Statement.Rows r = session.Prepared("""
            SELECT d.day, t.name, a.name, d.route, d.reason, d.requests, d.prompt_tokens, d.cached_tokens, d.completion_tokens, d.local_time, d.accepted, d.rejected, d.corrected
            FROM traffic_days d JOIN tasks t ON t.id = d.task JOIN names a ON a.id = d.adapter WHERE d.day BETWEEN ?1 AND ?2 ORDER BY d.day, d.task, d.adapter, d.route, d.reason
            """).Bind(1, from.DayNumber).Bind(2, to.DayNumber).Open();
        while (r.Next())
        {
            totals.Add(new TrafficTotals
            {
                Day = DateOnly.FromDayNumber((int)r.Int(0)),
                Task = r.Text(1),
                Adapter = r.Text(2),
                Route = (Route)r.Int(3),
                Reason = (RouteReason)r.Int(4),
                Requests = r.Int(5),
                PromptTokens = r.Int(6),
                CachedTokens = r.Int(7),
                CompletionTokens = r.Int(8),
                LocalSeconds = r.Int(9) / 1e6,
                Accepted = r.Int(10),
                Rejected = r.Int(11),
                Corrected = r.Int(12),
            });
        }
        return totals;
    }

    public static IReadOnlyList<LedgerTotals> Ledger(Session session, DateOnly from, DateOnly to)
    {
        List<LedgerTotals> totals = [];
        using Statement.Rows r = session.Prepared("""
            SELECT d.day, d.kind, e.name, t.name, d.amount, d.calls, d.prompt_tokens, d.cached_tokens, d.completion_tokens, d.seconds
            FROM ledger_days d JOIN names e ON e.id = d.endpoint JOIN tasks t ON t.id = d.task WHERE d.day BETWEEN ?1 AND ?2 ORDER BY d.day, d.kind, d.endpoint, d.task
            """).Bind(1, from.DayNumber).Bind(2, to.DayNumber).Open();
        while (r.Next())
        {
            totals.Add(new LedgerTotals
            {
                Day = DateOnly.FromDayNumber((int)r.Int(0)),
                Kind = (LedgerKind)r.Int(1),
                Endpoint = r.Text(2),
                Task = r.Text(3),
                Amount = new Money(r.Int(4)),
                Calls = r.Int(5),
                PromptTokens = r.Int(6),
                CachedTokens = r.Int(7),
                CompletionTokens = r.Int(8),
                Seconds = r.Real(9),
            });
        }
        return totals;
    }

    // Names are given to tasks by costs and calibrations too; only those with traffic count.
    public static IReadOnlyList<string> Tasks(Session session)
    {
        List<string> tasks = [];
        using Statement.Rows r = session.Prepared("SELECT name FROM tasks WHERE requested = 1 ORDER BY id").Open();
        while (r.Next())
        {
            tasks.Add(r.Text(0));
        }
        return tasks;
    }

    public static IReadOnlyList<(string Endpoint, string Teacher, DateTimeOffset FirstSeen)> Teachers(Session session)
    {
        List<(string, string, DateTimeOffset)> teachers = [];
        using Statement.Rows r = session.Prepared("SELECT e.name, n.name, t.first_seen FROM teachers t JOIN names e ON e.id = t.endpoint JOIN names n ON n.id = t.teacher ORDER BY t.id").Open();
        while (r.Next())
        {
            teachers.Add((r.Text(0), r.Text(1), DateTimeOffset.FromUnixTimeMilliseconds(r.Int(2))));
        }
        return teachers;
    }

    public static IReadOnlyList<(long Id, string Task, string Adapter, DateTimeOffset At, string Calibration)> Calibrations(Session session)
    {
        List<(long, string, string, DateTimeOffset, string)> calibrations = [];
        using Statement.Rows r = session.Prepared(NewestCalibrations).Open();
        while (r.Next())
        {
            calibrations.Add((r.Int(0), r.Text(1), r.Text(2), DateTimeOffset.FromUnixTimeMilliseconds(r.Int(3)), r.Text(4)));
        }
        return calibrations;
    }

    public static string? Calibration(Session session, long id)
    {
        using Statement.Rows r = session.Prepared("SELECT calibration FROM calibrations WHERE id = ?1").Bind(1, id).Open();
        return r.Next() ? r.Text(0) : null;
    }

    public static IReadOnlyList<FlaggedKey> FlaggedKeys(Session session)
    {
        List<FlaggedKey> keys = [];
        using Statement.Rows r = session.Prepared("SELECT name, flagged, refused FROM keys WHERE flagged IS NOT NULL AND name IS NOT NULL ORDER BY id").Open();
        while (r.Next())
        {
            keys.Add(new FlaggedKey(r.Text(0), DateTimeOffset.FromUnixTimeMilliseconds(r.Int(1)), r.Int(2)));
        }
        return keys;
    }

    public static IReadOnlyList<string> Check(Session session)
    {
        List<string> problems = [];
        using (Statement.Rows r = session.Prepared("PRAGMA integrity_check").Open())
        {
            while (r.Next())
            {
                if (r.Text(0) is not "ok" and string problem)
                {
                    problems.Add(problem);
                }
            }
        }
        using (Statement.Rows r = session.Prepared("PRAGMA foreign_key_check").Open())
        {
            while (r.Next())
            {
                problems.Add($"A row of {r.Text(0)} refers to a row of {r.Text(2)} that is not there.");
            }
        }
        return problems;
    }
}
