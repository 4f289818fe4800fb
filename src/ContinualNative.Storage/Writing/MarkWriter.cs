using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Golden marks, calibrations and the lineage of adapters.</summary>
internal static class MarkWriter
{
    /// <summary>false when the request is unknown, erased, or has no label.</summary>
    public static bool SetGolden(WriterSession session, byte[] id, bool golden) =>
        session.Prepared("UPDATE requests SET golden = ?2 WHERE id = ?1 AND labelled = 1 AND state = 0").Bind(1, id).Bind(2, golden).Run() > 0;

    public static long SaveCalibration(WriterSession session, string task, string adapter, string calibration)
    {
        long number = session.Task(task);
        long id = session.Prepared("INSERT INTO calibrations (task, adapter, at, calibration) VALUES (?1, ?2, ?3, ?4) RETURNING id")
            .Bind(1, number).Bind(2, session.Name(adapter)).Bind(3, session.Time.GetUtcNow().ToUnixTimeMilliseconds()).Bind(4, calibration)
            .Number()!.Value;
        session.Prepared("UPDATE tasks SET calibration = ?2 WHERE id = ?1").Bind(1, number).Bind(2, id).Run();
        return id;
    }

    /// <summary>Notes a part of an adapter's lineage; requests that are not there any more are passed over.</summary>
    public static void RecordAdapter(WriterSession session, string adapter, string? parent, ReadOnlyMemory<byte[]> ids)
    {
        long number = session.Name(adapter);
        session.Prepared("INSERT INTO adapters (adapter, parent, at, n) SELECT ?1, ?2, ?3, coalesce(max(n), 0) + 1 FROM adapters WHERE true ON CONFLICT DO NOTHING")
            .Bind(1, number).Bind(2, parent is null ? null : session.Name(parent)).Bind(3, session.Time.GetUtcNow().ToUnixTimeMilliseconds())
            .Run();
        foreach (byte[] id in ids.Span)
        {
            if (session.Prepared("SELECT seq FROM requests WHERE id = ?1").Bind(1, id).Number() is not { } sequence)
            {
                continue;
            }
            session.Prepared("INSERT INTO lineage VALUES (?1, ?2) ON CONFLICT DO NOTHING").Bind(1, sequence).Bind(2, number).Run();
        }
    }

    /// <summary>Ids of adapters that saw a request.</summary>
    public static void AdaptersOf(WriterSession session, long sequence, ISet<string> adapters)
    {
        using Statement.Rows rows = session.Prepared("SELECT n.name FROM lineage l JOIN names n ON n.id = l.adapter WHERE l.request = ?1").Bind(1, sequence).Open();
        while (rows.Next())
        {
            adapters.Add(rows.Text(0));
        }
    }
}
