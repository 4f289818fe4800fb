using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>A share of answers that were right, 0 to 1, with the ends of its 95 % interval where they are known.</summary>
internal readonly record struct Rate(double Value, double? Low = null, double? High = null)
{
    // The normal quantile for 95 %.
    private const double Z = 1.959963984540054;

    /// <summary>Right answers among independent ones, with Wilson's interval; null for none.</summary>
    public static Rate? Of(long right, long all)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(right);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(right, all);
        return all == 0 ? null : Of(QualityEstimate.Wilson((double)right / all, all, Z));
    }

    /// <summary>An estimate that was made elsewhere.</summary>
    public static Rate Of(Proportion estimate) => new(estimate.Value, estimate.Low, estimate.High);
}
