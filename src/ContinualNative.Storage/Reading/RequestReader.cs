using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>Reads one request with all that belongs to it.</summary>
internal sealed class RequestReader(NameCache names, TextCodec texts)
{
    public const string ById = """
        SELECT r.seq, r.at, r.kind, k.name, r.task, r.model, r.adapter, r.streamed, r.route, r.reason, r.p_correct, r.threshold, r.calibration, r.audited,
            r.audit_probability, r.features, r.finish, r.prompt_tokens, r.cached_tokens, r.completion_tokens, r.local_time, r.total_time, r.state, r.contradicted,
            r.golden, x.prompt, x.local_answer, x.embedding
        FROM requests r LEFT JOIN texts x ON x.seq = r.seq LEFT JOIN keys k ON k.id = r.key WHERE r.id = ?1
        """;

    public const string OutcomesOf = "SELECT o.at, o.kind, o.score, o.source, k.name, o.correction FROM outcomes o LEFT JOIN keys k ON k.id = o.key WHERE o.request = ?1 ORDER BY o.n";

    public const string LabelsOf = """
        SELECT l.at, t.endpoint, t.teacher, l.reason, l.agreement, l.correct, l.measure, l.prompt_tokens, l.cached_tokens, l.completion_tokens, l.cost, l.latency,
            l.training_allowed, l.answer, l.log_probs
        FROM labels l JOIN teachers t ON t.id = l.teacher WHERE l.request = ?1 ORDER BY l.n
        """;

    public const string CostsOf = "SELECT at, kind, amount, endpoint, task, prompt_tokens, cached_tokens, completion_tokens, seconds FROM ledger WHERE request = ?1 ORDER BY entry";

    public const string AdaptersOf = "SELECT adapter FROM lineage WHERE request = ?1 ORDER BY adapter";

    private const int Erased = 1;
    private const int Expired = 2;

    public StoredRequest? Find(Session session, string requestId)
    {
        byte[] id = RequestId.ToBytes(requestId);
        using Statement.Rows r = session.Prepared(ById).Bind(1, id).Open();
        if (!r.Next())
        {
            return null;
        }
        long sequence = r.Int(0);
        return new StoredRequest
        {
            Sequence = sequence,
            Request = Request(session, requestId, id, r),
            Erased = r.Int(22) == Erased,
            Expired = r.Int(22) == Expired,
            Contradicted = r.Bool(23),
            Golden = r.Bool(24),
            Outcomes = Outcomes(session, sequence, requestId, id),
            Labels = Labels(session, sequence, requestId, id),
            Costs = Costs(session, sequence, requestId),
            SeenBy = SeenBy(session, sequence),
        };
    }

    private RequestRecord Request(Session session, string requestId, byte[] id, in Statement.Rows r) => new()
    {
        Id = requestId,
        At = Time(r.Int(1)),
        Kind = (RequestKind)r.Int(2),
        KeyId = r.TextOrNull(3),
        Task = names.Task(session, r.Int(4)),
        Model = names.Name(session, r.Int(5)),
        Adapter = names.Name(session, r.Int(6)),
        Streamed = r.Bool(7),
        Decision = new RouteDecision
        {
            Route = (Route)r.Int(8),
            Reason = (RouteReason)r.Int(9),
            PCorrect = r.RealOrNull(10),
            Threshold = r.RealOrNull(11),
            Calibration = r.Int(12),
            Audited = r.Bool(13),
            AuditProbability = r.Real(14),
            Features = r.IsNull(15) ? null : FeaturesCodec.Read(r.Blob(15)),
        },
        FinishReason = names.Name(session, r.Int(16)),
        PromptTokens = (int)r.Int(17),
        CachedTokens = (int)r.Int(18),
        CompletionTokens = (int)r.Int(19),
        LocalTime = Duration(r.Int(20)),
        TotalTime = Duration(r.Int(21)),
        Prompt = texts.DecodeText(r.Blob(25), id, TextColumn.Prompt),
        LocalAnswer = texts.DecodeText(r.Blob(26), id, TextColumn.LocalAnswer),
        Embedding = r.IsNull(27) ? default : texts.DecodeEmbedding(r.Blob(27), id),
    };

    /// <summary>Outcomes of a request, oldest first.</summary>
    public List<Outcome> Outcomes(Session session, long sequence, string requestId, byte[] id)
    {
        List<Outcome> outcomes = [];
        using Statement.Rows r = session.Prepared(OutcomesOf).Bind(1, sequence).Open();
        while (r.Next())
        {
            outcomes.Add(new Outcome
            {
                RequestId = requestId,
                At = Time(r.Int(0)),
                Kind = (OutcomeKind)r.Int(1),
                Score = r.RealOrNull(2),
                Source = r.Text(3),
                KeyId = r.TextOrNull(4),
                Correction = texts.DecodeText(r.Blob(5), id, TextColumn.Correction),
            });
        }
        return outcomes;
    }

    /// <summary>Labels of a request, oldest first.</summary>
    public List<TeacherLabel> Labels(Session session, long sequence, string requestId, byte[] id)
    {
        List<TeacherLabel> labels = [];
        using Statement.Rows r = session.Prepared(LabelsOf).Bind(1, sequence).Open();
        while (r.Next())
        {
            labels.Add(new TeacherLabel
            {
                RequestId = requestId,
                At = Time(r.Int(0)),
                Endpoint = names.Name(session, r.Int(1)),
                Teacher = names.Name(session, r.Int(2)),
                Reason = (LabelReason)r.Int(3),
                Agreement = r.RealOrNull(4),
                Correct = r.IsNull(5) ? null : r.Bool(5),
                Measure = names.Name(session, r.Int(6)),
                PromptTokens = (int)r.Int(7),
                CachedTokens = (int)r.Int(8),
                CompletionTokens = (int)r.Int(9),
                Cost = new Money(r.Int(10)),
                Latency = Duration(r.Int(11)),
                TrainingAllowed = r.Bool(12),
                Answer = texts.DecodeText(r.Blob(13), id, TextColumn.LabelAnswer),
                LogProbs = texts.DecodeText(r.Blob(14), id, TextColumn.LogProbs),
            });
        }
        return labels;
    }

    private List<LedgerEntry> Costs(Session session, long sequence, string requestId)
    {
        List<LedgerEntry> costs = [];
        using Statement.Rows r = session.Prepared(CostsOf).Bind(1, sequence).Open();
        while (r.Next())
        {
            costs.Add(new LedgerEntry
            {
                RequestId = requestId,
                At = Time(r.Int(0)),
                Kind = (LedgerKind)r.Int(1),
                Amount = new Money(r.Int(2)),
                Endpoint = names.Name(session, r.Int(3)),
                Task = names.Task(session, r.Int(4)),
                PromptTokens = (int)r.Int(5),
                CachedTokens = (int)r.Int(6),
                CompletionTokens = (int)r.Int(7),
                Seconds = r.Real(8),
            });
        }
        return costs;
    }

    private List<string> SeenBy(Session session, long sequence)
    {
        List<string> adapters = [];
        using Statement.Rows r = session.Prepared(AdaptersOf).Bind(1, sequence).Open();
        while (r.Next())
        {
            adapters.Add(names.Name(session, r.Int(0)));
        }
        return adapters;
    }

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);

    private static TimeSpan Duration(long microseconds) => TimeSpan.FromTicks(microseconds * TimeSpan.TicksPerMicrosecond);
}
