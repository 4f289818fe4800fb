using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>What router and teacher ask for: samples, candidates for labels, and what was learned.</summary>
internal sealed class SignalReader(NameCache names, TextCodec texts)
{
    public const string SamplesOfAll = "SELECT seq, task, adapter, data FROM samples ORDER BY seq DESC LIMIT ?3";
    public const string SamplesOfTask = "SELECT seq, task, adapter, data FROM samples WHERE task = ?1 ORDER BY seq DESC LIMIT ?3";
    public const string SamplesOfAdapter = "SELECT seq, task, adapter, data FROM samples WHERE adapter = ?2 ORDER BY seq DESC LIMIT ?3";
    public const string SamplesOfBoth = "SELECT seq, task, adapter, data FROM samples WHERE task = ?1 AND adapter = ?2 ORDER BY seq DESC LIMIT ?3";

    public const string Open = """
        SELECT r.seq, r.id, r.task, r.p_correct, r.features, r.audited, r.failed, x.embedding
        FROM requests r JOIN texts x ON x.seq = r.seq WHERE r.stage = 1 AND r.seq > ?1 ORDER BY r.seq LIMIT ?2
        """;

    public const string LabelledOfTask = "SELECT id FROM requests WHERE task = ?1 AND stage = 2 ORDER BY seq DESC LIMIT ?2";

    // 1 and 2: AdapterStatus.Champion and Retired.
    public const string Known = """
        SELECT r.id, x.embedding FROM requests r INDEXED BY requests_signal JOIN texts x ON x.seq = r.seq
        WHERE r.state = 0 AND (r.labelled = 1 OR r.reported = 1) AND x.embedding IS NOT NULL AND r.labelled = 1
            AND (EXISTS (SELECT 1 FROM labels l WHERE l.request = r.seq AND l.correct = 1)
                OR EXISTS (SELECT 1 FROM lineage g JOIN adapters a ON a.adapter = g.adapter WHERE g.request = r.seq AND a.status IN (1, 2)))
        ORDER BY r.seq DESC LIMIT ?1
        """;

    // Newest first: whether it was answered rightly or learned from, whether this adapter answered it wrongly; and where no teacher has judged it, what was last reported of a local answer (a score is no such report), by
    // whom, when, and whether this adapter gave it.
    public const string Judged = """
        SELECT r.id, x.prompt,
            EXISTS (SELECT 1 FROM labels l WHERE l.request = r.seq AND l.correct = 1)
                OR EXISTS (SELECT 1 FROM lineage g JOIN adapters a ON a.adapter = g.adapter WHERE g.request = r.seq AND a.status IN (1, 2)),
            r.adapter = ?1 AND EXISTS (SELECT 1 FROM labels l WHERE l.request = r.seq AND l.correct = 0),
            CASE WHEN r.route = 0 AND r.contradicted = 0 AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.request = r.seq AND l.correct IS NOT NULL) THEN r.outcome END,
            (SELECT k.name FROM outcomes o JOIN keys k ON k.id = o.key WHERE o.n = (SELECT max(n) FROM outcomes WHERE request = r.seq AND kind <> 3)),
            (SELECT at FROM outcomes WHERE n = (SELECT max(n) FROM outcomes WHERE request = r.seq AND kind <> 3)),
            r.adapter = ?1
        FROM requests r INDEXED BY requests_signal JOIN texts x ON x.seq = r.seq
        WHERE r.state = 0 AND (r.labelled = 1 OR r.reported = 1) AND r.kind = 0 AND x.prompt IS NOT NULL
        ORDER BY r.seq DESC LIMIT ?2
        """;

    // What other adapters answered wrongly is read for nothing: so many times as much as is wanted at most.
    private const int MostPassedOver = 4;

    public const string GoldenOfTask = "SELECT id FROM requests WHERE task = ?1 AND golden = 1 ORDER BY seq";

    // Scans the labels: asked once a start and once a new version.
    private const string LabelledByTeacher = """
        SELECT DISTINCT r.id FROM labels l CROSS JOIN teachers t ON t.id = l.teacher CROSS JOIN requests r ON r.seq = l.request WHERE t.endpoint = ?1 AND t.teacher = ?2
        """;

