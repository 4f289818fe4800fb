using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>
/// Chooses which requests the teacher is asked about. Audits come first, as every figure of quality rests on them. What the day's budget then
/// allows at this hour goes to failures, uncertain answers and novel prompts in the proportion of their weights, within each over the tasks in the
/// proportion of their traffic, and within a task by value. Equal inputs give equal plans. Thread-safe.
/// </summary>
/// <remarks>
/// What a label is worth:
/// <list type="bullet">
/// <item>A failure: 1 + p. It is known to be wrong, so the label is a correction; where the model was sure, it also corrects the calibration.</item>
/// <item>An uncertain answer: p(1 − p), the variance of what the label will say, and 1/4 where p is unknown. Decision: the coin tosses come before
/// the hopeless: what is surely wrong goes up by itself and is labelled then; what is near the threshold decides what stays local.</item>
/// <item>A novel prompt: its distance ÷ (1 + labels of its cluster), so the first label of a cluster comes before the tenth of another.</item>
/// </list>
/// Decision: value, not value for money. The cheapest requests are the shortest, and a model taught by those alone learns to answer short ones.
/// For the same reason a candidate that the pace does not cover yet ends the plan, and is paid for by what is saved until the next; unless it costs
/// more than an hour's budget, for which nobody is kept waiting: it is passed over until so much is left unspent.
/// </remarks>
public sealed class TeachingPlanner
{
    private static readonly LabelReason[] Reasons = [LabelReason.Failure, LabelReason.Uncertain, LabelReason.Novel];

    private readonly TeachingOptions _options;

    /// <summary>Throws <see cref="PolicyOptionException"/>.</summary>
    public TeachingPlanner(TeachingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
    }

    /// <summary>The requests to ask about now, in order. Of candidates with one id the first counts. Throws <see cref="ArgumentException"/> for a negative cost.</summary>
    public IReadOnlyList<TeachingPick> Plan(IReadOnlyList<TeachingCandidate> candidates, TeachingBudget budget)
    {
        ArgumentNullException.ThrowIfNull(candidates);
        ArgumentNullException.ThrowIfNull(budget);
        HashSet<string> seen = new(StringComparer.Ordinal);
        List<TeachingCandidate> distinct = new(candidates.Count);
        foreach (TeachingCandidate candidate in candidates)
        {
            if (candidate.EstimatedCost < Money.Zero)
            {
                throw new ArgumentException($"The estimated cost of request {candidate.RequestId} is negative.", nameof(candidates));
            }
            if (seen.Add(candidate.RequestId))
            {
                distinct.Add(candidate);
            }
        }
        List<TeachingPick> picks = [];
        Purse day = new(_options.DailyBudget - budget.Spent, _options.DailyLabels - budget.Labels);
        if (!PickAudits(distinct, day, picks))
        {
            return picks;
        }
        // The part of the day that is over sets how much of its budget may be gone; what was not spent by then is still there.
        double over = Math.Min(1, (budget.Now.UtcDateTime.TimeOfDay / TimeSpan.FromDays(1)) + _options.HeadStart);
        Purse pace = new(
            Least(day.Money, new Money((long)(_options.DailyBudget.Nanos * over)) - budget.Spent - Sum(picks)),
            Math.Min(day.Labels, (int)(_options.DailyLabels * over) - budget.Labels - picks.Count));
        IEnumerable<TeachingCandidate> rest = distinct.Where(candidate => !candidate.Audited && candidate.EstimatedCost <= day.Money);
        if (_options.Strategy == TeachingStrategy.Random)
        {
            PickRandom(rest, pace, picks);
        }
        else
        {
            PickInformed([.. rest], budget, pace, picks);
        }
        return picks;
    }

