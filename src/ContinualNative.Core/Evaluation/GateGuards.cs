namespace ContinualNative.Core.Evaluation;

/// <summary>The gate's checks of what a candidate must not break.</summary>
internal static class GateGuards
{
    // Enough to see what went wrong.
    private const int MostExamples = 5;

    // Of fewer the median says nothing.
    private const int FewestTimed = 10;

    /// <summary>
    /// One check a suite, by the rule of <see cref="Flips"/>, and against the best that an earlier champion had on it.
    /// Decision: no correction for the number of suites. They are what the operator wants kept; a good candidate rejected for noise costs one cycle.
    /// </summary>
    public static IEnumerable<GateCheck> CheckGolden(GateOptions options, GateInput input)
    {
        foreach ((string suite, IReadOnlyList<PairedAnswer> pairs) in input.Golden.OrderBy(static s => s.Key, StringComparer.Ordinal))
        {
            if (pairs.Count == 0)
            {
                continue;
            }
            Flips flips = Flips.Of(pairs);
            int right = pairs.Count(static p => p.CandidateRight);
            if (flips.FallsBelow(options.GoldenTolerance))
            {
                yield return new GateCheck("golden", GateDecision.Reject, suite, flips.Difference, flips.Least(options.GoldenTolerance), pairs.Count,
                    $"Golden suite '{suite}': {right} of {pairs.Count} right, the champion {right - flips.Wins + flips.Losses}; {flips.Losses} became wrong and {flips.Wins} right, "
                    + $"{GateGain.Signed(flips.Difference)} where {GateGain.Signed(flips.Least(options.GoldenTolerance))} are allowed.", Worst(pairs));
            }
            else if (Best(input.EarlierGolden, pairs) is { } best && FallsBelow(best, right, pairs.Count, options.GoldenTolerance) is { } least)
            {
                double found = (double)right / pairs.Count;
                yield return new GateCheck("golden", GateDecision.Reject, suite, found, least, pairs.Count,
                    $"Golden suite '{suite}': {right} of {pairs.Count} right ({found:P1}), where a champion once had {best:P1} and {least:P1} are allowed.", Wrong(pairs));
            }
            else
            {
                yield return new GateCheck("golden", GateDecision.Pass, suite, flips.Difference, flips.Least(options.GoldenTolerance), pairs.Count,
                    $"Golden suite '{suite}': {right} of {pairs.Count} right, the champion {right - flips.Wins + flips.Losses}.", []);
            }
        }
    }

    /// <summary>
    /// Old slices: the mean of their differences, each slice counting the same, against the tolerance and what fair flips do by chance one time in ten; and every slice by an exact sign test.
    /// </summary>
    public static IEnumerable<GateCheck> CheckBackward(GateOptions options, IReadOnlyList<PairedAnswer> old)
    {
        (string Slice, PairedAnswer[] Pairs, Flips Flips)[] slices =
            [.. old.GroupBy(static p => p.Slice, StringComparer.Ordinal).Select(static g => (Slice: g.Key, Pairs: g.ToArray())).Select(static s => (s.Slice, s.Pairs, Flips.Of(s.Pairs)))];
        if (slices.Length == 0)
        {
            yield break;
        }
        double mean = slices.Average(static s => s.Flips.Difference);
        double deviation = Math.Sqrt(slices.Sum(static s => (s.Flips.Wins + s.Flips.Losses) / ((double)s.Flips.Count * s.Flips.Count))) / slices.Length;
        double least = -options.BackwardTolerance - Flips.Z * deviation;
        (string Slice, PairedAnswer[] Pairs, Flips Flips) lowest = slices.MinBy(static s => s.Flips.Difference);
        bool falls = mean < least;
        yield return new GateCheck("backward", falls ? GateDecision.Reject : GateDecision.Pass, null, mean, least, old.Count,
            $"On {old.Count} requests of {slices.Length} old slices the share right changes by {GateGain.Signed(mean)} on average{(falls ? $", where {GateGain.Signed(least)} are allowed" : "")}"
            + (lowest.Flips.Difference < 0 ? $"; lowest '{lowest.Slice}', {GateGain.Signed(lowest.Flips.Difference)} of {lowest.Pairs.Length}." : "."),
            falls ? Worst(old) : []);
        double allowed = options.SliceAlpha / slices.Length;
        foreach ((string slice, PairedAnswer[] pairs, Flips flips) in slices)
        {
            double p = SignTest.PValue(flips.Wins, flips.Losses);
            if (p <= allowed)
            {
                yield return new GateCheck("backward", GateDecision.Reject, slice, p, allowed, pairs.Length,
                    $"Old slice '{slice}' is forgotten: of {pairs.Length}, {flips.Losses} became wrong and {flips.Wins} right (p = {p:0.#####}, where {allowed:0.#####} is the level with {slices.Length} slices).", Worst(pairs));
            }
        }
    }

