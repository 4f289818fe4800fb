namespace ContinualNative.Core.Evaluation;

/// <summary>The gate's checks on fresh requests: whether the candidate is better on the whole, and nowhere clearly worse.</summary>
internal static class GateGain
{
    public const string Name = "gain";

    /// <summary>
    /// Pass once the evidence reaches 1/α; reject once it is shown to be worse, or once there have been enough pairs without a gain.
    /// Decision: where agreement is graded, its share right must not be lower either: a gain in tenths that costs right answers is none.
    /// </summary>
    public static GateCheck Check(GateOptions options, IReadOnlyList<PairedAnswer> fresh, PairedTest test)
    {
        double needed = 1 / options.Alpha;
        Flips flips = Flips.Of(fresh);
        string found = $"on {fresh.Count} fresh requests it was right {flips.Wins} times where the champion was wrong and wrong {flips.Losses} times where that was right "
            + $"({Signed(flips.Difference)}{(options.Graded && test.Count > 0 && test.Gain != flips.Difference ? $", in agreement {Signed(test.Gain)}" : "")})";
        string aim = options.RequireGain ? "better" : $"at most {options.Margin:P1} worse";
        if (test.EvidenceAgainst >= needed)
        {
            return Make(GateDecision.Reject, options.RequireGain
                ? $"It is worse than the champion: {found}, evidence against it {test.EvidenceAgainst:0.0} of {needed:0.0}."
                : $"It is more than {options.Margin:P1} worse than the champion: {found}, evidence against it {test.EvidenceAgainst:0.0} of {needed:0.0}.");
        }
        if (fresh.Count < options.MinimumFresh)
        {
            return Make(GateDecision.Undecided, $"Too few to tell: {found}, and {options.MinimumFresh} are the least.");
        }
        if (test.Evidence >= needed && (!options.RequireGain || flips.Wins >= flips.Losses))
        {
            return Make(GateDecision.Pass, $"It is {aim}: {found}, evidence {test.Evidence:0.0} of {needed:0.0}.");
        }
        return fresh.Count >= options.MostFresh
            ? Make(GateDecision.Reject, $"That it is {aim} was not shown in {options.MostFresh} requests or more: {found}, evidence {test.Evidence:0.0} of {needed:0.0}.")
            : Make(GateDecision.Undecided, $"That it is {aim} is not shown yet: {found}, evidence {test.Evidence:0.0} of {needed:0.0}.");

        GateCheck Make(GateDecision decision, string reason) => new(Name, decision, null, test.Evidence, needed, fresh.Count, reason,
            decision == GateDecision.Reject ? GateGuards.Worst(fresh) : []);
    }

    /// <summary>Slices of the fresh requests on which it is shown to be worse, at <see cref="GateOptions.SliceAlpha"/> over all of them and at any time: what a gain elsewhere must not hide.</summary>
    public static IEnumerable<GateCheck> CheckSlices(GateOptions options, IReadOnlyList<PairedAnswer> fresh)
    {
        IGrouping<string, PairedAnswer>[] slices = [.. fresh.GroupBy(static p => p.Slice, StringComparer.Ordinal)];
        if (slices.Length < 2)
        {
            // It would be the check of the gain over again.
            yield break;
        }
        double needed = slices.Length / options.SliceAlpha;
        foreach (IGrouping<string, PairedAnswer> slice in slices)
        {
            PairedAnswer[] pairs = [.. slice];
            Flips flips = Flips.Of(pairs);
            PairedTest test = new();
            foreach (PairedAnswer pair in pairs)
            {
                test.Add(pair, graded: false);
            }
            if (test.EvidenceAgainst >= needed)
            {
                yield return new GateCheck(Name, GateDecision.Reject, slice.Key, test.EvidenceAgainst, needed, pairs.Length,
                    $"On fresh requests of '{slice.Key}' it is worse than the champion: of {pairs.Length}, {flips.Losses} became wrong and {flips.Wins} right, "
                    + $"evidence {test.EvidenceAgainst:0.0} of the {needed:0.0} that it takes with {slices.Length} slices.",
                    GateGuards.Worst(pairs));
            }
        }
    }

    /// <summary>Points with their sign.</summary>
    public static string Signed(double share) => $"{100 * share:+0.0;−0.0;0.0} points";
}
