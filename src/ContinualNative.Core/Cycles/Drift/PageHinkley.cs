using ContinualNative.Core.Evaluation;

namespace ContinualNative.Core.Cycles.Drift;

/// <summary>
/// Tells when a stream of confidences has fallen: Page's cumulative sum (1954, Biometrika 41) with Hinkley's estimated reference (1971, Biometrika 58). The first values are the reference; from then on
/// S ← max(0, S − z − δ), where z is a value's score in the reference, and it alarms when S exceeds λ. After an alarm it starts anew, with a new reference. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// Decision: z is not (x − mean) ÷ deviation but the normal score of the value's rank in the reference, Φ⁻¹((rank + ½) ÷ (n + 1)). Confidences crowd below 1 with a long tail downwards; by mean and
/// deviation that tail alone crosses λ many times as often as the formula for it says. Ranks have one distribution whatever the confidences have, so that one λ serves all.
/// </para>
/// <para>
/// λ follows from the wanted mean time between false alarms by Siegmund's approximation (1985, "Sequential Analysis", eq. 2.56 with the overshoot's 1.166),
/// (exp(2δ′(λ + 1.166)) − 1 − 2δ′(λ + 1.166)) ÷ (2δ′²), with δ′ = δ − 1/√n: a reference of n values is off by 1/√n, and one that is too high eats into δ. Alarms then
/// come half as often as asked for, or less: see the tests and <c>bench/results</c>. Requests that come in bursts of the same kind are not independent, and make it alarm more often.
/// </para>
/// </remarks>
public sealed class PageHinkley
{
    private readonly double[] _reference;
    private readonly double[] _scores;
    private readonly double _slack;
    private int _filled;

    /// <summary>Starts with nothing seen.</summary>
    /// <param name="reference">Values that it learns from before it watches, 50 or more.</param>
    /// <param name="meanRunLength">Watched values between two false alarms, on average, at least; 100 or more.</param>
    /// <param name="slack">δ: half the fall that is to be found, in standard deviations; above 1/√reference, to 2.</param>
    public PageHinkley(int reference = 500, double meanRunLength = 10_000, double slack = 0.25)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(reference, 50);
        ArgumentOutOfRangeException.ThrowIfLessThan(meanRunLength, 100);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(slack, 2);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(slack, 1 / Math.Sqrt(reference));
        _reference = new double[reference];
        _slack = slack;
        Threshold = ThresholdFor(slack - 1 / Math.Sqrt(reference), meanRunLength);
        // By twice the rank: where values are equal, the middle of their ranks counts.
        _scores = new double[2 * reference + 1];
        for (int twice = 0; twice < _scores.Length; twice++)
        {
            double p = (twice / 2.0 + 0.5) / (reference + 1);
            _scores[twice] = p >= 0.5 ? QualityEstimate.NormalQuantile(p) : -QualityEstimate.NormalQuantile(1 - p);
        }
    }

    /// <summary>λ.</summary>
    public double Threshold { get; }

    /// <summary>S; 0 while the reference is being filled.</summary>
    public double Statistic { get; private set; }

    /// <summary>Values watched since S was last 0: an estimate of how long ago the fall began.</summary>
    public int Since { get; private set; }

    /// <summary>Whether the reference is full.</summary>
    public bool IsWatching => _filled == _reference.Length;

    /// <summary>Adds a confidence; true: alarm. Throws <see cref="ArgumentException"/> for a value that is not a finite number.</summary>
    public bool Add(double confidence)
    {
        if (!double.IsFinite(confidence))
        {
            throw new ArgumentException($"A confidence of {confidence} can't be ranked.", nameof(confidence));
        }
        if (!IsWatching)
        {
            _reference[_filled++] = confidence;
            if (IsWatching)
            {
                Array.Sort(_reference);
            }
            return false;
        }
        Statistic = Math.Max(0, Statistic - Score(confidence) - _slack);
        Since = Statistic > 0 ? Since + 1 : 0;
        if (Statistic <= Threshold)
        {
            return false;
        }
        Reset();
        return true;
    }

    /// <summary>Forgets everything, as after a swap of the model: confidences of another model are another stream.</summary>
    public void Reset()
    {
        _filled = 0;
        Statistic = 0;
        Since = 0;
    }

    private double Score(double confidence)
    {
        int below = Bound(confidence, orEqual: false), upTo = Bound(confidence, orEqual: true);
        return _scores[below + upTo];
    }

    // How many of the reference are below the value, or not above it.
    private int Bound(double value, bool orEqual)
    {
        int low = 0, high = _reference.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _reference[middle] < value || (orEqual && _reference[middle] == value) ? (middle + 1, high) : (low, middle);
        }
        return low;
    }

    private static double ThresholdFor(double slack, double meanRunLength)
    {
        double low = 0, high = 1000;
        while (high - low > 1e-6)
        {
            double middle = (low + high) / 2;
            double b = 2 * slack * (middle + 1.166);
            (low, high) = (Math.Exp(b) - 1 - b) / (2 * slack * slack) < meanRunLength ? (middle, high) : (low, middle);
        }
        return high;
    }
}
