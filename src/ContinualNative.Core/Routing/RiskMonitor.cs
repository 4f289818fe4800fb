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
    private readonly double _runLength;
    private readonly double[] _alternatives;
    private readonly double[] _statistics;
    private readonly double[] _sums;
    private readonly long[] _starts;

    /// <summary>Starts without evidence.</summary>
    /// <param name="bound">The rate of losses that is in order, above 0 and below 1; best <see cref="BoundFor"/>.</param>
    /// <param name="meanRunLength">Audits between two false alarms, on average, at least; above 1.</param>
    public RiskMonitor(double bound, double meanRunLength = 2000)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(bound, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(bound, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(meanRunLength, 1);
        Bound = bound;
        _runLength = meanRunLength;
        // A fifth, two fifths, ... of the way in log-odds would be as good: what counts is that one of them is near whatever comes.
        _alternatives = [bound + (1 - bound) * 0.03, bound + (1 - bound) * 0.08, bound + (1 - bound) * 0.2, bound + (1 - bound) * 0.45, bound + (1 - bound) * 0.8];
        _statistics = new double[_alternatives.Length];
        _sums = new double[_alternatives.Length];
        _starts = new long[_alternatives.Length];
    }

    /// <summary>The rate of losses that is in order.</summary>
    public double Bound { get; }

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
        for (int k = 0; k < _alternatives.Length; k++)
        {
            double q = _alternatives[k];
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
