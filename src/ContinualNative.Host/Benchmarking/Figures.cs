namespace ContinualNative.Host.Benchmarking;

/// <summary>Order statistics of measurements.</summary>
internal static class Figures
{
    /// <summary>The value below which <paramref name="share"/> (0 to 1) of the values lie, nearest rank; 0 for none.</summary>
    public static double Quantile(IReadOnlyCollection<double> values, double share)
    {
        if (values.Count == 0)
        {
            return 0;
        }
        double[] sorted = [.. values.Order()];
        return sorted[Math.Clamp((int)Math.Ceiling(share * sorted.Length) - 1, 0, sorted.Length - 1)];
    }

    public static double Median(IReadOnlyCollection<double> values)
    {
        if (values.Count == 0)
        {
            return 0;
        }
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}

/// <summary>Throughput at one concurrency.</summary>
internal sealed record ThroughputRow
{
    public required int Concurrency { get; init; }

    /// <summary>Generated tokens a second, median over repeats.</summary>
    public required double Server { get; init; }

    /// <summary>The same of the raw loop with the server's kind of KV cache; null when a remote server was measured.</summary>
    public double? Raw { get; init; }

    /// <summary>Median of the ratios of the pairs.</summary>
    public double? Ratio { get; init; }

    public required double FirstTokenMedianMs { get; init; }

    public required double FirstTokenP99Ms { get; init; }

    public required double InterTokenMedianMs { get; init; }

    public required double InterTokenP99Ms { get; init; }
}

/// <summary>A shared prefix with the prefix cache and without.</summary>
internal sealed record PrefixRow(int Requests, int PrefixTokens, int AnswerTokens, double WithCacheSeconds, double WithoutCacheSeconds, double Speedup, int CachedTokens);

/// <summary>The longest gap in a running stream beside another request's start: same adapter, and one just promoted.</summary>
internal sealed record SwapRow(double BaselineGapMs, double SwapGapMs, double Ratio, double LoadMs, double FirstTokenAfterPromoteMs);

/// <summary>Serving and training at once, beside each alone. Rates are in tokens a second; each ratio is the median over rounds of both ÷ alone.</summary>
internal sealed record SharingRow
{
    public required int Streams { get; init; }

    /// <summary>Tokens of a training step.</summary>
    public required int TrainTokens { get; init; }

    /// <summary>The GPU that trained; null: the CPU.</summary>
    public required string? Device { get; init; }

    public required double ServingAlone { get; init; }

    public required double ServingBoth { get; init; }

    public required double ServingRatio { get; init; }

    public required double TrainingAlone { get; init; }

    public required double TrainingBoth { get; init; }

    public required double TrainingRatio { get; init; }

    public required double InterTokenMedianAloneMs { get; init; }

    public required double InterTokenMedianBothMs { get; init; }

    public required double InterTokenP99AloneMs { get; init; }

    public required double InterTokenP99BothMs { get; init; }

    public required double InterTokenP99Ratio { get; init; }

    public required double LongestSliceMs { get; init; }

    public required double LayerForwardMs { get; init; }

    public required double LayerBackwardMs { get; init; }
}

/// <summary>Everything that one run measured.</summary>
internal sealed record BenchReport(
    string Model, string Machine, int Threads, int PromptTokens, int AnswerTokens, int Repeats, IReadOnlyList<ThroughputRow> Throughput, PrefixRow? Prefix, SwapRow? Swap, IReadOnlyList<SharingRow> Sharing);
