using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ContinualNative.Engine.Sampling;

/// <summary>What one row of logits says about the next token, in nats.</summary>
/// <param name="Argmax">The likeliest token.</param>
/// <param name="Max">Its logit.</param>
/// <param name="LogSumExp">Logarithm of the sum of the exponentials: a token's log-probability is its logit less this.</param>
/// <param name="Entropy">Entropy of the distribution.</param>
internal readonly record struct LogitStatistics(int Argmax, float Max, float LogSumExp, float Entropy)
{
    // Small enough that sums in single precision lose nothing that shows, large enough to amortize the change to double.
    private const int Block = 2048;

    // exp(-40) is 4e-18: a block that far below the maximum changes no float of the results.
    private const float Negligible = 40f;

    // exp of this is 1e-38, the smallest normal number: it adds nothing, and 0 · −∞ never comes up.
    private const float Floor = -87f;

    /// <summary>Reads the row in place; −∞ entries count as impossible. <paramref name="row"/> has one float per token.</summary>
    public static LogitStatistics Of(ReadOnlySpan<float> row)
    {
        // The largest logit of each block, so that the blocks that don't matter are not read again.
        int blocks = (row.Length + Block - 1) / Block;
        Span<float> largest = blocks <= 512 ? stackalloc float[blocks] : new float[blocks];
        int argmax = Best(row, out float max, largest);
        if (float.IsNegativeInfinity(max) || float.IsNaN(max))
        {
            return new LogitStatistics(argmax, max, max, 0f);
        }
        double sum = 0;
        double weighted = 0;
        for (int start = 0; start < row.Length; start += Block)
        {
            if (largest[start / Block] >= max - Negligible)
            {
                Accumulate(row.Slice(start, Math.Min(Block, row.Length - start)), max, ref sum, ref weighted);
            }
        }
        double logSum = Math.Log(sum);
        return new LogitStatistics(argmax, max, (float)(max + logSum), MathF.Max(0f, (float)(logSum - (weighted / sum))));
    }

    /// <summary>The index of the largest logit, the first of equal ones.</summary>
    public static int Best(ReadOnlySpan<float> row, out float max) => Best(row, out max, []);

    private static int Best(ReadOnlySpan<float> row, out float max, Span<float> blockMaxima)
    {
        // Finding the largest value is more than twice as fast as finding its place, so the place is looked for in one block only.
        max = float.NegativeInfinity;
        int best = 0;
        for (int start = 0; start < row.Length; start += Block)
        {
            float largest = TensorPrimitives.Max(row.Slice(start, Math.Min(Block, row.Length - start)));
            if (!blockMaxima.IsEmpty)
            {
                blockMaxima[start / Block] = largest;
            }
            if (largest > max || float.IsNaN(largest))
            {
                max = largest;
                best = start;
            }
            if (float.IsNaN(largest))
            {
                break;
            }
        }
        return best + Math.Max(0, TensorPrimitives.IndexOfMax(row.Slice(best, Math.Min(Block, row.Length - best))));
    }

    /// <summary>
    /// exp for −87 ≤ x ≤ 0, to two units in the last place: x = n·ln 2 + r with |r| ≤ ½ ln 2, and exp(r) by its Taylor polynomial of degree 7, whose
    /// remainder there is below 2⁻²⁷. Three times as fast as the general function, which this row is too long for.
    /// </summary>
    private static Vector512<float> Exp(Vector512<float> x)
    {
        // Adding 1.5·2²³ rounds to a whole number, and leaves it in the low bits.
        Vector512<float> magic = Vector512.Create(12582912f);
        Vector512<float> shifted = Vector512.FusedMultiplyAdd(x, Vector512.Create(1.44269504f), magic);
        Vector512<float> n = shifted - magic;
        // ln 2 in two parts, so that n·ln 2 loses nothing.
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693359375f), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(2.12194440e-4f), r);
        Vector512<float> p = Vector512.FusedMultiplyAdd(Vector512.Create(1f / 5040), r, Vector512.Create(1f / 720));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 120));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 24));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 6));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(0.5f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        // Multiplying by 2ⁿ is adding n to the exponent.
        return (p.AsInt32() + Vector512.ShiftLeft(shifted.AsInt32(), 23)).AsSingle();
    }

    // Adds Σ exp(x − max) and Σ exp(x − max)·(x − max) in one pass over the block.
    private static void Accumulate(ReadOnlySpan<float> block, float max, ref double sum, ref double weighted)
    {
        Vector512<float> s = Vector512<float>.Zero;
        Vector512<float> w = Vector512<float>.Zero;
        ReadOnlySpan<Vector512<float>> vectors = MemoryMarshal.Cast<float, Vector512<float>>(block);
        Vector512<float> shift = Vector512.Create(max);
        Vector512<float> floor = Vector512.Create(Floor);
        foreach (ref readonly Vector512<float> vector in vectors)
        {
            Vector512<float> x = Vector512.Max(vector - shift, floor);
            Vector512<float> e = Exp(x);
            s += e;
            w += e * x;
        }
        sum += Vector512.Sum(s);
        weighted += Vector512.Sum(w);
        foreach (float logit in block[(vectors.Length * Vector512<float>.Count)..])
        {
            float x = MathF.Max(logit - max, Floor);
            float e = MathF.Exp(x);
            sum += e;
            weighted += e * x;
        }
    }
}
