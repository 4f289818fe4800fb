using System.Numerics.Tensors;

namespace ContinualNative.Engine.Sampling;

/// <summary>What one row of logits says about the next token, in nats.</summary>
/// <param name="Argmax">The likeliest token.</param>
/// <param name="Max">Its logit.</param>
/// <param name="LogSumExp">Logarithm of the sum of the exponentials: a token's log-probability is its logit less this.</param>
/// <param name="Entropy">Entropy of the distribution.</param>
internal readonly record struct LogitStatistics(int Argmax, float Max, float LogSumExp, float Entropy)
{
    // Fits the first-level cache twice over, so that the row is read from memory once.
    private const int Block = 2048;

    // exp(-40) is 4e-18: a block that far below the maximum changes no float of the results.
    private const float Negligible = 40f;

    /// <summary>Reads the row in place; −∞ entries count as impossible. <paramref name="row"/> has one float per token.</summary>
    public static LogitStatistics Of(ReadOnlySpan<float> row)
    {
        int argmax = TensorPrimitives.IndexOfMax(row);
        float max = row[argmax];
        if (float.IsNegativeInfinity(max) || float.IsNaN(max))
        {
            return new LogitStatistics(argmax, max, max, 0f);
        }
        Span<float> shifted = stackalloc float[Block];
        Span<float> exponentials = stackalloc float[Block];
        double sum = 0;
        double weighted = 0;
        for (int start = 0; start < row.Length; start += Block)
        {
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(Block, row.Length - start));
            if (TensorPrimitives.Max(block) < max - Negligible)
            {
                continue;
            }
            Span<float> x = shifted[..block.Length];
            Span<float> e = exponentials[..block.Length];
            TensorPrimitives.Subtract(block, max, x);
            // 0 · −∞ is not a number: the smallest finite shift whose exponential is 0 stands in for it.
            TensorPrimitives.Max(x, -200f, x);
            TensorPrimitives.Exp(x, e);
            sum += TensorPrimitives.Sum<float>(e);
            weighted += TensorPrimitives.Dot<float>(e, x);
        }
        float logSum = (float)Math.Log(sum);
        return new LogitStatistics(argmax, max, max + logSum, MathF.Max(0f, (float)(Math.Log(sum) - (weighted / sum))));
    }
}
