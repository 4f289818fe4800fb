namespace ContinualNative.Bench;

/// <summary>What the report counts beside <see cref="ContinualNative.Core.Routing.CalibrationQuality"/>. Higher scores are surer.</summary>
internal static class RoutingMetrics
{
    /// <summary>
    /// Bins of equally many answers, least sure first: the mean probability of each and the share that was right. Equally many, since sure answers are most
    /// of them and would all fall into one bin of equal width.
    /// </summary>
    public static RoutingBin[] Reliability(IReadOnlyList<double> probabilities, IReadOnlyList<bool> correct, int bins)
    {
        int[] order = [.. Enumerable.Range(0, probabilities.Count).OrderBy(i => probabilities[i])];
        return [.. Enumerable.Range(0, bins).Select(b =>
        {
            int[] bin = order[(int)((long)order.Length * b / bins)..(int)((long)order.Length * (b + 1) / bins)];
            return new RoutingBin(bin.Length, bin.Average(i => probabilities[i]), bin.Average(i => correct[i] ? 1.0 : 0.0));
        })];
    }

    /// <summary>
    /// What routing up the least sure answers costs and saves: entry k is the share of all requests that are answered locally and wrongly when the k least sure
    /// ones go up. Ties are broken by <paramref name="tie"/>, so that equal scores are routed at random.
    /// </summary>
    public static double[] RiskByRoutedUp(IReadOnlyList<double> scores, IReadOnlyList<bool> correct, Random tie)
    {
        int[] order = [.. Enumerable.Range(0, scores.Count)];
        tie.Shuffle(order);
        order = [.. order.OrderBy(i => scores[i])];
        double[] risk = new double[order.Length + 1];
        int wrong = correct.Count(static c => !c);
        risk[0] = (double)wrong / order.Length;
        for (int k = 0; k < order.Length; k++)
        {
            wrong -= correct[order[k]] ? 0 : 1;
            risk[k + 1] = (double)wrong / order.Length;
        }
        return risk;
    }

    /// <summary>Area under points of a falling curve of risk over share routed up, by trapezoids.</summary>
    public static double Area(IEnumerable<(double Share, double Risk)> curve)
    {
        (double Share, double Risk)[] points = [.. curve.OrderBy(static p => p.Share)];
        return points.Zip(points.Skip(1), static (a, b) => (b.Share - a.Share) * (a.Risk + b.Risk) / 2).Sum();
    }

    /// <summary>Mean of figures and the standard error of that mean.</summary>
    public static (double Mean, double Error) Mean(IEnumerable<double> figures)
    {
        double[] all = [.. figures];
        double mean = all.Average();
        return (mean, all.Length < 2 ? double.NaN : Math.Sqrt(all.Sum(f => (f - mean) * (f - mean)) / (all.Length - 1) / all.Length));
    }
}

/// <summary>Answers of like probability.</summary>
/// <param name="Count">How many.</param>
/// <param name="Probability">Mean of their probabilities.</param>
/// <param name="Correct">Share that was right.</param>
internal readonly record struct RoutingBin(int Count, double Probability, double Correct);
