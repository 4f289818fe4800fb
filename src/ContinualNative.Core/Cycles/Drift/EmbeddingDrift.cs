using System.Runtime.InteropServices;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Core.Cycles.Drift;

/// <summary>
/// Tells when prompts are about something else than they were: the squared distance between the mean of the recent embeddings and the mean of a reference (the maximum mean discrepancy of a linear
/// kernel: Gretton et al. 2012, "A kernel two-sample test", JMLR 13). The first embeddings are the reference. After an alarm it starts anew, with a new reference. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// The threshold comes from the reference itself: it is split at random into as many as are recent and the rest, many times. A χ² with the mean, variance and skewness of those distances
/// stands for the null distribution, which is a weighted sum of χ² (the fit of three moments: Pearson 1959, Biometrika 46; its quantile by Wilson and Hilferty 1931). It is compared once in a quarter of
/// the recent window, at the level that gives the wanted time between two alarms. What that is in fact was simulated: see the tests and <c>bench/results</c>.
/// </para>
/// <para>A request costs two additions of vectors; the splits, once for a reference, some thirty million additions. What changes in the embeddings' spread and leaves their mean is not seen.</para>
/// </remarks>
public sealed class EmbeddingDrift
{
    private const int Splits = 1000;

    private readonly int _dimension;
    private readonly int _every;
    private readonly double _level;
    private readonly float[] _reference;
    private readonly float[] _recent;
    private readonly double[] _mean;
    private readonly double[] _sum;
    private readonly int _referenceCount;
    private readonly int _recentCount;
    private readonly ulong _seed;
    private int _filled;
    private long _watched;

