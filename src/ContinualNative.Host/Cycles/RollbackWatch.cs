using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Cycles;

/// <summary>
/// Watches a new champion by its live outcomes. The champion before it is asked the audited requests too: two answers to one request tell far more than two rates do.
/// Everything is computed from the store, so that a restart goes on where it was.
/// </summary>
/// <remarks>
/// Decision: pairs are of audits only. Other truths are known because the new champion was unsure, or failed: where it is known to have failed any other model looks better.
/// Rates of reported outcomes alarm only where there are no audits: when customers ask harder things, they fall though nothing is wrong with the champion.
/// </remarks>
internal sealed class RollbackWatch
{
    private const int MostReference = 5000;
    private const int MostOutcomes = 5000;

    private readonly CycleContext _context;
    private readonly CycleEvaluator _evaluator;
    private readonly Replayer _replayer;
    private readonly PromotionRecord _promotion;
    private readonly long _since;
    private readonly Dictionary<string, (bool Old, bool New)> _pairs = new(StringComparer.Ordinal);
    private readonly HashSet<string> _unpaired = new(StringComparer.Ordinal);
    private readonly int _referenceGood;
    private readonly int _referenceCount;

    private RollbackWatch(CycleContext context, PromotionRecord promotion, long since)
    {
        _context = context;
        _evaluator = new CycleEvaluator(context.Hub, context.Model);
        _replayer = new Replayer(context.Hub, context.Model);
        _promotion = promotion;
        _since = since;
        foreach (LiveOutcome outcome in context.Store.LiveOutcomes(Math.Max(0, since - MostReference), MostReference))
        {
            if (outcome.Sequence <= since && outcome.Reported && outcome.Adapter == promotion.Previous)
            {
                _referenceCount++;
                _referenceGood += outcome.Good ? 1 : 0;
            }
        }
    }

    /// <summary>The promotion that is watched.</summary>
    public long Promotion => _promotion.Number;

    /// <summary>The test as it stands; for whoever asks.</summary>
    public RollbackState? State { get; private set; }

    /// <summary>A watch on the last promotion, or null where it needs none: a rollback, the first start, or one without a position.</summary>
    public static RollbackWatch? For(CycleContext context, PromotionRecord? promotion)
    {
        if (promotion is null || promotion.Reason is not (PromotionReason.Gate or PromotionReason.Manual) || context.Options.WatchRequests <= 0)
        {
            return null;
        }
        using JsonDocument evidence = JsonDocument.Parse(promotion.Evidence);
        return evidence.RootElement.ValueKind == JsonValueKind.Object && evidence.RootElement.TryGetProperty("sequence", out JsonElement sequence) && sequence.TryGetInt64(out long since)
            ? new RollbackWatch(context, promotion, since)
            : null;
    }

    /// <summary>Looks at what is known by now. Gives the test: it may call for a rollback, or be over.</summary>
    public async Task<RollbackTest> LookAsync(CancellationToken cancellationToken)
    {
        RollbackTest test = new(new RollbackState
        {
            ReferenceGood = _referenceGood,
            ReferenceCount = _referenceCount,
            Window = _context.Options.WatchRequests,
            Alpha = _context.Options.Gate.Alpha,
            PairedShare = _context.Hub.Frontier.IsConfigured && _context.Serve.Audit > 0 ? 1 : 0,
        });
        LiveOutcome[] outcomes = [.. _context.Store.LiveOutcomes(_since, MostOutcomes).Where(o => o.Adapter == _promotion.Adapter)];
        await PairAsync(outcomes, cancellationToken);
        foreach (LiveOutcome outcome in outcomes)
        {
            if (outcome.Reported)
            {
                test.AddOutcome(outcome.Good);
            }
            if (_pairs.TryGetValue(outcome.RequestId, out (bool Old, bool New) pair))
            {
                test.AddPair(pair.Old, pair.New);
            }
        }
        State = test.State;
        return test;
    }

    // The old champion is asked each request once.
    private async Task PairAsync(LiveOutcome[] outcomes, CancellationToken cancellationToken)
    {
        string[] waiting = [.. outcomes.Where(static o => o.Audited).Select(static o => o.RequestId).Where(id => !_pairs.ContainsKey(id) && !_unpaired.Contains(id)).Take(_context.Options.WatchRequests)];
        foreach (SignalRequest request in _context.Store.SignalRequests(waiting))
        {
            if (EvaluationTruth.Of(request) is not { } truth || request.LocalAnswer is not { } answer)
            {
                // It may be told later; until then only the outcome counts.
                continue;
            }
            if (await _replayer.AskAsync(request.Prompt, _promotion.Previous, early: false, seed: null, timed: false, cancellationToken) is { } old)
            {
                _pairs[request.Key.RequestId] = (_evaluator.Score(request.Key.Task, old.Answer, truth).Right, _evaluator.Score(request.Key.Task, answer, truth).Right);
            }
            else
            {
                _unpaired.Add(request.Key.RequestId);
            }
        }
    }
}
