using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage.Reading;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Writes cycles, adapters, promotions, data sets and evaluations.</summary>
/// <remarks>
/// Decision: what does not fit (another cycle runs, the state is another) is a result and no exception. Other writes share the transaction: an exception rolls them back
/// to be tried again, and a <see cref="StoreException"/> would say that the disk fails. So each looks before it writes, and a refused one leaves nothing behind.
/// </remarks>
internal static class CycleWriter
{
    /// <summary>The new cycle, or null while another one runs.</summary>
    public static CycleRecord? Begin(WriterSession session, CycleTrigger trigger, string cause, string champion, Func<long, string> candidateOf)
    {
        long id = (session.Prepared("SELECT max(id) FROM cycles").Number() ?? 0) + 1;
        long now = Now(session);
        string candidate = candidateOf(id);
        if (!ModelAddress.IsValidAdapterId(candidate))
        {
            throw new ArgumentException($"'{candidate}' cannot name an adapter.", nameof(candidateOf));
        }
        int inserted = session.Prepared("""
            INSERT INTO cycles (id, state, "trigger", cause, champion, candidate, started, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
            ON CONFLICT (active) DO NOTHING
            """)
            .Bind(1, id).Bind(2, (long)CycleState.Curating).Bind(3, (long)trigger).Bind(4, cause)
            .Bind(5, session.Name(champion)).Bind(6, session.Name(candidate)).Bind(7, now)
            .Run();
        return inserted == 0 ? null : CycleReader.Cycle(session.Session, id);
    }

    /// <summary>Takes a cycle from one state to another. false when it is not in the first.</summary>
    public static bool Advance(WriterSession session, CycleChange change)
    {
        Statement update = session.Prepared("""
            UPDATE cycles SET state = ?3, changed = ?4, outcome = ?5, sequence = coalesce(?6, sequence),
                detail = CASE WHEN ?7 IS NULL THEN detail ELSE json_set(detail, '$."' || ?7 || '"', json(?8)) END
            WHERE id = ?1 AND state = ?2
            """);
        return update
            .Bind(1, change.Cycle).Bind(2, (long)change.From).Bind(3, (long)change.To).Bind(4, Now(session)).Bind(5, change.Outcome).Bind(6, change.Sequence)
            .Bind(7, change.Step).Bind(8, change.StepJson)
            .Run() > 0;
    }

    /// <summary>Sets what a step leaves, without a change of state. false when the cycle does not run.</summary>
    public static bool Note(WriterSession session, long id, string step, string stepJson) =>
        session.Prepared("UPDATE cycles SET detail = json_set(detail, '$.\"' || ?2 || '\"', json(?3)) WHERE id = ?1 AND active = 1")
            .Bind(1, id).Bind(2, step).Bind(3, stepJson)
            .Run() > 0;

    /// <summary>Inserts or updates. false when the adapter names a cycle that is not there.</summary>
    public static bool SaveAdapter(WriterSession session, AdapterRecord adapter)
    {
        if (adapter.Cycle is { } cycle && !Exists(session, cycle))
        {
            return false;
        }
        session.Prepared("""
            INSERT INTO adapters (adapter, parent, at, n, origin, status, model, file, bytes, hash, rank, cycle, note)
            SELECT ?1, ?2, ?3, coalesce(max(n), 0) + 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 FROM adapters WHERE true
            ON CONFLICT (adapter) DO UPDATE SET parent = excluded.parent, at = excluded.at, origin = excluded.origin, status = excluded.status, model = excluded.model,
                file = excluded.file, bytes = excluded.bytes, hash = excluded.hash, rank = excluded.rank, cycle = excluded.cycle, note = excluded.note
            """)
            .Bind(1, session.Name(adapter.Id)).Bind(2, adapter.Parent is { } parent ? session.Name(parent) : null).Bind(3, adapter.At.ToUnixTimeMilliseconds())
            .Bind(4, (long)adapter.Origin).Bind(5, (long)adapter.Status).Bind(6, adapter.Model).Bind(7, adapter.File).Bind(8, adapter.Bytes).Bind(9, adapter.Hash)
            .Bind(10, adapter.Rank).Bind(11, adapter.Cycle).Bind(12, adapter.Note)
            .Run();
        return true;
    }

    /// <summary>false when the adapter is unknown.</summary>
    public static bool SetAdapter(WriterSession session, string adapter, AdapterStatus status) =>
        session.Prepared("UPDATE adapters SET status = ?2 WHERE adapter = (SELECT id FROM names WHERE name = ?1)").Bind(1, adapter).Bind(2, (long)status).Run() > 0;

    /// <summary>false when the adapter is unknown.</summary>
    public static bool ForgetFile(WriterSession session, string adapter) =>
        session.Prepared("UPDATE adapters SET file = NULL WHERE adapter = (SELECT id FROM names WHERE name = ?1)").Bind(1, adapter).Run() > 0;

