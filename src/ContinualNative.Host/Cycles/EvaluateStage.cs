using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>What a candidate has been measured on so far; grows from the evaluation through the shadow stage.</summary>
internal sealed class GateEvidence
{
    private readonly List<PairedAnswer> _fresh = [];

    /// <summary>Pairs of fresh requests, in the order of the sample.</summary>
    public IReadOnlyList<PairedAnswer> Fresh => _fresh;

    /// <summary>Pairs of golden requests, by task.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<PairedAnswer>> Golden { get; set; } = new Dictionary<string, IReadOnlyList<PairedAnswer>>();

    /// <summary>What earlier champions had right of them.</summary>
    public IReadOnlyList<IReadOnlyDictionary<string, bool>> EarlierGolden { get; init; } = [];

    /// <summary>Pairs of held-out old requests.</summary>
    public IReadOnlyList<PairedAnswer> Old { get; set; } = [];

    /// <summary>The requests that a gain is judged on.</summary>
    public required GateSample Sample { get; init; }

    public void Add(PairedAnswer fresh) => _fresh.Add(fresh);
}

/// <summary>Candidate against champion before any client sees it.</summary>
internal sealed class EvaluateStage(CycleContext context, CycleRecord cycle)
{
    // Fresh requests between two looks at the evidence: each may cost a label.
    private const int Batch = 16;

    // No truth has this id.
    private const string NotAskedAgain = "?";

    // Champions that a candidate is held against.
    private const int MostEarlier = 20;

    private readonly CycleEvaluator _evaluator = new(context.Hub, context.Model);

    /// <summary>Measures and judges. Throws <see cref="StoreException"/> and <see cref="Engine.EngineException"/>.</summary>
    public async Task<(GateVerdict Verdict, GateEvidence Evidence)> RunAsync(CuratedSet set, CancellationToken cancellationToken)
    {
        GateEvidence evidence = new() { Sample = NewSample(), EarlierGolden = EarlierGolden() };
        long since = CurateStage.GateSince(context.Store, cycle.Id, cycle.Sequence, context.Curation, context.Options.Gate.MinimumFresh);
        await AddFreshAsync(evidence, since, cycle.Sequence, context.Options.Gate.MostFresh, cancellationToken);
        // Also where the fresh requests have refused it already: what it broke is worth knowing.
        Dictionary<string, string> tasks = set.Golden.ToDictionary(static g => g.RequestId, static g => g.Task, StringComparer.Ordinal);
        evidence.Golden = (await CompareAsync(evidence, set.Golden, "golden requests", evidence.EarlierGolden, cancellationToken)).GroupBy(p => tasks[p.RequestId])
            .ToDictionary(static g => g.Key, static g => (IReadOnlyList<PairedAnswer>)[.. g], StringComparer.Ordinal);
        // Those whose truth is known because the champion's answer was judged say nothing of which of the two is better.
        evidence.Old = await CompareAsync(evidence, [.. set.OldHoldout.Where(static o => o.Basis != EvaluationBasis.Judged)], "old requests", [], cancellationToken);
        return (Judge(evidence), evidence);
    }

    // What was right once may be wrong by now: where the two models differ on an old request, the teacher is asked again, and both are held against what it says today. A candidate
    // that learned a new policy would be refused for it otherwise. Asked are the candidate's gains as well as its losses: to look again at one kind only would favour it. The same where it is wrong
    // and an earlier champion was right; what the teacher has not said again there is not held against it.
    private async Task<IReadOnlyList<PairedAnswer>> CompareAsync(
        GateEvidence evidence, IReadOnlyList<EvaluationRequest> requests, string what, IReadOnlyList<IReadOnlyDictionary<string, bool>> earlier, CancellationToken cancellationToken)
    {
        IReadOnlyList<BothAnswers?> answers = await AskBothAsync([.. requests.Select(static r => (r.RequestId, r.Prompt))], what, cancellationToken);
        (EvaluationRequest Request, BothAnswers Both, PairedAnswer Pair)[] compared =
            [.. requests.Zip(answers).Where(static a => a.Second is not null).Select(a => (a.First, a.Second!, _evaluator.Pair(a.First.RequestId, a.First.Slice, a.First.Task, a.Second!, a.First.Truth)))];
        HashSet<string> lost = [.. compared.Where(c => IsLost(c.Pair)).Select(static c => c.Pair.RequestId)];
        IReadOnlyDictionary<string, string> today = await evidence.Sample.AskAgainAsync(
            compared.Where(static c => c.Pair.ChampionRight != c.Pair.CandidateRight).Select(static c => c.Request.RequestId).Concat(lost).Distinct(), cancellationToken);
        return
        [
            .. compared.Select(c => today.TryGetValue(c.Request.RequestId, out string? truth) ? _evaluator.Pair(c.Request.RequestId, c.Request.Slice, c.Request.Task, c.Both, truth)
                : lost.Contains(c.Pair.RequestId) ? c.Pair with { TruthId = NotAskedAgain } : c.Pair),
        ];

        bool IsLost(PairedAnswer pair) => !pair.CandidateRight && earlier.Any(e => e.TryGetValue(pair.Key, out bool right) && right);
    }

