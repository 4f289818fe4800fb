using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Evaluation;

/// <summary>An audited and labelled request.</summary>
/// <param name="LocalAgrees">Whether the local answer agrees with the teacher's, by the task's measure.</param>
/// <param name="Sent">Which answer its client got.</param>
/// <param name="AuditProbability">The probability with which it was drawn into the audit sample, above 0 to 1.</param>
/// <param name="Acceptance">How good the frontier's answer was by its outcome, 0 to 1; null: it counts as right, as local answers are measured against it.</param>
public readonly record struct QualitySample(bool LocalAgrees, Route Sent, double AuditProbability, double? Acceptance = null);

/// <summary>An estimate and its confidence interval, all 0 to 1.</summary>
public readonly record struct Proportion(double Value, double Low, double High);

/// <summary>
/// What the audit sample says of all requests that it was drawn from: unbiased, because whether a request is audited depends on nothing but chance, and
/// each audited request counts for 1 ÷ π requests, where π is the probability with which it was drawn (Horvitz and Thompson 1952; as a ratio to the estimated number of
/// requests: Hájek 1971).
/// </summary>
/// <remarks>
/// Intervals are Wilson's (1927) for an effective number of audits n* = q(1 − q) ÷ V, V being the estimated variance of the ratio under independent draws,
/// Σ wᵢ² (1 − πᵢ) (yᵢ − q)² ÷ (Σ wᵢ)² (Korn and Graubard 1998 do so for Clopper's and Pearson's). So changing shares, and requests that were all audited
/// (1 − π = 0: nothing is left to chance), are accounted for. Near 0 and 1, where V rests on a few samples, it is shrunk to what it would be if y did not depend on w.
/// </remarks>
public sealed record QualityEstimate
{
    /// <summary>Audits that it rests on.</summary>
    public required int Audits { get; init; }

    /// <summary>Estimated number of requests that they stand for: Σ 1 ÷ π.</summary>
    public required double Requests { get; init; }

    /// <summary>Share of all requests whose local answer is (or would have been) right.</summary>
    public required Proportion Local { get; init; }

    /// <summary>Quality of what clients were sent: local answers as measured, the frontier's by acceptance or as right.</summary>
    public required Proportion Mix { get; init; }

    /// <summary>Share of all requests that got a wrong local answer: what <see cref="Routing.RiskControl"/> bounds.</summary>
    public required Proportion Risk { get; init; }

    /// <summary>Share of the requests that went up.</summary>
    public required Proportion Escalation { get; init; }

    /// <summary>The estimate from all audits of a period. Without any, intervals are from 0 to 1 and values NaN. Throws <see cref="ArgumentException"/> for a probability or acceptance out of its range.</summary>
    /// <param name="audits">All audited requests of the period that have a label. One left out because of what it says makes it biased.</param>
    /// <param name="confidence">How often the intervals are to hold the truth, between 0 and 1.</param>
    public static QualityEstimate From(IEnumerable<QualitySample> audits, double confidence = 0.95)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(confidence, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(confidence, 1);
        QualitySample[] all = [.. audits];
        double[] weights = new double[all.Length];
        double[] left = new double[all.Length];
        for (int i = 0; i < all.Length; i++)
        {
            QualitySample sample = all[i];
            if (!(sample.AuditProbability is > 0 and <= 1) || !(sample.Acceptance is null or (>= 0 and <= 1)))
            {
                throw new ArgumentException($"An audit has probability {sample.AuditProbability} and acceptance {sample.Acceptance?.ToString() ?? "none"}: the first must be above 0 to 1, the second 0 to 1.", nameof(audits));
            }
            weights[i] = 1 / sample.AuditProbability;
            left[i] = 1 - sample.AuditProbability;
        }
        double z = NormalQuantile(0.5 + confidence / 2);
        return new QualityEstimate
        {
            Audits = all.Length,
            Requests = weights.Sum(),
            Local = Estimate(all, weights, left, z, static s => s.LocalAgrees ? 1 : 0),
            Mix = Estimate(all, weights, left, z, static s => s.Sent == Route.Frontier ? s.Acceptance ?? 1 : s.LocalAgrees ? 1 : 0),
            Risk = Estimate(all, weights, left, z, static s => s.Sent == Route.Local && !s.LocalAgrees ? 1 : 0),
            Escalation = Estimate(all, weights, left, z, static s => s.Sent == Route.Frontier ? 1 : 0),
        };
    }

    /// <summary>Wilson's score interval (1927) for a proportion <paramref name="value"/> seen in <paramref name="n"/> independent trials; n need not be whole.</summary>
    /// <param name="value">0 to 1.</param>
    /// <param name="n">Trials, above 0; infinite: no doubt is left.</param>
    /// <param name="z">The normal quantile: 1.96 for 95 %.</param>
    public static Proportion Wilson(double value, double n, double z)
    {
        if (double.IsPositiveInfinity(n))
        {
            return new Proportion(value, value, value);
        }
        double zz = z * z;
        double centre = (value + zz / (2 * n)) / (1 + zz / n);
        double half = z / (1 + zz / n) * Math.Sqrt(value * (1 - value) / n + zz / (4 * n * n));
        return new Proportion(value, Math.Max(Math.Min(centre - half, value), 0), Math.Min(Math.Max(centre + half, value), 1));
    }

    private static Proportion Estimate(QualitySample[] all, double[] weights, double[] left, double z, Func<QualitySample, double> measure)
    {
        if (all.Length == 0)
        {
            return new Proportion(double.NaN, 0, 1);
        }
        double total = 0, sum = 0;
        for (int i = 0; i < all.Length; i++)
        {
            total += weights[i];
            sum += weights[i] * measure(all[i]);
        }
        double value = Math.Clamp(sum / total, 0, 1);
        double squares = 0, chance = 0;
        for (int i = 0; i < all.Length; i++)
        {
            double part = weights[i] / total;
            double off = measure(all[i]) - value;
            squares += part * part * left[i] * off * off;
            chance += part * part * left[i];
        }
        if (chance == 0)
        {
            return new Proportion(value, value, value);
        }
        // So many audits of one weight would leave as much to chance, if y had nothing to do with w. How much more (or less) it is since it has, is only known as
        // well as there are audits of the rarer kind; five imaginary ones say "no more".
        double plain = 1 / chance;
        const double imaginary = 5;
        double effect = (squares * plain * plain + imaginary) / (value * (1 - value) * plain + imaginary);
        return Wilson(value, plain / effect, z);
    }

    // The inverse of the normal distribution, for p of ½ or more, by bisection on the series and continued fraction of erfc: some microseconds.
    internal static double NormalQuantile(double p)
    {
        double low = 0, high = 40;
        for (int i = 0; i < 80; i++)
        {
            double middle = (low + high) / 2;
            (low, high) = UpperTail(middle) > 1 - p ? (middle, high) : (low, middle);
        }
        return (low + high) / 2;
    }

    // Q(x) for x of 0 or more: ½ − φ(x) (x + x³/3 + x⁵/15 + …) below 3, φ(x) ÷ (x + 1/(x + 2/(x + 3/…))) from there on (Abramowitz and Stegun 26.2.11 and 26.2.14).
    private static double UpperTail(double x)
    {
        double density = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
        if (x < 3)
        {
            double term = x, sum = x;
            for (int k = 3; term > 1e-17; k += 2)
            {
                term *= x * x / k;
                sum += term;
            }
            return 0.5 - density * sum;
        }
        double fraction = x;
        for (int k = 60; k > 0; k--)
        {
            fraction = x + k / fraction;
        }
        return density / fraction;
    }
}
