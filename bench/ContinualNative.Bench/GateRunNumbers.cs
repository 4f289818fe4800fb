using ContinualNative.Core.Evaluation;

namespace ContinualNative.Bench;

/// <summary>Draws and summaries that the parts of the run <c>gate</c> share.</summary>
internal static class GateRunNumbers
{
    /// <summary>The seed of one stream: the same in every process, unlike a hash code.</summary>
    public static int Seed(int seed, int run, int part) => unchecked(seed * 1_000_003 + run * 64 + part);

    /// <summary>1 with probability <paramref name="wins"/>, −1 with <paramref name="losses"/>, else 0.</summary>
    public static int Flip(Random random, double wins, double losses)
    {
        double u = random.NextDouble();
        return u < wins ? 1 : u < wins + losses ? -1 : 0;
    }

    /// <summary>From the normal distribution (Box and Muller 1958).</summary>
    public static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    /// <summary>A share with its 95 % interval by Wilson, in per cent.</summary>
    public static string Share(int hits, int runs)
    {
        Proportion share = QualityEstimate.Wilson((double)hits / runs, runs, 1.96);
        return $"{100 * share.Value:0.0} % ({100 * share.Low:0.0} to {100 * share.High:0.0})";
    }

    /// <summary>A quantile of delays of which some never ended: those are the largest.</summary>
    public static string Quantile(IReadOnlyList<int> ended, int runs, double q)
    {
        int rank = (int)Math.Ceiling(q * runs) - 1;
        return rank < ended.Count ? $"{ended.Order().ElementAt(rank)}" : "none";
    }
}