    /// <summary>Starts with nothing seen.</summary>
    /// <param name="dimension">Elements of an embedding, 1 or more.</param>
    /// <param name="reference">Embeddings that it learns from before it watches; at least twice <paramref name="recent"/>.</param>
    /// <param name="recent">Embeddings that are compared with them, 8 or more.</param>
    /// <param name="meanRunLength">Watched requests between two false alarms, on average, at least; no less than <paramref name="recent"/>.</param>
    /// <param name="seed">Of the splits.</param>
    public EmbeddingDrift(int dimension, int reference = 512, int recent = 128, double meanRunLength = 10_000, ulong seed = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(dimension, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(recent, 8);
        ArgumentOutOfRangeException.ThrowIfLessThan(reference, 2 * recent);
        ArgumentOutOfRangeException.ThrowIfLessThan(meanRunLength, recent);
        _dimension = dimension;
        _referenceCount = reference;
        _recentCount = recent;
        _every = recent / 4;
        _level = _every / meanRunLength;
        _seed = seed;
        _reference = new float[reference * dimension];
        _recent = new float[recent * dimension];
        _mean = new double[dimension];
        _sum = new double[dimension];
    }

    /// <summary>The squared distance from which on it alarms; NaN while the reference is being filled.</summary>
    public double Threshold { get; private set; } = double.NaN;

    /// <summary>The squared distance as it was last compared; NaN before.</summary>
    public double Distance { get; private set; } = double.NaN;

    /// <summary>Whether the reference is full.</summary>
    public bool IsWatching => _filled == _referenceCount;

    /// <summary>Adds an embedding; true: alarm. Throws <see cref="ArgumentException"/> for one of another length.</summary>
    public bool Add(ReadOnlySpan<float> embedding)
    {
        if (embedding.Length != _dimension)
        {
            throw new ArgumentException($"The embedding has {embedding.Length} elements, not {_dimension}.", nameof(embedding));
        }
        if (!IsWatching)
        {
            embedding.CopyTo(_reference.AsSpan(_filled * _dimension));
            _filled++;
            if (IsWatching)
            {
                Learn();
            }
            return false;
        }
        // In double: what is added and taken off again a million times must leave nothing behind.
        Span<float> oldest = _recent.AsSpan((int)(_watched % _recentCount) * _dimension, _dimension);
        for (int i = 0; i < embedding.Length; i++)
        {
            _sum[i] += (double)embedding[i] - oldest[i];
        }
        embedding.CopyTo(oldest);
        _watched++;
        if (_watched < _recentCount || _watched % _every != 0)
        {
            return false;
        }
        Distance = 0;
        for (int i = 0; i < _dimension; i++)
        {
            double difference = _sum[i] / _recentCount - _mean[i];
            Distance += difference * difference;
        }
        if (Distance < Threshold)
        {
            return false;
        }
        Reset();
        return true;
    }

    /// <summary>Forgets everything.</summary>
    public void Reset()
    {
        _filled = 0;
        _watched = 0;
        Array.Clear(_recent);
        Array.Clear(_sum);
        Threshold = double.NaN;
    }

    private void Learn()
    {
        Array.Clear(_mean);
        for (int i = 0; i < _reference.Length; i++)
        {
            _mean[i % _dimension] += (double)_reference[i] / _referenceCount;
        }
        Random random = new((int)_seed);
        int[] order = [.. Enumerable.Range(0, _referenceCount)];
        float[] sum = new float[_dimension];
        double[] distances = new double[Splits];
        for (int split = 0; split < Splits; split++)
        {
            distances[split] = SplitDistance(random, order, sum);
        }
        double m = _recentCount, n = _referenceCount;
        // A split's distance has the variance (1/m + 1/(n − m)) of single embeddings, the watched one (1/m + 1/n).
        double scaled = UpperQuantile(distances, _level) * (1 / m + 1 / n) / (1 / m + 1 / (n - m));
        // Embeddings that are all the same are as far apart as rounding puts them.
        Threshold = Math.Max(scaled, Math.Max(1e-9 * _mean.Sum(static x => x * x), double.Epsilon));
    }

    private static double UpperQuantile(double[] distances, double level)
    {
        double mean = distances.Average();
        double deviation = Math.Sqrt(distances.Average(d => (d - mean) * (d - mean)));
        if (deviation <= 0)
        {
            return mean;
        }
        // A skewness below that of one χ² of this mean and variance is chance; of 1000 splits it is known to a fifth or so.
        double skewness = Math.Max(distances.Average(d => Math.Pow((d - mean) / deviation, 3)), 2 * deviation / mean);
        double freedom = 8 / (skewness * skewness);
        double root = 1 - 2 / (9 * freedom) + QualityEstimate.NormalQuantile(1 - Math.Min(level, 0.5)) * Math.Sqrt(2 / (9 * freedom));
        return mean + deviation * (freedom * root * root * root - freedom) / Math.Sqrt(2 * freedom);
    }

    // With S the sum of m drawn ones and μ the mean of all n, the means of the two parts are S/m and (nμ − S)/(n − m), and their difference is (S/m − μ) n/(n − m).
    private double SplitDistance(Random random, int[] order, float[] sum)
    {
        Array.Clear(sum);
        for (int i = 0; i < _recentCount; i++)
        {
            int j = random.Next(i, order.Length);
            (order[i], order[j]) = (order[j], order[i]);
            Accumulate(sum, _reference.AsSpan(order[i] * _dimension, _dimension));
        }
        double scale = (double)_referenceCount / (_referenceCount - _recentCount);
        double distance = 0;
        for (int i = 0; i < _dimension; i++)
        {
            double difference = (sum[i] / _recentCount - _mean[i]) * scale;
            distance += difference * difference;
        }
        return distance;
    }

    private static void Accumulate(Span<float> sum, ReadOnlySpan<float> vector)
    {
        Span<System.Numerics.Vector<float>> wide = MemoryMarshal.Cast<float, System.Numerics.Vector<float>>(sum);
        ReadOnlySpan<System.Numerics.Vector<float>> other = MemoryMarshal.Cast<float, System.Numerics.Vector<float>>(vector);
        for (int i = 0; i < wide.Length; i++)
        {
            wide[i] += other[i];
        }
        for (int i = wide.Length * System.Numerics.Vector<float>.Count; i < sum.Length; i++)
        {
            sum[i] += vector[i];
        }
    }
}