    /// <summary>Stores a change of champion, sets the adapters' states, and ends the cycle. The reason when it does not fit, else its number.</summary>
    public static (long Number, string? Refused) Promote(WriterSession session, PromotionRecord promotion, CycleChange? end)
    {
        if (promotion.Cycle is { } cycle && !Exists(session, cycle))
        {
            return (0, $"There is no cycle {cycle}.");
        }
        if (end is { } change && (Misfit(session, promotion, change) ?? (Advance(session, change) ? null : NotIn(session, change.Cycle, change.From))) is { } refused)
        {
            return (0, refused);
        }
        long adapter = session.Name(promotion.Adapter);
        long previous = session.Name(promotion.Previous);
        AdapterStatus left = promotion.Reason is PromotionReason.Rollback or PromotionReason.ManualRollback ? AdapterStatus.RolledBack : AdapterStatus.Retired;
        // Whatever was marked as champion, there is one afterwards.
        session.Prepared("UPDATE adapters SET status = ?1 WHERE status = ?2").Bind(1, (long)AdapterStatus.Retired).Bind(2, (long)AdapterStatus.Champion).Run();
        session.Prepared("UPDATE adapters SET status = ?2 WHERE adapter = ?1").Bind(1, previous).Bind(2, (long)left).Run();
        session.Prepared("UPDATE adapters SET status = ?2 WHERE adapter = ?1").Bind(1, adapter).Bind(2, (long)AdapterStatus.Champion).Run();
        long number = session.Prepared("INSERT INTO promotions (at, adapter, previous, reason, cycle, evidence) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING n")
            .Bind(1, promotion.At.ToUnixTimeMilliseconds()).Bind(2, adapter).Bind(3, previous).Bind(4, (long)promotion.Reason).Bind(5, promotion.Cycle).Bind(6, promotion.Evidence)
            .Number()!.Value;
        return (number, null);
    }

    /// <summary>Stores or replaces a cycle's data set. false when there is no such cycle.</summary>
    public static bool SaveDataset(WriterSession session, long cycle, string hash, string manifest, byte[] examples)
    {
        if (!Exists(session, cycle))
        {
            return false;
        }
        session.Prepared("""
            INSERT INTO datasets VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (cycle) DO UPDATE SET hash = excluded.hash, manifest = excluded.manifest, examples = excluded.examples
            """).Bind(1, cycle).Bind(2, hash).Bind(3, manifest).Bind(4, examples).Run();
        return true;
    }

    /// <summary>Stores an evaluation, or replaces that of its kind. false when there is no such cycle.</summary>
    public static bool SaveEvaluation(WriterSession session, long? cycle, string adapter, string kind, long at, string json)
    {
        if (cycle is { } id && !Exists(session, id))
        {
            return false;
        }
        session.Prepared("""
            INSERT INTO evaluations (cycle, adapter, kind, at, evaluation) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (adapter, coalesce(cycle, 0), kind) DO UPDATE SET at = excluded.at, evaluation = excluded.evaluation
            """).Bind(1, cycle).Bind(2, session.Name(adapter)).Bind(3, kind).Bind(4, at).Bind(5, json).Run();
        return true;
    }

    /// <summary>Why a cycle can't be changed, for people.</summary>
    public static string NotIn(WriterSession session, long id, CycleState from) =>
        CycleReader.Cycle(session.Session, id) is { } cycle ? $"Cycle {id} is {cycle.State} and not {from}." : $"There is no cycle {id}.";

    // What a cycle promotes is its own candidate, in the place of the champion that it was measured against.
    private static string? Misfit(WriterSession session, PromotionRecord promotion, CycleChange end)
    {
        if (end.To != CycleState.Promoted || CycleReader.Cycle(session.Session, end.Cycle) is not { } cycle)
        {
            return null;
        }
        if (cycle.Candidate != promotion.Adapter)
        {
            return $"Cycle {cycle.Id} trains '{cycle.Candidate}' and cannot promote '{promotion.Adapter}'.";
        }
        return CycleReader.Promotions(session.Session, 1) is [{ } last] && last.Adapter != promotion.Previous
            ? $"The champion is '{last.Adapter}' now and not '{promotion.Previous}'."
            : null;
    }

    private static bool Exists(WriterSession session, long cycle) => session.Prepared("SELECT id FROM cycles WHERE id = ?1").Bind(1, cycle).Number() is not null;

    private static long Now(WriterSession session) => session.Time.GetUtcNow().ToUnixTimeMilliseconds();
}

/// <summary>A change of a cycle's state. <see cref="Step"/> and <see cref="StepJson"/> come together or not at all; <see cref="Sequence"/> stays when null.</summary>
internal sealed record CycleChange(long Cycle, CycleState From, CycleState To, string Outcome, string? Step = null, string? StepJson = null, long? Sequence = null);