    /// <summary>Negative flips (Yan et al. 2021, "Positive-congruent training"): over the budget by more than chance does one time in ten at the budget.</summary>
    public static IEnumerable<GateCheck> CheckFlips(GateOptions options, IReadOnlyList<PairedAnswer> all)
    {
        if (all.Count == 0)
        {
            yield break;
        }
        int losses = Flips.Of(all).Losses;
        double share = (double)losses / all.Count;
        double most = options.FlipBudget + Flips.Z * Math.Sqrt(options.FlipBudget * (1 - options.FlipBudget) / all.Count);
        bool over = share > most;
        yield return new GateCheck("flips", over ? GateDecision.Reject : GateDecision.Pass, null, share, most, all.Count,
            $"{losses} of {all.Count} requests ({share:P1}) became wrong{(over ? $", where {most:P1} are allowed" : "")}.", over ? Worst(all) : []);
    }

    /// <summary>Valid answers, by the rule of <see cref="Flips"/>.</summary>
    public static IEnumerable<GateCheck> CheckFormat(GateOptions options, IReadOnlyList<PairedAnswer> all)
    {
        if (all.Count == 0)
        {
            yield break;
        }
        Flips flips = Flips.OfForm(all);
        bool falls = flips.FallsBelow(options.FormatTolerance);
        int valid = all.Count(static p => p.CandidateValid);
        yield return new GateCheck("format", falls ? GateDecision.Reject : GateDecision.Pass, null, flips.Difference, flips.Least(options.FormatTolerance), all.Count,
            $"{valid} of {all.Count} answers have the form asked for, of the champion's {valid - flips.Wins + flips.Losses}{(falls ? $": {GateGain.Signed(flips.Difference)} where {GateGain.Signed(flips.Least(options.FormatTolerance))} are allowed" : "")}.",
            falls ? [.. all.Where(static p => p.ChampionValid && !p.CandidateValid).Select(static p => p.RequestId).Take(MostExamples)] : []);
    }

    /// <summary>The median over requests of the candidate's time ÷ the champion's.</summary>
    public static IEnumerable<GateCheck> CheckLatency(GateOptions options, IReadOnlyList<PairedAnswer> all)
    {
        (string Id, double Ratio)[] ratios =
            [.. all.Where(static p => p.ChampionSeconds > 0 && p.CandidateSeconds > 0).Select(static p => (p.RequestId, Ratio: p.CandidateSeconds / p.ChampionSeconds)).OrderBy(static r => r.Ratio)];
        if (ratios.Length < FewestTimed)
        {
            yield break;
        }
        double median = (ratios[(ratios.Length - 1) / 2].Ratio + ratios[ratios.Length / 2].Ratio) / 2;
        bool slow = median > options.LatencyLimit;
        yield return new GateCheck("latency", slow ? GateDecision.Reject : GateDecision.Pass, null, median, options.LatencyLimit, ratios.Length,
            $"It takes {median:0.00} times as long as the champion in the median of {ratios.Length} requests{(slow ? $", where {options.LatencyLimit:0.00} times is allowed" : "")}.",
            slow ? [.. ratios.Reverse().Take(MostExamples).Select(static r => r.Id)] : []);
    }

    /// <summary>The requests that became wrong, those that lost most agreement first.</summary>
    public static IReadOnlyList<string> Worst(IEnumerable<PairedAnswer> pairs) =>
        [.. pairs.Where(static p => p.ChampionRight && !p.CandidateRight).OrderBy(static p => p.Candidate - p.Champion).Select(static p => p.RequestId).Take(MostExamples)];

    private static IReadOnlyList<string> Wrong(IEnumerable<PairedAnswer> pairs) =>
        [.. pairs.Where(static p => !p.CandidateRight).OrderBy(static p => p.Candidate).Select(static p => p.RequestId).Take(MostExamples)];

    // What an earlier champion was not asked counts as the candidate's own answer: it can speak neither for nor against it.
    private static double? Best(IReadOnlyList<IReadOnlyDictionary<string, bool>> earlier, IReadOnlyList<PairedAnswer> pairs) => earlier.Count == 0 ? null
        : earlier.Max(before => (double)pairs.Count(p => before.TryGetValue(p.Key, out bool right) ? right : p.CandidateRight) / pairs.Count);

    // The champion that had the best share did not answer beside this candidate, so that its flips aren't known: there were at least as many as the net fall, and more would excuse more.
    private static double? FallsBelow(double best, int right, int count, double tolerance)
    {
        double fall = best * count - right;
        return fall > tolerance * count + Flips.Z * Math.Sqrt(Math.Max(fall, 0)) ? best - tolerance - Flips.Z * Math.Sqrt(fall) / count : null;
    }
}
