using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Teaching;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>From the store to a data set: what to train on, what to measure on, and why the rest is left out.</summary>
internal static class CurateStage
{
    // Older verdicts than these say little of the champion of today.
    private const int MostBroken = 64;
    private const int MostOfOne = 24;

    // Keys hold no texts, so that many are cheap; older signal than this is not looked at.
    private const int MostKeys = 400_000;

    /// <summary>
    /// Curates what the store holds up to a position. The same store, position and options give the same set. Throws <see cref="StoreException"/>.
    /// </summary>
    /// <param name="store">The store; everything queued should be flushed.</param>
    /// <param name="options">The policy.</param>
    /// <param name="same">Whether two answers say the same; null: up to case and white space.</param>
    /// <param name="before">The cycle that it is for; <see cref="long.MaxValue"/>: the next one. What came after the last promoted cycle before it is fresh.</param>
    /// <param name="upTo">The position to stop at.</param>
    /// <param name="now">The clock, for ages.</param>
    public static CuratedSet Curate(TrafficStore store, CurationOptions options, AnswerComparer? same, long before, long upTo, DateTimeOffset now)
    {
        long since = Since(store, before);
        IReadOnlyList<SignalKey> keys = store.SignalKeys(0, upTo, MostKeys);
        IReadOnlyList<SignalKey> own = store.OwnKeys(0, since, options.MinimumOwnPCorrect, MostKeys);
        SignalPlan plan = SignalPlan.Make(keys.Concat(own), since, upTo, options, Broken(store, before));
        return new Curator(options, same).Curate(plan, store.SignalRequests([.. plan.All]), now);
    }

    /// <summary>
    /// The position from which on a cycle's gate takes its sample: where the cycle before it was curated, whatever became of that one. A gain is to be shown on the traffic of today;
    /// older weeks, on which two models mostly agree, would only dilute it. Where too little has come since, it goes back further.
    /// </summary>
    /// <param name="store">The store.</param>
    /// <param name="before">The cycle.</param>
    /// <param name="upTo">Where it was curated.</param>
    /// <param name="options">Says which requests are held out.</param>
    /// <param name="least">Requests of the sample that there must be.</param>
    public static long GateSince(TrafficStore store, long before, long upTo, CurationOptions options, int least)
    {
        foreach (long cut in store.Cycles(200).Where(c => c.Id < before && c.Sequence > 0).Select(static c => c.Sequence).Distinct())
        {
            if (store.WindowKeys(cut, upTo, MostKeys).Count(k => k.Audited || Holdout.IsHoldout(k.RequestId, options.HoldoutShare)) >= least)
            {
                return cut;
            }
        }
        return 0;
    }

    /// <summary>The position up to which the last cycle whose adapter was promoted, and was not taken back, had curated; 0 without one. What a refused one was to learn is still to be learned.</summary>
    private static long Since(TrafficStore store, long before) => store.Cycles(200).Where(c => c.Id < before && IsPromoted(store, c)).Select(static c => c.Sequence).FirstOrDefault();

    /// <summary>
    /// Requests that were broken by the last adapter that was promoted, and by every candidate since, the newest candidate's first: the next one starts from the same champion, and would break them
    /// again. The same for one cycle whenever it is asked, as long as no champion is taken back meanwhile.
    /// </summary>
    /// <param name="store">The store.</param>
    /// <param name="before">The cycle that is to learn from them.</param>
    public static IReadOnlyList<string> Broken(TrafficStore store, long before)
    {
        List<string> broken = [];
        foreach (CycleRecord cycle in store.Cycles(200).Where(c => c.Id < before))
        {
            if (store.Evaluations(cycle.Candidate) is [.., { } last])
            {
                // One that broke nearly all does not hide what the others did.
                broken.AddRange((GateVerdictJson.Read(last.Json).Broken ?? []).Take(MostOfOne));
            }
            if (IsPromoted(store, cycle))
            {
                break;
            }
        }
        return [.. broken.Distinct(StringComparer.Ordinal).Take(MostBroken)];
    }

    private static bool IsPromoted(TrafficStore store, CycleRecord cycle) => cycle.State == CycleState.Promoted && store.Adapter(cycle.Candidate) is not { Status: AdapterStatus.RolledBack };
}
