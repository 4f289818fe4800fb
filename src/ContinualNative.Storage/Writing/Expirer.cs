using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Retention: texts go by age, whole requests by the file's size. Golden requests and daily totals stay.</summary>
internal static class Expirer
{
    /// <summary>Requests in one transaction: few, so that other writes get their turn.</summary>
    public const int Part = 256;

    /// <summary>Pages handed back to the file system at a time.</summary>
    public const int PagesAtOnce = 512;

    private const long MillisecondsPerHour = 3_600_000;
    private const int HoursKept = 48;

    // After so many days, feedback on a removed request is told that the request is unknown rather than gone. Tombstones would fill the file otherwise.
    private const int TombstoneDays = 90;

    /// <summary>Takes the texts of the next part of requests that are older than allowed; gives how many lost them, and whether there may be more.</summary>
    /// <remarks>
    /// The sweep goes by the order of arrival and stops at the first request that is young enough, so a clock that was put back makes nothing newer go before
    /// something older. A request of the future (the clock was ahead, and is right now) does not stop it: it goes when something that came after it is old enough.
    /// </remarks>
    public static (long Expired, bool More) ByAge(WriterSession session, TimeSpan keepFor)
    {
        long now = session.Time.GetUtcNow().ToUnixTimeMilliseconds();
        long cutoff = now - (long)keepFor.TotalMilliseconds;
        long from = session.Prepared("SELECT value FROM meta WHERE name = 'expired_to'").Number() ?? 0;
        long to = from;
        bool more = false;
        int seen = 0;
        using (Statement.Rows rows = session.Prepared("SELECT seq, at FROM requests WHERE seq > ?1 ORDER BY seq").Bind(1, from).Open())
        {
            while (rows.Next())
            {
                long at = rows.Int(1);
                if (at >= cutoff && at <= now)
                {
                    break;
                }
                if (++seen >= Part && to > from)
                {
                    more = true;
                    break;
                }
                if (at < cutoff)
                {
                    to = rows.Int(0);
                }
            }
        }
        if (to == from)
        {
            return (0, false);
        }
        List<long> expired = [];
        using (Statement.Rows rows = session.Prepared("SELECT seq FROM requests WHERE seq > ?1 AND seq <= ?2 AND state = 0 AND golden = 0 ORDER BY seq").Bind(1, from).Bind(2, to).Open())
        {
            while (rows.Next())
            {
                expired.Add(rows.Int(0));
            }
        }
        foreach (long request in expired)
        {
            Eraser.ExpireRequest(session, request);
        }
        session.Prepared("UPDATE meta SET value = ?1 WHERE name = 'expired_to'").Bind(1, to).Run();
        return (expired.Count, more);
    }

    /// <summary>Removes the next part of the oldest requests while the file holds more than allowed.</summary>
    public static (long Removed, bool More) BySize(WriterSession session, long keepBytes)
    {
        if (BytesInUse(session) <= keepBytes)
        {
            return (0, false);
        }
        List<(long Sequence, byte[] Id)> oldest = [];
        using (Statement.Rows rows = session.Prepared("SELECT seq, id FROM requests WHERE golden = 0 ORDER BY seq LIMIT ?1").Bind(1, Part).Open())
        {
            while (rows.Next())
            {
                oldest.Add((rows.Int(0), rows.Blob(1).ToArray()));
            }
        }
        long today = WriterSession.DayOf(session.Time.GetUtcNow().ToUnixTimeMilliseconds());
        foreach ((long sequence, byte[] id) in oldest)
        {
            session.Prepared("DELETE FROM texts WHERE seq = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM outcomes WHERE request = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM labels WHERE request = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM samples WHERE seq = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM ledger WHERE request = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM lineage WHERE request = ?1").Bind(1, sequence).Run();
            session.Prepared("DELETE FROM requests WHERE seq = ?1").Bind(1, sequence).Run();
            session.Prepared("INSERT INTO tombstones VALUES (?1, ?2) ON CONFLICT DO NOTHING").Bind(1, id).Bind(2, today).Run();
        }
        if (oldest.Count > 0)
        {
            // Once every request that a cycle knew is gone, a list of their ids serves nobody, and must not fill the file that is to shrink.
            session.Prepared("UPDATE datasets SET examples = NULL WHERE examples IS NOT NULL AND cycle IN (SELECT id FROM cycles WHERE active IS NULL AND sequence BETWEEN 1 AND ?1)")
                .Bind(1, oldest[^1].Sequence).Run();
            // The newest request may go too: the order of arrival must not begin again.
            session.Prepared("UPDATE meta SET value = max(value, ?1) WHERE name = 'removed_to'").Bind(1, oldest[^1].Sequence).Run();
        }
        return (oldest.Count, oldest.Count == Part);
    }

    /// <summary>Forgets what nobody asks for any more: counts of reports of past hours, and old tombstones.</summary>
    public static void Sweep(WriterSession session)
    {
        long now = session.Time.GetUtcNow().ToUnixTimeMilliseconds();
        session.Prepared("DELETE FROM feedback_hours WHERE hour < ?1").Bind(1, (now / MillisecondsPerHour) - HoursKept).Run();
        session.Prepared("DELETE FROM tombstones WHERE day < ?1").Bind(1, WriterSession.DayOf(now) - TombstoneDays).Run();
    }

    /// <summary>Hands some free pages back to the file system; gives whether there are more.</summary>
    public static bool Shrink(WriterSession session)
    {
        session.Session.Execute($"PRAGMA incremental_vacuum({PagesAtOnce})");
        return session.Session.Number("PRAGMA freelist_count") > 0;
    }

    private static long BytesInUse(WriterSession session)
    {
        long pages = session.Prepared("PRAGMA page_count").Number() ?? 0;
        long free = session.Prepared("PRAGMA freelist_count").Number() ?? 0;
        return (pages - free) * (session.Prepared("PRAGMA page_size").Number() ?? 0);
    }
}
