using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>What curation, canary and rollback ask for: which requests could teach something, their texts, and how live answers fared.</summary>
internal sealed class CurationReader(NameCache names, TextCodec texts, RequestReader requests)
{
    // Decision: the indexes are named. SQLite takes them by itself today; should a change of a condition part from its partial index, preparing fails, and
    // no cycle walks millions of requests of which few have a label or an outcome.
    // A row of stage 0 has no local answer; whether it has a prompt, only its texts tell.
    public const string SignalOf = """
        SELECT r.seq, r.id, r.at, r.task, k.name, r.labelled, r.reported, r.golden, r.p_correct, r.audited
        FROM requests r INDEXED BY requests_signal LEFT JOIN keys k ON k.id = r.key
        WHERE r.state = 0 AND (r.labelled = 1 OR r.reported = 1) AND r.kind = 0 AND r.seq > ?1 AND r.seq <= ?2
            AND (r.stage > 0 OR EXISTS (SELECT 1 FROM texts x WHERE x.seq = r.seq AND x.prompt IS NOT NULL))
        ORDER BY r.seq LIMIT ?3
        """;

    public const string OwnOf = """
        SELECT r.seq, r.id, r.at, r.task, k.name, r.labelled, r.reported, r.golden, r.p_correct, r.audited
        FROM requests r INDEXED BY requests_open LEFT JOIN keys k ON k.id = r.key
        WHERE r.stage = 1 AND r.kind = 0 AND r.route = 0 AND r.p_correct >= ?4 AND r.seq > ?1 AND r.seq <= ?2
            AND (r.reported = 0 OR NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.request = r.seq AND (o.kind IN (1, 2) OR o.score < 0.5)))
        ORDER BY r.seq LIMIT ?3
        """;

    // Whoever named a model has chosen who answers: no part of the traffic that a champion is judged by. 2: RouteReason.Requested.
    public const string WindowOf = """
        SELECT r.seq, r.id, r.at, r.task, k.name, r.labelled, r.reported, r.golden, r.p_correct, r.audited
        FROM requests r LEFT JOIN keys k ON k.id = r.key
        WHERE r.seq > ?1 AND r.seq <= ?2 AND r.state = 0 AND r.kind = 0 AND r.reason <> 2
            AND EXISTS (SELECT 1 FROM texts x WHERE x.seq = r.seq AND x.prompt IS NOT NULL)
        ORDER BY r.seq LIMIT ?3
        """;

    public const string WithTexts = """
        SELECT r.seq, r.id, r.at, r.task, k.name, r.labelled, r.reported, r.golden, r.p_correct, r.audited,
            r.adapter, r.route, r.audit_probability, r.contradicted, x.prompt, x.local_answer, x.embedding
        FROM requests r JOIN texts x ON x.seq = r.seq LEFT JOIN keys k ON k.id = r.key WHERE r.id = ?1 AND r.state = 0 AND x.prompt IS NOT NULL
        """;

    public const string LiveOf = """
        SELECT r.seq, r.id, r.task, r.adapter, r.at, r.audited FROM requests r INDEXED BY requests_live
        WHERE r.route = 0 AND (r.labelled = 1 OR r.reported = 1) AND r.seq > ?1 ORDER BY r.seq
        """;

    public const string LatestOutcome = "SELECT kind, score FROM outcomes WHERE request = ?1 ORDER BY n DESC LIMIT 1";

    // The verdict that samples have too.
    public const string LatestVerdict = "SELECT correct FROM labels WHERE request = ?1 AND correct IS NOT NULL ORDER BY teacher DESC, n DESC LIMIT 1";

    private const double PassingScore = 0.5;

    public IReadOnlyList<SignalKey> SignalKeys(Session session, long after, long upTo, int most) =>
        Keys(session.Prepared(SignalOf).Bind(1, after).Bind(2, upTo).Bind(3, most), session, most);