    /// <summary>Adds fresh requests of a window to the evidence, until it decides or they run out.</summary>
    public async Task<GateVerdict> AddFreshAsync(GateEvidence evidence, long after, long upTo, int most, CancellationToken cancellationToken)
    {
        GateVerdict verdict = Judge(evidence);
        while (evidence.Fresh.Count < most && verdict.Decision != GateDecision.Reject && (verdict.Decision == GateDecision.Undecided || evidence.Fresh.Count < context.Options.Gate.MinimumFresh))
        {
            IReadOnlyList<SignalRequest> requests = evidence.Sample.Next(after, upTo, Math.Min(Batch, most - evidence.Fresh.Count));
            if (requests.Count == 0 || !await AddAsync(evidence, requests, cancellationToken))
            {
                return Judge(evidence);
            }
            verdict = Judge(evidence);
        }
        return verdict;
    }

    // False when the sample ends here for now: a truth that is needed can't be had.
    private async Task<bool> AddAsync(GateEvidence evidence, IReadOnlyList<SignalRequest> requests, CancellationToken cancellationToken)
    {
        IReadOnlyList<BothAnswers?> answers = await AskBothAsync([.. requests.Select(static r => (r.Key.RequestId, r.Prompt))], "fresh requests", cancellationToken);
        foreach ((SignalRequest request, BothAnswers? both) in requests.Zip(answers))
        {
            string id = request.Key.RequestId;
            if (both is null)
            {
                evidence.Sample.Use(id);
                continue;
            }
            string slice = Slices.Of(request.Key.Task, request.Key.At);
            bool same = both.Champion.Answer == both.Candidate.Answer || _evaluator.Score(request.Key.Task, both.Candidate.Answer, both.Champion.Answer).Agreement >= 1;
            (bool ends, string? truth) = same && !request.Key.Labelled ? default : await evidence.Sample.TruthAsync(request, cancellationToken);
            if (ends)
            {
                return false;
            }
            evidence.Sample.Use(id);
            if (truth is not null || same)
            {
                evidence.Add(truth is null ? CycleEvaluator.Tie(id, slice, both) : _evaluator.Pair(id, slice, request.Key.Task, both, truth));
            }
        }
        return true;
    }

    /// <summary>What the gate says of the evidence so far.</summary>
    public GateVerdict Judge(GateEvidence evidence) => Gate.Judge(context.Options.Gate, new GateInput
    {
        Fresh = evidence.Fresh,
        Golden = evidence.Golden,
        EarlierGolden = evidence.EarlierGolden,
        Old = evidence.Old,
    });

    // What was taken back sets no mark.
    private List<IReadOnlyDictionary<string, bool>> EarlierGolden() =>
    [
        .. context.Store.Promotions(2 * MostEarlier).Where(static p => p.Reason == PromotionReason.Gate).Select(static p => p.Adapter).Distinct(StringComparer.Ordinal)
            .Where(a => context.Store.Adapter(a)?.Status != AdapterStatus.RolledBack).Take(MostEarlier)
            .Select(a => context.Store.Evaluations(a).LastOrDefault(static e => e.Kind == "gate")).OfType<StoredEvaluation>()
            .Select(static e => GateVerdictJson.Read(e.Json).GoldenRight).OfType<IReadOnlyDictionary<string, bool>>(),
    ];

    /// <summary>Asks the teacher when there is a budget for it; else the gate goes by the audits alone.</summary>
    private GateSample NewSample() => new(
        context.Store,
        context.Curation,
        context.Options.GateLabels,
        context.Serve.TeachPerDay > 0 ? (id, cancel) => context.Hub.AskTeacher(id, cancel) : null);

    private Task<IReadOnlyList<BothAnswers?>> AskBothAsync(IReadOnlyList<(string RequestId, string Prompt)> requests, string what, CancellationToken cancellationToken) =>
        _evaluator.AskBothAsync(
            requests,
            cycle.Champion,
            cycle.Candidate,
            done => context.Report(new CycleProgress(cycle.Id, cycle.State, $"asking champion and candidate {requests.Count} {what}", (double)done / requests.Count, null)),
            cancellationToken);
}
