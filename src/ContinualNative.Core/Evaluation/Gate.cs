namespace ContinualNative.Core.Evaluation;

/// <summary>Judges a candidate against the champion. A pure function of its input: it may be asked after every fresh pair.</summary>
/// <remarks>
/// Only the gain is a claim with a stated error: while the candidate is no better, it ever passes with probability <see cref="GateOptions.Alpha"/> at most (<see cref="PairedTest"/>). The other
/// checks can only reject, so that looking often makes them stricter and never lets more through.
/// </remarks>
public static class Gate
{
    private const int MostBroken = 100;

    /// <summary>The verdict. Throws <see cref="PolicyOptionException"/> for options that cannot be used.</summary>
    public static GateVerdict Judge(GateOptions options, GateInput input)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(input);
        options.Validate();
        PairedTest test = new(options.RequireGain ? 0 : options.Margin);
        foreach (PairedAnswer pair in input.Fresh)
        {
            test.Add(pair, options.Graded);
        }
        PairedAnswer[] all = [.. input.Fresh.Concat(input.Golden.Values.SelectMany(static s => s)).Concat(input.Old).DistinctBy(static p => p.RequestId)];
        GateCheck[] checks =
        [
            GateGain.Check(options, input.Fresh, test),
            .. GateGain.CheckSlices(options, input.Fresh),
            .. GateGuards.CheckGolden(options, input),
            .. GateGuards.CheckBackward(options, input.Old),
            .. GateGuards.CheckFlips(options, all),
            .. GateGuards.CheckFormat(options, all),
            .. GateGuards.CheckLatency(options, all),
        ];
        // The order within a decision stays: OrderBy is stable.
        GateCheck[] ordered = [.. checks.OrderByDescending(static c => c.Decision)];
        GateDecision decision = ordered[0].Decision == GateDecision.Reject ? GateDecision.Reject : checks[0].Decision;
        double champion = Share(input.Fresh, static p => p.ChampionRight), candidate = Share(input.Fresh, static p => p.CandidateRight);
        return new GateVerdict
        {
            Decision = decision,
            Checks = ordered,
            ChampionRight = champion,
            CandidateRight = candidate,
            Fresh = input.Fresh.Count,
            Evidence = test.Evidence,
            GoldenRight = input.Golden.Values.SelectMany(static s => s).DistinctBy(static p => p.Key).ToDictionary(static p => p.Key, static p => p.CandidateRight, StringComparer.Ordinal),
            Broken = [.. Broken(input).Distinct(StringComparer.Ordinal).Take(MostBroken)],
            Summary = Summarize(decision, ordered, checks[0]),
        };
    }

    private static IEnumerable<string> Broken(GateInput input) =>
        input.Golden.OrderBy(static s => s.Key, StringComparer.Ordinal).SelectMany(static s => s.Value)
            .Where(p => !p.CandidateRight && (p.ChampionRight || input.EarlierGolden.Any(e => e.TryGetValue(p.Key, out bool right) && right)))
            .Concat(input.Old.Where(static p => p.ChampionRight && !p.CandidateRight)).Select(static p => p.RequestId);

    private static string Summarize(GateDecision decision, GateCheck[] ordered, GateCheck gain)
    {
        if (decision != GateDecision.Reject)
        {
            return gain.Reason;
        }
        int against = ordered.Count(static c => c.Decision == GateDecision.Reject);
        return against == 1 ? ordered[0].Reason : $"{ordered[0].Reason} {against - 1} more {(against == 2 ? "check speaks" : "checks speak")} against it.";
    }

    // 0 for none: a verdict is stored as JSON, which has no NaN.
    private static double Share(IReadOnlyList<PairedAnswer> pairs, Func<PairedAnswer, bool> right) => pairs.Count > 0 ? (double)pairs.Count(right) / pairs.Count : 0;
}
