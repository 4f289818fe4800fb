using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>What to ask a new version of a teacher, so that it and the old one are measured on the same requests.</summary>
/// <param name="Picks">What to ask now, all with <see cref="LabelReason.Relabel"/>.</param>
/// <param name="Left">How many requests the budget did not reach; plan again with what was done.</param>
public sealed record RelabelPlan(IReadOnlyList<TeachingPick> Picks, int Left)
{
    /// <summary>
    /// Plans the golden requests in their order first, then the held-out ones among the recent, newest first, until the first that the budget does not cover.
    /// One that costs more than all of <paramref name="money"/> when nothing is planned yet is not reached either: raise the budget.
    /// </summary>
    /// <param name="golden">The golden set.</param>
    /// <param name="recent">Recent requests, in any order, held out or not.</param>
    /// <param name="holdoutShare">The share that <see cref="Holdout.IsHoldout"/> holds out.</param>
    /// <param name="money">What may be spent.</param>
    /// <param name="labels">How many may be asked.</param>
    /// <param name="done">Ids that the new version answered already.</param>
    public static RelabelPlan Make(
        IEnumerable<TeachingCandidate> golden, IEnumerable<TeachingCandidate> recent, double holdoutShare, Money money, int labels, IReadOnlySet<string>? done = null)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(recent);
        IEnumerable<TeachingCandidate> wanted = golden.Concat(recent
            .Where(candidate => Holdout.IsHoldout(candidate.RequestId, holdoutShare))
            .OrderByDescending(static candidate => candidate.Sequence)
            .ThenBy(static candidate => candidate.RequestId, StringComparer.Ordinal));
        HashSet<string> seen = new(done ?? new HashSet<string>(), StringComparer.Ordinal);
        TeachingPlanner.Purse purse = new(money, labels);
        List<TeachingPick> picks = [];
        int left = 0;
        foreach (TeachingCandidate candidate in wanted)
        {
            if (candidate.EstimatedCost < Money.Zero)
            {
                throw new ArgumentException($"The estimated cost of request {candidate.RequestId} is negative.", nameof(recent));
            }
            if (!seen.Add(candidate.RequestId))
            {
                continue;
            }
            if (left > 0 || !purse.TryPay(candidate.EstimatedCost))
            {
                left++;
                continue;
            }
            picks.Add(new TeachingPick(candidate, LabelReason.Relabel, 1));
        }
        return new RelabelPlan(picks, left);
    }
}
