using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Inserts labels.</summary>
internal static class LabelWriter
{
    private const int Whole = 0;

    public static void Insert(WriterSession session, TeacherLabel label)
    {
        byte[] id = RequestId.ToBytes(label.RequestId);
        long? sequence = null;
        string task = "";
        bool whole = false;
        bool texts = false;
        using (Statement.Rows rows = session.Prepared("""
            SELECT r.seq, r.state, t.name, x.prompt IS NOT NULL
            FROM requests r JOIN tasks t ON t.id = r.task LEFT JOIN texts x ON x.seq = r.seq WHERE r.id = ?1
            """).Bind(1, id).Open())
        {
            if (rows.Next())
            {
                sequence = rows.Int(0);
                whole = rows.Int(1) == Whole;
                task = rows.Text(2);
                texts = rows.Bool(3);
            }
        }
        // The money is spent, whatever became of the request meanwhile.
        if (label.Cost != Money.Zero || label.PromptTokens != 0 || label.CompletionTokens != 0)
        {
            LedgerWriter.Insert(session, CostOf(label, task), sequence);
        }
        if (sequence is not { } request || !whole)
        {
            session.CountIgnored();
            return;
        }
        long at = label.At.ToUnixTimeMilliseconds();
        session.Prepared("""
            INSERT INTO labels (request, at, teacher, reason, agreement, correct, measure, prompt_tokens, cached_tokens, completion_tokens, cost, latency, training_allowed, answer, log_probs)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
            """)
            .Bind(1, request).Bind(2, at).Bind(3, Teacher(session, label.Endpoint, label.Teacher, at)).Bind(4, (long)label.Reason)
            .Bind(5, label.Agreement).Bind(6, label.Correct is { } correct ? (correct ? 1 : 0) : null).Bind(7, session.Name(label.Measure))
            .Bind(8, label.PromptTokens).Bind(9, label.CachedTokens).Bind(10, label.CompletionTokens).Bind(11, label.Cost.Nanos)
            .Bind(12, RequestWriter.Microseconds(label.Latency)).Bind(13, label.TrainingAllowed)
            .Bind(14, session.Texts.Encode(label.Answer, id, TextColumn.LabelAnswer)).Bind(15, session.Texts.Encode(label.LogProbs, id, TextColumn.LogProbs))
            .Run();
        session.Prepared("UPDATE requests SET labelled = 1, stage = ?2 WHERE seq = ?1").Bind(1, request).Bind(2, texts ? RequestWriter.StageLabelled : RequestWriter.StageNone).Run();
        SampleWriter.Refresh(session, request);
        session.CountLabel();
    }

    private static LedgerEntry CostOf(TeacherLabel label, string task) => new()
    {
        At = label.At,
        Kind = label.Reason == LabelReason.Escalated ? LedgerKind.Escalation : LedgerKind.Teaching,
        Amount = label.Cost,
        RequestId = label.RequestId,
        Endpoint = label.Endpoint,
        Task = task,
        PromptTokens = label.PromptTokens,
        CachedTokens = label.CachedTokens,
        CompletionTokens = label.CompletionTokens,
    };

    private static long Teacher(WriterSession session, string endpoint, string teacher, long at)
    {
        long e = session.Name(endpoint);
        long t = session.Name(teacher);
        return session.Prepared("SELECT id FROM teachers WHERE endpoint = ?1 AND teacher = ?2").Bind(1, e).Bind(2, t).Number()
            ?? session.Prepared("INSERT INTO teachers (endpoint, teacher, first_seen) VALUES (?1, ?2, ?3) RETURNING id").Bind(1, e).Bind(2, t).Bind(3, at).Number()!.Value;
    }
}