    // Decision: in order of arrival, and the first that does not fit ends the plan. Passing over the dear ones would leave a sample of cheap
    // requests, and its mean would no longer be that of all. One that no day can pay is left out, as it would stop teaching for good.
    private bool PickAudits(List<TeachingCandidate> candidates, Purse day, List<TeachingPick> picks)
    {
        foreach (TeachingCandidate candidate in candidates.Where(static c => c.Audited).OrderBy(static c => c.Sequence).ThenBy(static c => c.RequestId, StringComparer.Ordinal))
        {
            if (candidate.EstimatedCost > _options.DailyBudget)
            {
                continue;
            }
            if (!day.TryPay(candidate.EstimatedCost))
            {
                return false;
            }
            picks.Add(new TeachingPick(candidate, LabelReason.Audit, 1));
        }
        return true;
    }

    private void PickRandom(IEnumerable<TeachingCandidate> candidates, Purse pace, List<TeachingPick> picks)
    {
        foreach ((ulong chance, TeachingCandidate candidate) in candidates.Select(c => (StableHash.Of(_options.Seed, c.RequestId), c)).OrderBy(static c => c.Item1).ThenBy(static c => c.c.Sequence))
        {
            if (!pace.TryPay(candidate.EstimatedCost))
            {
                if (MayBePassedOver(candidate, pace))
                {
                    continue;
                }
                return;
            }
            picks.Add(new TeachingPick(candidate, LabelReason.Random, StableHash.Share(chance)));
        }
    }

    private void PickInformed(List<TeachingCandidate> candidates, TeachingBudget budget, Purse pace, List<TeachingPick> picks)
    {
        Dictionary<string, double> shares = TaskShares(candidates, budget);
        Dictionary<string, int> byTask = new(budget.LabelsByTask, StringComparer.Ordinal);
        Dictionary<long, int> byCluster = new(budget.LabelsByCluster);
        HashSet<string> picked = new(StringComparer.Ordinal);
        Pool[] pools = [.. Reasons.Select(reason => new Pool(reason, WeightOf(reason), budget.LabelsByReason.GetValueOrDefault(reason), Rank(candidates, reason, budget)))];
        while (true)
        {
            // Highest averages (D'Hondt) over the reasons, then over the tasks: whoever has the fewest for its share is next, counting what the
            // day brought so far. So small plans through the day come out like one large one.
            Pool? pool = null;
            string task = "";
            foreach (Pool one in pools.Where(static p => p.Weight > 0).OrderBy(static p => (p.Labels + 1) / p.Weight))
            {
                if (one.NextTask(shares, byTask, IsFree) is { } found)
                {
                    (pool, task) = (one, found);
                    break;
                }
            }
            if (pool is null)
            {
                return;
            }
            TeachingPick pick = pool.ByTask[task].Peek();
            if (!pace.TryPay(pick.Candidate.EstimatedCost))
            {
                if (MayBePassedOver(pick.Candidate, pace))
                {
                    pool.ByTask[task].Dequeue();
                    continue;
                }
                return;
            }
            pool.ByTask[task].Dequeue();
            pool.Labels++;
            picks.Add(pick);
            picked.Add(pick.Candidate.RequestId);
            byTask[task] = byTask.GetValueOrDefault(task) + 1;
            if (pick.Candidate.Cluster is { } cluster)
            {
                byCluster[cluster] = byCluster.GetValueOrDefault(cluster) + 1;
            }
        }

        bool IsFree(TeachingCandidate candidate) =>
            !picked.Contains(candidate.RequestId) && (candidate.Cluster is not { } cluster || byCluster.GetValueOrDefault(cluster) < _options.LabelsPerCluster);
    }

    private bool MayBePassedOver(TeachingCandidate candidate, Purse pace) => pace.Labels > 0 && candidate.EstimatedCost.Nanos > _options.DailyBudget.Nanos / 24;

    private Dictionary<string, Queue<TeachingPick>> Rank(List<TeachingCandidate> candidates, LabelReason reason, TeachingBudget budget) =>
        candidates
            .Select(candidate => new TeachingPick(candidate, reason, ValueOf(candidate, reason, budget)))
            .Where(static pick => pick.Value > 0)
            .GroupBy(static pick => pick.Candidate.Task, StringComparer.Ordinal)
            .ToDictionary(
                static group => group.Key,
                group => new Queue<TeachingPick>(group.OrderByDescending(static p => p.Value).ThenBy(p => StableHash.Of(_options.Seed, p.Candidate.RequestId)).ThenBy(static p => p.Candidate.Sequence)),
                StringComparer.Ordinal);