    public IReadOnlyList<SignalKey> WindowKeys(Session session, long after, long upTo, int most) =>
        Keys(session.Prepared(WindowOf).Bind(1, after).Bind(2, upTo).Bind(3, most), session, most);

    public IReadOnlyList<SignalKey> OwnKeys(Session session, long after, long upTo, double minimum, int most) =>
        Keys(session.Prepared(OwnOf).Bind(1, after).Bind(2, upTo).Bind(3, most).Bind(4, minimum), session, most);

    /// <summary>Adds the requests of <paramref name="ids"/> that still have a prompt, in their order.</summary>
    public void SignalRequests(Session session, ReadOnlySpan<string> ids, List<SignalRequest> found)
    {
        foreach (string id in ids)
        {
            if (RequestId.IsValid(id) && Request(session, id) is { } request)
            {
                found.Add(request);
            }
        }
    }

    public static long LastSequence(Session session) =>
        session.Prepared("SELECT max(coalesce((SELECT max(seq) FROM requests), 0), (SELECT value FROM meta WHERE name = 'removed_to'))").Number() ?? 0;

    public IReadOnlyList<LiveOutcome> LiveOutcomes(Session session, long after, int most)
    {
        List<LiveOutcome> outcomes = new(Math.Min(most, 1024));
        using Statement.Rows r = session.Prepared(LiveOf).Bind(1, after).Open();
        while (outcomes.Count < most && r.Next())
        {
            long sequence = r.Int(0);
            if (Good(session, sequence, out bool reported) is { } good)
            {
                outcomes.Add(new LiveOutcome(sequence, RequestId.ToText(r.Blob(1)), names.Task(session, r.Int(2)), names.Name(session, r.Int(3)), Time(r.Int(4)), good, r.Bool(5), reported));
            }
        }
        return outcomes;
    }

    private static bool? Good(Session session, long sequence, out bool reported)
    {
        reported = true;
        using (Statement.Rows latest = session.Prepared(LatestOutcome).Bind(1, sequence).Open())
        {
            if (latest.Next())
            {
                double? score = latest.RealOrNull(1);
                return (OutcomeKind)latest.Int(0) switch
                {
                    OutcomeKind.Accepted or OutcomeKind.Scored => score is not { } given || given >= PassingScore,
                    _ => false,
                };
            }
        }
        reported = false;
        return session.Prepared(LatestVerdict).Bind(1, sequence).Number() is { } correct ? correct != 0 : null;
    }

    private SignalRequest? Request(Session session, string requestId)
    {
        byte[] id = RequestId.ToBytes(requestId);
        using Statement.Rows r = session.Prepared(WithTexts).Bind(1, id).Open();
        if (!r.Next())
        {
            return null;
        }
        long sequence = r.Int(0);
        return new SignalRequest
        {
            Key = Key(session, r),
            Adapter = names.Name(session, r.Int(10)),
            Route = (Route)r.Int(11),
            AuditProbability = r.Real(12),
            Contradicted = r.Bool(13),
            Prompt = texts.DecodeText(r.Blob(14), id, TextColumn.Prompt)!,
            LocalAnswer = texts.DecodeText(r.Blob(15), id, TextColumn.LocalAnswer),
            Embedding = texts.DecodeEmbedding(r.Blob(16), id),
            Labels = requests.Labels(session, sequence, requestId, id),
            Outcomes = requests.Outcomes(session, sequence, requestId, id),
        };
    }

    private List<SignalKey> Keys(Statement statement, Session session, int most)
    {
        List<SignalKey> keys = new(Math.Clamp(most, 0, 1024));
        using Statement.Rows rows = statement.Open();
        while (rows.Next())
        {
            keys.Add(Key(session, rows));
        }
        return keys;
    }

    private SignalKey Key(Session session, in Statement.Rows r) => new(
        r.Int(0), RequestId.ToText(r.Blob(1)), Time(r.Int(2)), names.Task(session, r.Int(3)), r.TextOrNull(4), r.Bool(5), r.Bool(6), r.Bool(7), r.RealOrNull(8), r.Bool(9));

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
}
