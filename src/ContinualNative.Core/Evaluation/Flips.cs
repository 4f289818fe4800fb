namespace ContinualNative.Core.Evaluation;

/// <summary>
/// How often one of two models was right where the other was not, and what of that is noise.
/// Decision: a fall is held against a model when losses less wins exceed tolerance · n + z √(wins + losses) with z = 1.2816. The second part is what fair flips reach by chance one time in ten
/// (their difference has that standard deviation), so that of ten requests a single loss proves nothing, nor do two; three without a win do. Of a hundred with a tolerance of 0.02, five losses
/// without a win do, and eight with two wins do not. A stricter level would let three of ten golden requests go; a laxer one would reject for noise.
/// </summary>
/// <param name="Wins">Only the candidate was right.</param>
/// <param name="Losses">Only the champion was.</param>
/// <param name="Count">Requests, the others included.</param>
internal readonly record struct Flips(int Wins, int Losses, int Count)
{
    /// <summary>The normal distribution's upper tenth.</summary>
    public const double Z = 1.2816;

    /// <summary>The candidate's share right less the champion's; 0 for no requests.</summary>
    public double Difference => Count > 0 ? (double)(Wins - Losses) / Count : 0;

    public static Flips Of(IReadOnlyList<PairedAnswer> pairs) =>
        new(pairs.Count(static p => p.CandidateRight && !p.ChampionRight), pairs.Count(static p => p.ChampionRight && !p.CandidateRight), pairs.Count);

    /// <summary>The same of valid answers.</summary>
    public static Flips OfForm(IReadOnlyList<PairedAnswer> pairs) =>
        new(pairs.Count(static p => p.CandidateValid && !p.ChampionValid), pairs.Count(static p => p.ChampionValid && !p.CandidateValid), pairs.Count);

    /// <summary>The least <see cref="Difference"/> that is not held against the candidate.</summary>
    public double Least(double tolerance) => Count > 0 ? -tolerance - Z * Math.Sqrt(Wins + Losses) / Count : 0;

    /// <summary>Whether the fall is more than the tolerance and chance.</summary>
    public bool FallsBelow(double tolerance) => Losses - Wins > tolerance * Count + Z * Math.Sqrt(Wins + Losses);
}
