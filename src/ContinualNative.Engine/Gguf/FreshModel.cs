using System.Runtime.InteropServices;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Models to be trained from nothing. Matrices are normal with deviation 0.02, and those that write into the residual stream are smaller by √(2 · layers), so
/// that its variance does not grow with depth (Radford et al. 2019, section 2.3); norms are 1 and biases 0. A weight is a function of seed, tensor name
/// and position only.
/// </summary>
public static class FreshModel
{
    /// <summary>Standard deviation of most matrices.</summary>
    public const float Deviation = 0.02f;

    private const int BlockElements = 1 << 16;

    /// <summary>Declares the whole model, in F32, on a writer. <see cref="SyntheticShape.Vocabulary"/> is not asked for: the vocabulary tells its size.</summary>
    public static GgufWriter Create(SyntheticShape shape, FreshVocabulary vocabulary, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(vocabulary);
        shape = shape with { Type = GgmlType.F32, Vocabulary = vocabulary.Tokens.Count };
        shape.Validate();
        if (shape.Architecture is not ("llama" or "qwen2" or "qwen3"))
        {
            throw new ArgumentException($"a fresh model is of the architecture llama, qwen2 or qwen3, not {shape.Architecture}", nameof(shape));
        }
        GgufWriter writer = new();
        SyntheticModel.WriteMetadata(writer, shape, shape.Vocabulary);
        vocabulary.WriteTo(writer);
        AddTensors(writer, shape, seed);
        return writer;
    }

    /// <summary>Weights of a fresh model of this shape.</summary>
    public static long Parameters(SyntheticShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        long keys = (long)shape.KvHeads * shape.HeadWidth;
        long layer = ((long)shape.Width * ((2L * shape.Width) + (2 * keys) + (3L * shape.FeedForward) + 2))
            + (shape.Architecture == "qwen2" ? shape.Width + (2 * keys) : 0) + (shape.Architecture == "qwen3" ? 2L * shape.HeadWidth : 0);
        return (shape.Layers * layer) + shape.Width + ((shape.TiedEmbeddings ? 1L : 2L) * shape.Vocabulary * shape.Width);
    }

    /// <summary>
    /// Values with mean 0 and that standard deviation: sums of twelve uniform ones, which are normal as far as training can tell and, unlike logarithms and
    /// cosines, the same on every machine.
    /// </summary>
    public static void Fill(Span<float> destination, ulong seed, string name, long position, float deviation)
    {
        ArgumentNullException.ThrowIfNull(name);
        ulong state = SyntheticModel.Mix(seed ^ SyntheticModel.Hash(name));
        // The variance of a uniform 16-bit number is (2³² − 1) / 12, so twelve of them have a deviation of √(2³² − 1).
        double scale = deviation / Math.Sqrt(4294967295.0);
        for (int i = 0; i < destination.Length; i++)
        {
            ulong at = state + ((ulong)(position + i) * 3);
            long sum = Sum(SyntheticModel.Mix(at * 0x9E3779B97F4A7C15)) + Sum(SyntheticModel.Mix((at + 1) * 0x9E3779B97F4A7C15)) + Sum(SyntheticModel.Mix((at + 2) * 0x9E3779B97F4A7C15));
            destination[i] = (float)((sum - (6 * 65535)) * scale);
        }
    }

    private static long Sum(ulong bits) => (long)((bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48));

    private static void AddTensors(GgufWriter writer, SyntheticShape shape, ulong seed)
    {
        float residual = Deviation / MathF.Sqrt(2f * shape.Layers);
        int keys = shape.KvHeads * shape.HeadWidth;
        Matrix("token_embd.weight", shape.Width, shape.Vocabulary, Deviation);
        Constant("output_norm.weight", shape.Width, 1);
        if (!shape.TiedEmbeddings)
        {
            Matrix("output.weight", shape.Width, shape.Vocabulary, Deviation);
        }
        for (int layer = 0; layer < shape.Layers; layer++)
        {
            string prefix = $"blk.{layer}.";
            Constant(prefix + "attn_norm.weight", shape.Width, 1);
            Matrix(prefix + "attn_q.weight", shape.Width, shape.Width, Deviation);
            Matrix(prefix + "attn_k.weight", shape.Width, keys, Deviation);
            Matrix(prefix + "attn_v.weight", shape.Width, keys, Deviation);
            if (shape.Architecture == "qwen2")
            {
                Constant(prefix + "attn_q.bias", shape.Width, 0);
                Constant(prefix + "attn_k.bias", keys, 0);
                Constant(prefix + "attn_v.bias", keys, 0);
            }
            if (shape.Architecture == "qwen3")
            {
                Constant(prefix + "attn_q_norm.weight", shape.HeadWidth, 1);
                Constant(prefix + "attn_k_norm.weight", shape.HeadWidth, 1);
            }
            Matrix(prefix + "attn_output.weight", shape.Width, shape.Width, residual);
            Constant(prefix + "ffn_norm.weight", shape.Width, 1);
            Matrix(prefix + "ffn_gate.weight", shape.Width, shape.FeedForward, Deviation);
            Matrix(prefix + "ffn_up.weight", shape.Width, shape.FeedForward, Deviation);
            Matrix(prefix + "ffn_down.weight", shape.FeedForward, shape.Width, residual);
        }

        void Constant(string name, int length, float value)
        {
            float[] values = new float[length];
            values.AsSpan().Fill(value);
            writer.AddTensor(name, [length], values);
        }

        void Matrix(string name, int inputs, int outputs, float deviation) => writer.AddTensor(name, GgmlType.F32, [inputs, outputs], stream =>
        {
            long total = (long)inputs * outputs;
            float[] block = new float[(int)Math.Min(total, BlockElements)];
            for (long at = 0; at < total; at += block.Length)
            {
                Span<float> part = block.AsSpan(0, (int)Math.Min(block.Length, total - at));
                Fill(part, seed, name, at, deviation);
                stream.Write(MemoryMarshal.AsBytes(part));
            }
        });
    }
}