    private double ValueOf(TeachingCandidate candidate, LabelReason reason, TeachingBudget budget)
    {
        double p = candidate.PCorrect is { } given && given >= 0 && given <= 1 ? given : 0.5;
        switch (reason)
        {
            case LabelReason.Failure:
                return candidate.Failed ? 1 + p : 0;
            case LabelReason.Uncertain:
                return p * (1 - p) >= _options.MinUncertainty ? p * (1 - p) : 0;
            default:
                int labels = candidate.Cluster is { } cluster ? budget.AllLabelsByCluster.GetValueOrDefault(cluster) : 0;
                return candidate.Novelty is { } novelty && novelty >= _options.MinNovelty && labels < _options.FewLabels ? novelty / (1 + labels) : 0;
        }
    }

    private double WeightOf(LabelReason reason) => reason switch
    {
        LabelReason.Failure => _options.FailureShare,
        LabelReason.Uncertain => _options.UncertainShare,
        _ => _options.NovelShare,
    };

    // floor ÷ tasks + (1 − floor) · traffic ÷ all traffic.
    private Dictionary<string, double> TaskShares(List<TeachingCandidate> candidates, TeachingBudget budget)
    {
        Dictionary<string, double> traffic = candidates.GroupBy(static c => c.Task, StringComparer.Ordinal).ToDictionary(
            static group => group.Key,
            group => budget.Traffic.Count == 0 ? group.Count() : (double)Math.Max(0, budget.Traffic.GetValueOrDefault(group.Key)),
            StringComparer.Ordinal);
        double all = traffic.Values.Sum();
        // A task without traffic and without a floor keeps a sliver: its turn comes when nobody else's does.
        return traffic.ToDictionary(
            static entry => entry.Key,
            entry => Math.Max(1e-9, (_options.TaskFloor / traffic.Count) + ((1 - _options.TaskFloor) * (all > 0 ? entry.Value / all : 1.0 / traffic.Count))),
            StringComparer.Ordinal);
    }

    private static Money Least(Money a, Money b) => a < b ? a : b;

    private static Money Sum(List<TeachingPick> picks) => picks.Aggregate(Money.Zero, static (sum, pick) => sum + pick.Candidate.EstimatedCost);

    /// <summary>The candidates of one reason, by task, best first.</summary>
    private sealed class Pool(LabelReason reason, double weight, int labels, Dictionary<string, Queue<TeachingPick>> byTask)
    {
        public LabelReason Reason { get; } = reason;

        public double Weight { get; } = weight;

        public int Labels { get; set; } = labels;

        public Dictionary<string, Queue<TeachingPick>> ByTask { get; } = byTask;

        /// <summary>The task whose turn it is, its best free candidate in front; null when there is none left.</summary>
        public string? NextTask(Dictionary<string, double> shares, Dictionary<string, int> byTask, Func<TeachingCandidate, bool> isFree)
        {
            string? next = null;
            double least = double.PositiveInfinity;
            foreach ((string task, Queue<TeachingPick> queue) in ByTask)
            {
                while (queue.Count > 0 && !isFree(queue.Peek().Candidate))
                {
                    queue.Dequeue();
                }
                double turn = (byTask.GetValueOrDefault(task) + 1) / shares[task];
                if (queue.Count > 0 && (turn < least || (turn == least && string.CompareOrdinal(task, next) < 0)))
                {
                    (next, least) = (task, turn);
                }
            }
            return next;
        }
    }

    /// <summary>What may still be spent.</summary>
    internal sealed class Purse(Money money, int labels)
    {
        public Money Money { get; private set; } = money;

        public int Labels { get; private set; } = labels;

        public bool TryPay(Money cost)
        {
            if (Labels <= 0 || cost > Money)
            {
                return false;
            }
            Money -= cost;
            Labels--;
            return true;
        }
    }
}
