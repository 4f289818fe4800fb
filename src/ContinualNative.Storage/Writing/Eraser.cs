using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Whose data are erased; one of them is given.</summary>
internal sealed record ErasureTarget(string? User, string? KeyId, byte[]? RequestId);

/// <summary>What one part of an erasure did.</summary>
internal sealed record ErasedPart(long Requests, IReadOnlyCollection<string> Adapters, bool More);

/// <summary>
/// Takes texts and people out of requests. The numbers stay: routes, features, verdicts and costs say nothing of anybody, and reports and calibrations need them.
/// </summary>
internal static class Eraser
{
    /// <summary>Requests in one transaction: few, so that other writes get their turn.</summary>
    public const int Part = 256;

    /// <summary>Erases up to <see cref="Part"/> requests of the target; the last part also removes the user or key itself.</summary>
    public static ErasedPart Erase(WriterSession session, ErasureTarget target)
    {
        List<long> requests = [];
        long? person = null;
        if (target.RequestId is { } id)
        {
            if (session.Prepared("SELECT seq FROM requests WHERE id = ?1 AND state <> 1").Bind(1, id).Number() is { } sequence)
            {
                requests.Add(sequence);
            }
        }
        else
        {
            person = target.User is { } user ? session.FindUser(user) : session.FindKey(target.KeyId!);
            if (person is { } number)
            {
                Statement find = session.Prepared(target.User is not null
                    ? "SELECT seq FROM requests WHERE user = ?1 ORDER BY seq LIMIT ?2"
                    : "SELECT seq FROM requests WHERE key = ?1 ORDER BY seq LIMIT ?2");
                using Statement.Rows rows = find.Bind(1, number).Bind(2, Part).Open();
                while (rows.Next())
                {
                    requests.Add(rows.Int(0));
                }
            }
        }
        HashSet<string> adapters = new(StringComparer.Ordinal);
        foreach (long request in requests)
        {
            EraseRequest(session, request);
            MarkWriter.AdaptersOf(session, request, adapters);
        }
        bool more = requests.Count == Part;
        if (person is { } gone && !more)
        {
            more = target.User is null && !EraseReports(session, gone);
            if (!more)
            {
                session.Prepared(target.User is not null ? "DELETE FROM users WHERE id = ?1" : "UPDATE keys SET name = NULL WHERE id = ?1").Bind(1, gone).Run();
                session.ForgetPeople();
            }
        }
        return new ErasedPart(requests.Count, adapters, more);
    }

    /// <summary>Takes the texts of one request, as expiry does; whose it was stays known, so that a later erasure finds it.</summary>
    public static void ExpireRequest(WriterSession session, long request)
    {
        EraseTexts(session, request);
        session.Prepared("UPDATE requests SET state = 2, stage = 0 WHERE seq = ?1").Bind(1, request).Run();
    }

    private static void EraseRequest(WriterSession session, long request)
    {
        EraseTexts(session, request);
        session.Prepared("UPDATE outcomes SET source = '', key = NULL WHERE request = ?1").Bind(1, request).Run();
        session.Prepared("UPDATE requests SET state = 1, stage = 0, golden = 0, key = NULL, user = NULL WHERE seq = ?1").Bind(1, request).Run();
    }

    private static void EraseTexts(WriterSession session, long request)
    {
        session.Prepared("DELETE FROM texts WHERE seq = ?1").Bind(1, request).Run();
        session.Prepared("UPDATE outcomes SET correction = NULL, digest = NULL WHERE request = ?1").Bind(1, request).Run();
        session.Prepared("UPDATE labels SET answer = NULL, log_probs = NULL WHERE request = ?1").Bind(1, request).Run();
    }

    // A key may have corrected answers to requests of other keys. Those keep their verdicts and lose its words. true when all are done.
    private static bool EraseReports(WriterSession session, long key) =>
        session.Prepared("""
            UPDATE outcomes SET correction = NULL, digest = NULL, source = '', key = NULL WHERE n IN (SELECT n FROM outcomes WHERE key = ?1 LIMIT ?2)
            """).Bind(1, key).Bind(2, Part).Run() < Part;
}
