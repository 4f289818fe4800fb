using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>Cycles, adapters, promotions, data sets and evaluations.</summary>
internal static class CycleReader
{
    public const string AdapterByName = """
        SELECT n.name, p.name, a.origin, a.status, a.at, a.model, a.file, a.bytes, a.hash, a.rank, a.cycle, a.note
        FROM names n JOIN adapters a ON a.adapter = n.id LEFT JOIN names p ON p.id = a.parent WHERE n.name = ?1
        """;

    public const string CycleById = """
        SELECT c.id, c.state, c."trigger", c.cause, m.name, n.name, c.started, c.changed, c.sequence, c.detail, c.outcome
        FROM cycles c JOIN names m ON m.id = c.champion JOIN names n ON n.id = c.candidate WHERE c.id = ?1
        """;

    public const string ActiveCycle = """
        SELECT c.id, c.state, c."trigger", c.cause, m.name, n.name, c.started, c.changed, c.sequence, c.detail, c.outcome
        FROM cycles c JOIN names m ON m.id = c.champion JOIN names n ON n.id = c.candidate WHERE c.active = 1
        """;

    public const string NewestCycles = """
        SELECT c.id, c.state, c."trigger", c.cause, m.name, n.name, c.started, c.changed, c.sequence, c.detail, c.outcome
        FROM cycles c JOIN names m ON m.id = c.champion JOIN names n ON n.id = c.candidate ORDER BY c.id DESC LIMIT ?1
        """;

    public const string NewestPromotions = """
        SELECT p.n, p.at, a.name, b.name, p.reason, p.cycle, p.evidence
        FROM promotions p JOIN names a ON a.id = p.adapter JOIN names b ON b.id = p.previous ORDER BY p.n DESC LIMIT ?1
        """;

    public const string DatasetOfCycle = "SELECT hash, manifest, examples FROM datasets WHERE cycle = ?1";

    // The evaluations of one adapter are a handful.
    public const string EvaluationsOfAdapter = "SELECT e.cycle, e.kind, e.at, e.evaluation FROM evaluations e WHERE e.adapter = ?1 ORDER BY e.n";

    public static AdapterRecord? Adapter(Session session, string id)
    {
        using Statement.Rows r = session.Prepared(AdapterByName).Bind(1, id).Open();
        return r.Next() ? Adapter(r) : null;
    }

    public static IReadOnlyList<AdapterRecord> Adapters(Session session)
    {
        List<AdapterRecord> adapters = [];
        using Statement.Rows r = session.Prepared("""
            SELECT n.name, p.name, a.origin, a.status, a.at, a.model, a.file, a.bytes, a.hash, a.rank, a.cycle, a.note
            FROM adapters a JOIN names n ON n.id = a.adapter LEFT JOIN names p ON p.id = a.parent ORDER BY a.n DESC
            """).Open();
        while (r.Next())
        {
            adapters.Add(Adapter(r));
        }
        return adapters;
    }

    public static CycleRecord? Cycle(Session session, long id)
    {
        using Statement.Rows r = session.Prepared(CycleById).Bind(1, id).Open();
        return r.Next() ? Cycle(r) : null;
    }

    public static CycleRecord? Active(Session session)
    {
        using Statement.Rows r = session.Prepared(ActiveCycle).Open();
        return r.Next() ? Cycle(r) : null;
    }

    public static IReadOnlyList<CycleRecord> Cycles(Session session, int most)
    {
        List<CycleRecord> cycles = [];
        using Statement.Rows r = session.Prepared(NewestCycles).Bind(1, most).Open();
        while (r.Next())
        {
            cycles.Add(Cycle(r));
        }
        return cycles;
    }

    public static IReadOnlyList<PromotionRecord> Promotions(Session session, int most)
    {
        List<PromotionRecord> promotions = [];
        using Statement.Rows r = session.Prepared(NewestPromotions).Bind(1, most).Open();
        while (r.Next())
        {
            promotions.Add(new PromotionRecord
            {
                Number = r.Int(0),
                At = Time(r.Int(1)),
                Adapter = r.Text(2),
                Previous = r.Text(3),
                Reason = (PromotionReason)r.Int(4),
                Cycle = r.IntOrNull(5),
                Evidence = r.Text(6),
            });
        }
        return promotions;
    }

    /// <summary>Throws <see cref="StoreException"/> when the examples are damaged.</summary>
    public static (string Hash, string Manifest, IReadOnlyList<CuratedExample> Examples)? Dataset(Session session, long cycle)
    {
        using Statement.Rows r = session.Prepared(DatasetOfCycle).Bind(1, cycle).Open();
        if (!r.Next())
        {
            return null;
        }
        IReadOnlyList<CuratedExample>? examples = r.IsNull(2) ? [] : DatasetCodec.Decode(r.Blob(2).ToArray());
        return examples is not null
            ? (r.Text(0), r.Text(1), examples)
            : throw new StoreException(StoreError.Damaged, $"The data set of cycle {cycle} is damaged. Restore the store from a backup, or run a new cycle.");
    }

    public static IReadOnlyList<StoredEvaluation> Evaluations(Session session, string adapter)
    {
        if (NameCache.NameId(session, adapter) is not { } number)
        {
            return [];
        }
        List<StoredEvaluation> evaluations = [];
        using Statement.Rows r = session.Prepared(EvaluationsOfAdapter).Bind(1, number).Open();
        while (r.Next())
        {
            evaluations.Add(new StoredEvaluation(r.IntOrNull(0) ?? 0, r.Text(1), Time(r.Int(2)), r.Text(3)));
        }
        return evaluations;
    }

    private static AdapterRecord Adapter(in Statement.Rows r) => new()
    {
        Id = r.Text(0),
        Parent = r.TextOrNull(1),
        Origin = (AdapterOrigin)r.Int(2),
        Status = (AdapterStatus)r.Int(3),
        At = Time(r.Int(4)),
        Model = r.Text(5),
        File = r.TextOrNull(6),
        Bytes = r.Int(7),
        Hash = r.Text(8),
        Rank = (int)r.Int(9),
        Cycle = r.IntOrNull(10),
        Note = r.Text(11),
    };

    private static CycleRecord Cycle(in Statement.Rows r) => new()
    {
        Id = r.Int(0),
        State = (CycleState)r.Int(1),
        Trigger = (CycleTrigger)r.Int(2),
        Cause = r.Text(3),
        Champion = r.Text(4),
        Candidate = r.Text(5),
        StartedAt = Time(r.Int(6)),
        ChangedAt = Time(r.Int(7)),
        Sequence = r.Int(8),
        Detail = r.Text(9),
        Outcome = r.Text(10),
    };

    private static DateTimeOffset Time(long milliseconds) => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
}
