namespace ContinualNative.Core.Routing;

/// <summary>
/// Watches the losses of audits as they come and tells when their rate has risen above a bound: the e-detector of Shiryaev and Roberts for bounded observations
/// (Shin, Ramdas, Rinaldo 2022, "E-detectors: a nonparametric framework for sequential change detection", arXiv 2203.03532). While the expected loss given the past stays at or
/// below the bound, it alarms falsely once in <c>meanRunLength</c> audits on average, or less often; that holds without any assumption beyond it. After an alarm it starts anew. Not thread-safe.
/// </summary>
/// <remarks>
/// For every alternative rate q the statistic is R ← (R + 1) · e, with the likelihood ratio e = q/b for a loss and (1 − q)/(1 − b) without one, whose expectation
/// is at most 1 while the rate is at most b, as q > b. Their mean over the alternatives is compared with the run length.
/// </remarks>
public sealed class RiskMonitor
{
    // How far from the bound to 1 the alternatives are: what counts is that one of them is near whatever comes.
    private static readonly double[] Alternatives = [0.03, 0.08, 0.2, 0.45, 0.8];

    private readonly double _runLength;
    private readonly double[] _statistics = new double[Alternatives.Length];
    private readonly double[] _sums = new double[Alternatives.Length];
    private readonly long[] _starts = new long[Alternatives.Length];
    private double _bound;

    /// <summary>Starts without evidence.</summary>
    /// <param name="bound">The rate of losses that is in order, above 0 and below 1; best <see cref="BoundFor"/>.</param>
    /// <param name="meanRunLength">Audits between two false alarms, on average, at least; above 1.</param>
    public RiskMonitor(double bound, double meanRunLength = 2000)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(meanRunLength, 1);
        Bound = bound;
        _runLength = meanRunLength;
    }

    /// <summary>The rate of losses that is in order.</summary>
    /// <remarks>May be set between audits, as with a new calibration; what was gathered stays.</remarks>
    public double Bound
    {
        get => _bound;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, 0);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(value, 1);
            _bound = value;
        }
    }

    /// <summary>Losses and audits since the last alarm.</summary>
    public (long Losses, long Audits) Seen { get; private set; }

    /// <summary>The statistic; it alarms when this reaches the mean run length.</summary>
    public double Evidence
    {
        get
        {
            double sum = 0;
            foreach (double statistic in _statistics)
            {
                sum += statistic;
            }
            return sum / _statistics.Length;
        }
    }

    /// <summary>After an alarm: the position of the first audit after the likely change; null before the first alarm.</summary>
    public long? ChangedAt { get; private set; }

    /// <summary>
    /// The target, and above it twice the standard deviation of the risk of a threshold that was set on <paramref name="samples"/> audits: conformal risk control
    /// bounds the mean over calibrations, so that a single one is above the target about half of the time.
    /// </summary>
    public static double BoundFor(double target, int samples) => Math.Min(target + 2 * Math.Sqrt(target * (1 - target) / Math.Max(samples, 1)), (1 + target) / 2);

    /// <summary>Adds an audit that is newer than the calibration; true: alarm.</summary>
    /// <param name="sequence">Its position in the order of arrival.</param>
    /// <param name="loss">What <see cref="Calibration.LossOf"/> says of it.</param>
    public bool Add(long sequence, bool loss)
    {
        Seen = (Seen.Losses + (loss ? 1 : 0), Seen.Audits + 1);
        for (int k = 0; k < Alternatives.Length; k++)
        {
            double q = Bound + (1 - Bound) * Alternatives[k];
            double ratio = loss ? q / Bound : (1 - q) / (1 - Bound);
            _statistics[k] = (_statistics[k] + 1) * ratio;
            // The cumulative sum tells since when the evidence has been growing (Page 1954).
            if (_sums[k] <= 0)
            {
                _starts[k] = sequence;
                _sums[k] = 0;
            }
            _sums[k] += Math.Log(ratio);
        }
        if (Evidence < _runLength)
        {
            return false;
        }
        int strongest = Array.IndexOf(_sums, _sums.Max());
        ChangedAt = _starts[strongest];
        Array.Clear(_statistics);
        Array.Clear(_sums);
        Seen = default;
        return true;
    }
}
