namespace ContinualNative.Core.Evaluation;

/// <summary>What the gate says of a candidate.</summary>
public enum GateDecision
{
    /// <summary>Nothing speaks against it, and its gain is shown.</summary>
    Pass,

    /// <summary>Nothing speaks against it, but its gain is not shown yet: more fresh requests decide.</summary>
    Undecided,

    /// <summary>Something speaks against it.</summary>
    Reject,
}

/// <summary>One test of the gate: what was asked, what was found, what was allowed.</summary>
/// <param name="Name">gain, golden, backward, flips, format, latency.</param>
/// <param name="Decision">What it says by itself.</param>
/// <param name="Slice">The slice or suite that it is about, or null: all.</param>
/// <param name="Found">The figure.</param>
/// <param name="Allowed">What it is held against.</param>
/// <param name="Count">Requests that it rests on.</param>
/// <param name="Reason">For people: one sentence.</param>
/// <param name="Examples">Ids of requests that show it, the first few.</param>
public sealed record GateCheck(string Name, GateDecision Decision, string? Slice, double Found, double Allowed, int Count, string Reason, IReadOnlyList<string> Examples);

/// <summary>The gate's verdict with its evidence.</summary>
public sealed record GateVerdict
{
    public required GateDecision Decision { get; init; }

    /// <summary>Every check, those that speak against the candidate first.</summary>
    public required IReadOnlyList<GateCheck> Checks { get; init; }

    /// <summary>Share right on fresh requests: champion, candidate.</summary>
    public required double ChampionRight { get; init; }

    public required double CandidateRight { get; init; }

    /// <summary>Fresh requests that both answered.</summary>
    public required int Fresh { get; init; }

    /// <summary>Evidence for a gain: the e-value of the paired test, 1 without any. From 1/α on it is shown at level α, whenever one looks (Ville's inequality).</summary>
    public required double Evidence { get; init; }

    /// <summary>Golden requests that the candidate was asked (<see cref="PairedAnswer.Key"/>), and whether it had them right; what later candidates are held against. null in what was stored before it was kept.</summary>
    public IReadOnlyDictionary<string, bool>? GoldenRight { get; init; }

    /// <summary>
    /// Ids of golden and old requests that the candidate had wrong where the champion, or of golden ones an earlier champion, had them right, the first 100; what the next cycle rehearses. null in
    /// what was stored before it was kept.
    /// </summary>
    public IReadOnlyList<string>? Broken { get; init; }

    /// <summary>For people: why it is so.</summary>
    public required string Summary { get; init; }
}
