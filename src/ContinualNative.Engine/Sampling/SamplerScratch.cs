using System.Numerics.Tensors;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Engine.Sampling;

/// <summary>Buffers that all samplers of one engine thread share, one token at a time.</summary>
internal sealed class SamplerScratch
{
    private const int Block = 2048;

    private Candidate[] _candidates = new Candidate[4096];
    private (int Token, float Logit)[] _originals = new (int, float)[64];
    private int _originalCount;

    /// <summary>Forgets the logits kept for the token before.</summary>
    public void Forget() => _originalCount = 0;

    /// <summary>Keeps a logit that is about to be changed; the first one kept for a token wins.</summary>
    public void Keep(int token, float logit)
    {
        if (_originalCount == _originals.Length)
        {
            Array.Resize(ref _originals, _originals.Length * 2);
        }
        _originals[_originalCount++] = (token, logit);
    }

    /// <summary>The logit as the model gave it.</summary>
    public float Original(int token, float current)
    {
        for (int i = 0; i < _originalCount; i++)
        {
            if (_originals[i].Token == token)
            {
                return _originals[i].Logit;
            }
        }
        return current;
    }

    public Span<Candidate> Candidates(int count) => _candidates.AsSpan(0, count);

    /// <summary>Sum of exp((x − max) · inverse) over the row.</summary>
    public double Mass(ReadOnlySpan<float> row, float max, float inverse)
    {
        Span<float> buffer = stackalloc float[Block];
        double sum = 0;
        for (int start = 0; start < row.Length; start += Block)
        {
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(Block, row.Length - start));
            Span<float> e = buffer[..block.Length];
            TensorPrimitives.Subtract(block, max, e);
            TensorPrimitives.Multiply(e, inverse, e);
            TensorPrimitives.Exp(e, e);
            sum += TensorPrimitives.Sum<float>(e);
        }
        return sum;
    }

    /// <summary>Collects the tokens whose logit is at least <paramref name="lowest"/>, in the order of their ids; returns how many.</summary>
    public int Gather(ReadOnlySpan<float> row, float lowest, float max, float inverse)
    {
        int count = 0;
        for (int start = 0; start < row.Length; start += 256)
        {
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(256, row.Length - start));
            if (!(TensorPrimitives.Max(block) >= lowest))
            {
                continue;
            }
            for (int i = 0; i < block.Length; i++)
            {
                float logit = block[i];
                if (logit >= lowest && !float.IsNegativeInfinity(logit))
                {
                    if (count == _candidates.Length)
                    {
                        Array.Resize(ref _candidates, _candidates.Length * 2);
                    }
                    _candidates[count++] = new Candidate(start + i, MathF.Exp((logit - max) * inverse));
                }
            }
        }
        return count;
    }

    /// <summary>The <c>top.Length</c> likeliest tokens of an untouched row, most likely first.</summary>
    public void Top(ReadOnlySpan<float> row, in LogitStatistics statistics, Span<TokenLogProb> top)
    {
        // Keep the n best in a small sorted window; its last entry is the bar for whole blocks.
        int held = 0;
        float bar = float.NegativeInfinity;
        for (int start = 0; start < row.Length; start += 256)
        {
            ReadOnlySpan<float> block = row.Slice(start, Math.Min(256, row.Length - start));
            if (held == top.Length && !(TensorPrimitives.Max(block) > bar))
            {
                continue;
            }
            for (int i = 0; i < block.Length; i++)
            {
                if (held == top.Length && !(block[i] > bar))
                {
                    continue;
                }
                int at = held < top.Length ? held++ : held - 1;
                while (at > 0 && top[at - 1].LogProb < block[i])
                {
                    top[at] = top[at - 1];
                    at--;
                }
                top[at] = new TokenLogProb(start + i, block[i]);
                bar = top[held - 1].LogProb;
            }
        }
        for (int i = 0; i < held; i++)
        {
            top[i] = top[i] with { LogProb = top[i].LogProb - statistics.LogSumExp };
        }
    }
}
