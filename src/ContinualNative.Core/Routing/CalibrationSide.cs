using System.Text.Json.Serialization;

namespace ContinualNative.Core.Routing;

/// <summary>Which samples a threshold was set on. The names are stored.</summary>
public enum ThresholdScope
{
    /// <summary>There were too few: there is no threshold.</summary>
    None = 0,

    /// <summary>Audits of the task itself: its risk is bounded.</summary>
    Task = 1,

    /// <summary>Audits of all tasks together: only the mean risk over all tasks is bounded, not that of this one.</summary>
    AllTasks = 2,

    /// <summary>Audits of all tasks, of streams and whole answers: only the mean risk over all of them is bounded.</summary>
    All = 3,
}

/// <summary>The model and threshold for whole answers, or for streams judged by their beginning.</summary>
public sealed record CalibrationSide
{
    // No answer is ever certain; 1 as a threshold so sends everything up.
    private const double Closest = 1e-6;

    // Beyond so many standard deviations a straight line is a guess.
    private const double Farthest = 5;

    /// <summary>Intercept, then a coefficient for every standardized column; empty: no model.</summary>
    public required double[] Coefficients { get; init; }

    /// <summary>Mean of every column.</summary>
    public required double[] Means { get; init; }

    /// <summary>1 ÷ standard deviation of every column; 0 for a constant one, which then has no say.</summary>
    public required double[] InverseScales { get; init; }

    /// <summary>The smallest probability that is answered locally, for the target risk; null when there were too few audits.</summary>
    public double? Threshold { get; init; }

    /// <summary>The same for half the target: in force for an adapter that has no calibration of its own yet; null when there were too few audits for it.</summary>
    public double? CautiousThreshold { get; init; }

    /// <summary>Which samples set the threshold.</summary>
    public ThresholdScope Scope { get; init; }

    /// <summary>How many audits set the threshold.</summary>
    public int ThresholdSamples { get; init; }

    /// <summary>Samples that the model was fitted to: of the task, where it has any.</summary>
    public int FitSamples { get; init; }

    /// <summary>Share of <see cref="ThresholdSamples"/> that were below the threshold: what share of the traffic it sends up.</summary>
    public double? EscalationShare { get; init; }

    /// <summary>How good the probabilities were on the audits that set the threshold, which the model never saw; null for none.</summary>
    public CalibrationQuality? Quality { get; init; }

    /// <summary>Whether there is a model to judge by.</summary>
    [JsonIgnore]
    public bool HasModel => Coefficients.Length > 0;

    /// <summary>Calibrated probability that the local answer is right, above 0 and below 1. Any features will do: what is not a number counts as average.</summary>
    public double Probability(in RoutingFeatures features)
    {
        Span<double> columns = stackalloc double[FeatureBasis.Count];
        FeatureBasis.Write(features, columns);
        return Probability(columns);
    }

    internal double Probability(ReadOnlySpan<double> columns)
    {
        double sum = Coefficients[0];
        for (int j = 0; j < columns.Length; j++)
        {
            sum += Coefficients[j + 1] * Standardize(columns[j], Means[j], InverseScales[j]);
        }
        return Math.Clamp(LogisticRegression.Sigmoid(sum), Closest, 1 - Closest);
    }

    internal static double Standardize(double value, double mean, double inverseScale) =>
        double.IsNaN(value) ? 0 : Math.Clamp((value - mean) * inverseScale, -Farthest, Farthest);

    internal bool IsWellFormed() =>
        (Coefficients.Length == FeatureBasis.Count + 1 || Coefficients.Length == 0)
        && Means.Length == Math.Max(Coefficients.Length - 1, 0)
        && InverseScales.Length == Means.Length
        && Array.TrueForAll(Coefficients, double.IsFinite)
        && Array.TrueForAll(Means, double.IsFinite)
        && Array.TrueForAll(InverseScales, double.IsFinite)
        && Threshold is null or (>= 0 and <= 1)
        && CautiousThreshold is null or (>= 0 and <= 1)
        && (HasModel || Threshold is null)
        && Enum.IsDefined(Scope);
}
