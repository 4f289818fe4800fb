using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Keeps the dense table of samples in step with labels and outcomes.</summary>
internal static class SampleWriter
{
    /// <summary>Writes, changes or removes the sample of a request, by what is known of it now.</summary>
    /// <remarks>
    /// Decision: a teacher's verdict counts before a client's correction, because the risk that is controlled is disagreement with the teacher; the newest label
    /// of the newest teacher counts. A correction alone makes a wrong sample outside the audit sample: clients correct what is wrong, so counting it as audited
    /// would make audited answers look worse than all answers are. It says nothing of the local answer when the client was sent another.
    /// </remarks>
    public static void Refresh(WriterSession session, long sequence)
    {
        Statement find = session.Prepared("SELECT id, task, adapter, features, audited, audit_probability, route, outcome FROM requests WHERE seq = ?1").Bind(1, sequence);
        using Statement.Rows request = find.Open();
        if (!request.Next() || request.IsNull(3))
        {
            return;
        }
        long? verdict = session.Prepared("SELECT correct FROM labels WHERE request = ?1 AND correct IS NOT NULL ORDER BY teacher DESC, n DESC LIMIT 1").Bind(1, sequence).Number();
        bool labelled = verdict is not null;
        if (!labelled && request.Int(6) == (long)Route.Local && request.IntOrNull(7) == (long)OutcomeKind.Corrected)
        {
            verdict = 0;
        }
        if (verdict is null)
        {
            session.Prepared("DELETE FROM samples WHERE seq = ?1").Bind(1, sequence).Run();
            return;
        }
        Span<byte> data = stackalloc byte[SampleCodec.Bytes];
        int bytes = SampleCodec.Write(data, request.Blob(0), verdict != 0, labelled && request.Bool(4), request.Real(5), request.Blob(3));
        session.Prepared("INSERT INTO samples VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET data = excluded.data")
            .Bind(1, sequence).Bind(2, request.Int(1)).Bind(3, request.Int(2)).Bind(4, data[..bytes])
            .Run();
    }
}