    public IReadOnlyList<LabelledSample> Samples(Session session, string? task, string? adapter, int most)
    {
        long? taskId = task is null ? null : NameCache.TaskId(session, task);
        long? adapterId = adapter is null ? null : NameCache.NameId(session, adapter);
        if ((task is not null && taskId is null) || (adapter is not null && adapterId is null))
        {
            return [];
        }
        Statement statement = session.Prepared((taskId, adapterId) switch
        {
            (null, null) => SamplesOfAll,
            (not null, null) => SamplesOfTask,
            (null, not null) => SamplesOfAdapter,
            _ => SamplesOfBoth,
        });
        // SQLite counts parameters up to the highest number that a statement names.
        if (taskId is { } t)
        {
            statement.Bind(1, t);
        }
        if (adapterId is { } a)
        {
            statement.Bind(2, a);
        }
        statement.Bind(3, most);
        List<LabelledSample> samples = new(Math.Min(most, 2048));
        using Statement.Rows rows = statement.Open();
        while (rows.Next())
        {
            samples.Add(SampleCodec.Read(rows.Blob(3), rows.Int(0), task ?? names.Task(session, rows.Int(1)), adapter ?? names.Name(session, rows.Int(2))));
        }
        return samples;
    }

    public IReadOnlyList<UnlabelledRequest> Unlabelled(Session session, long after, int most)
    {
        List<UnlabelledRequest> found = new(Math.Min(most, 1024));
        using Statement.Rows rows = session.Prepared(Open).Bind(1, after).Bind(2, most).Open();
        while (rows.Next())
        {
            ReadOnlySpan<byte> id = rows.Blob(1);
            found.Add(new UnlabelledRequest(
                rows.Int(0),
                RequestId.ToText(id),
                names.Task(session, rows.Int(2)),
                rows.RealOrNull(3),
                rows.IsNull(4) ? null : FeaturesCodec.Novelty(rows.Blob(4)),
                rows.Bool(5),
                rows.Bool(6),
                texts.DecodeEmbedding(rows.Blob(7), id)));
        }
        return found;
    }

    public static IReadOnlyList<string> RecentLabelled(Session session, string task, int most) =>
        NameCache.TaskId(session, task) is { } id ? Ids(session.Prepared(LabelledOfTask).Bind(1, id).Bind(2, most)) : [];

    public static HashSet<string> LabelledBy(Session session, string endpoint, string teacher) =>
        NameCache.NameId(session, endpoint) is { } e && NameCache.NameId(session, teacher) is { } t ? [.. Ids(session.Prepared(LabelledByTeacher).Bind(1, e).Bind(2, t))] : [];

    public static IReadOnlyList<string> Golden(Session session, string task) =>
        NameCache.TaskId(session, task) is { } id ? Ids(session.Prepared(GoldenOfTask).Bind(1, id)) : [];

    public IReadOnlyList<ReadOnlyMemory<float>> KnownEmbeddings(Session session, int most)
    {
        List<ReadOnlyMemory<float>> embeddings = new(Math.Min(most, 4096));
        using Statement.Rows rows = session.Prepared(Known).Bind(1, most).Open();
        while (rows.Next())
        {
            embeddings.Add(texts.DecodeEmbedding(rows.Blob(1), rows.Blob(0)));
        }
        return embeddings;
    }

    public IReadOnlyList<(string Prompt, bool Right)> JudgedPrompts(Session session, string adapter, int most, Func<string?, DateTimeOffset, bool> believed)
    {
        List<(string, bool)> judged = new(Math.Min(most, 4096));
        int labels = 0, reports = 0;
        using Statement.Rows rows = session.Prepared(Judged).Bind(1, NameCache.NameId(session, adapter) ?? -1).Bind(2, (long)most * MostPassedOver).Open();
        while (labels < most && rows.Next())
        {
            bool right = rows.Bool(2), wrong = rows.Bool(3);
            ref int count = ref labels;
            if (!right && !wrong)
            {
                // Reports are many: they are not to crowd out what teachers said.
                if (reports >= most || (OutcomeKind?)rows.IntOrNull(4) is not { } kind || kind == OutcomeKind.Scored
                    || !believed(rows.TextOrNull(5), DateTimeOffset.FromUnixTimeMilliseconds(rows.Int(6))))
                {
                    continue;
                }
                right = kind == OutcomeKind.Accepted;
                wrong = !right && rows.Bool(7);
                count = ref reports;
            }
            if ((right || wrong) && texts.DecodeText(rows.Blob(1), rows.Blob(0), TextColumn.Prompt) is { } prompt)
            {
                judged.Add((prompt, right));
                count++;
            }
        }
        return judged;
    }

    private static List<string> Ids(Statement statement)
    {
        List<string> ids = [];
        using Statement.Rows rows = statement.Open();
        while (rows.Next())
        {
            ids.Add(RequestId.ToText(rows.Blob(0)));
        }
        return ids;
    }
}
