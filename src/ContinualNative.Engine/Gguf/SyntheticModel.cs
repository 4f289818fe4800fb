using System.Numerics.Tensors;
using System.Runtime.InteropServices;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Writes models of real architectures with random weights: for benchmarks, where only the shape matters, and for tests. The weights are
/// uniform, a function of seed, tensor name and position only, and scaled so that logits have a standard deviation of about 3 and depend
/// on the whole prompt.
/// </summary>
public static class SyntheticModel
{
    private const int BlockElements = 1 << 20;
    private const float LogitDeviation = 3f;

    // Logits of quiet tokens are this much smaller, so that greedy decoding never and sampling rarely chooses them.
    private const float QuietScale = 0.25f;

    /// <summary>Writes the file atomically. The 0.5B shape takes a few seconds.</summary>
    public static void Write(
        string path,
        SyntheticShape shape,
        ulong seed = 1,
        IProgress<float>? progress = null,
        CancellationToken cancellationToken = default) => Create(shape, seed).Write(path, progress, cancellationToken);

    /// <summary>
    /// Declares the whole model on a writer, to which metadata can be added before it is written. <paramref name="quietTokens"/> false gives
    /// control tokens and raw bytes the same chance as all others.
    /// </summary>
    public static GgufWriter Create(SyntheticShape shape, ulong seed = 1, string? chatTemplate = null, bool quietTokens = true)
    {
        ArgumentNullException.ThrowIfNull(shape);
        shape.Validate();
        SyntheticVocabulary vocabulary = Vocabulary(shape);
        GgufWriter writer = new();
        WriteMetadata(writer, shape, vocabulary.Tokens.Count);
        vocabulary.WriteTo(writer);
        if (chatTemplate is not null)
        {
            writer.Set("tokenizer.chat_template", chatTemplate);
        }
        Builder builder = new(writer, shape, seed, quietTokens ? vocabulary.Quiet : null);
        if (shape.Architecture == "bert")
        {
            AddEncoder(builder, shape, vocabulary.Tokens.Count);
        }
        else
        {
            AddDecoder(builder, shape, vocabulary.Tokens.Count);
        }
        return writer;
    }

    /// <summary>The vocabulary that a model of this shape gets.</summary>
    public static SyntheticVocabulary Vocabulary(SyntheticShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return shape.Architecture switch
        {
            "llama" => SyntheticVocabulary.SentencePiece(shape.Vocabulary),
            "bert" => SyntheticVocabulary.WordPiece(shape.Vocabulary),
            _ => SyntheticVocabulary.BytePair(shape.Vocabulary, shape.VocabularyPadding),
        };
    }

    /// <summary>Uniform values of that standard deviation, a function of <paramref name="seed"/> and <paramref name="name"/> only.</summary>
    public static void Fill(Span<float> destination, ulong seed, string name, float deviation)
    {
        ulong state = Mix(seed ^ Hash(name));
        for (int block = 0; block * (long)BlockElements < destination.Length; block++)
        {
            int start = block * BlockElements;
            FillBlock(destination[start..Math.Min(destination.Length, start + BlockElements)], Mix(state + (ulong)block), deviation);
        }
    }

    internal static void WriteMetadata(GgufWriter writer, SyntheticShape shape, int vocabulary)
    {
        string prefix = shape.Architecture;
        writer.Set("general.architecture", shape.Architecture);
        writer.Set("general.type", "model");
        writer.Set("general.name", shape.Name);
        writer.Set("general.file_type", shape.Type == GgmlType.F16 ? 1u : 0u);
        writer.Set($"{prefix}.context_length", (uint)shape.Context);
        writer.Set($"{prefix}.embedding_length", (uint)shape.Width);
        writer.Set($"{prefix}.block_count", (uint)shape.Layers);
        writer.Set($"{prefix}.feed_forward_length", (uint)shape.FeedForward);
        writer.Set($"{prefix}.attention.head_count", (uint)shape.Heads);
        writer.Set($"{prefix}.vocab_size", (uint)vocabulary);
        if (shape.Architecture == "bert")
        {
            writer.Set($"{prefix}.attention.layer_norm_epsilon", shape.Epsilon);
            writer.Set($"{prefix}.attention.causal", false);
            writer.Set($"{prefix}.pooling_type", 1u);
            return;
        }
        writer.Set($"{prefix}.attention.head_count_kv", (uint)shape.KvHeads);
        writer.Set($"{prefix}.attention.layer_norm_rms_epsilon", shape.Epsilon);
        writer.Set($"{prefix}.rope.freq_base", shape.RopeBase);
        writer.Set($"{prefix}.rope.dimension_count", (uint)shape.HeadWidth);
        if (shape.Architecture == "qwen3")
        {
            writer.Set($"{prefix}.attention.key_length", (uint)shape.HeadWidth);
            writer.Set($"{prefix}.attention.value_length", (uint)shape.HeadWidth);
        }
    }

    private static void AddDecoder(Builder builder, SyntheticShape shape, int vocabulary)
    {
        float inner = 1f / MathF.Sqrt(shape.Width);
        float logits = LogitDeviation * inner;
        // With tied embeddings a token's own row is in the residual stream and would make it its own likeliest successor. Each layer adds
        // vectors of about unit length per element, so that the embedding, much smaller, does not decide.
        builder.Matrix("token_embd.weight", shape.Width, vocabulary, shape.TiedEmbeddings ? logits : 1.5f, quiet: shape.TiedEmbeddings);
        builder.Norm("output_norm.weight", shape.Width);
        if (!shape.TiedEmbeddings)
        {
            builder.Matrix("output.weight", shape.Width, vocabulary, logits, quiet: true);
        }
        // Scores with a deviation above 1 pick out some earlier tokens rather than averaging all. Larger factors make the text more varied, but
        // amplify rounding: a decode in another batch shape then chooses another token sooner. Tied embeddings need more of it.
        float sharpness = shape.TiedEmbeddings ? 1.7f : 1.2f;
        float feed = (shape.TiedEmbeddings ? 1.5f : 1.2f) * inner;
        int keys = shape.KvHeads * shape.HeadWidth;
        for (int layer = 0; layer < shape.Layers; layer++)
        {
            string prefix = $"blk.{layer}.";
            builder.Norm(prefix + "attn_norm.weight", shape.Width);
            builder.Matrix(prefix + "attn_q.weight", shape.Width, shape.Width, sharpness * inner);
            builder.Matrix(prefix + "attn_k.weight", shape.Width, keys, sharpness * inner);
            builder.Matrix(prefix + "attn_v.weight", shape.Width, keys, inner);
            if (shape.Architecture == "qwen2")
            {
                builder.Vector(prefix + "attn_q.bias", shape.Width, 0.2f);
                builder.Vector(prefix + "attn_k.bias", keys, 0.2f);
                builder.Vector(prefix + "attn_v.bias", keys, 0.2f);
            }
            if (shape.Architecture == "qwen3")
            {
                builder.Norm(prefix + "attn_q_norm.weight", shape.HeadWidth, sharpness);
                builder.Norm(prefix + "attn_k_norm.weight", shape.HeadWidth, sharpness);
            }
            builder.Matrix(prefix + "attn_output.weight", shape.Width, shape.Width, 2f * inner);
            builder.Norm(prefix + "ffn_norm.weight", shape.Width);
            builder.Matrix(prefix + "ffn_gate.weight", shape.Width, shape.FeedForward, feed);
            builder.Matrix(prefix + "ffn_up.weight", shape.Width, shape.FeedForward, feed);
            builder.Matrix(prefix + "ffn_down.weight", shape.FeedForward, shape.Width, 1f / MathF.Sqrt(shape.FeedForward));
        }
    }

    private static void AddEncoder(Builder builder, SyntheticShape shape, int vocabulary)
    {
        float inner = 1f / MathF.Sqrt(shape.Width);
        builder.Matrix("token_embd.weight", shape.Width, vocabulary, 0.5f);
        builder.Matrix("position_embd.weight", shape.Width, shape.Context, 0.2f, alwaysFull: true);
        builder.Matrix("token_types.weight", shape.Width, 2, 0.1f, alwaysFull: true);
        builder.Norm("token_embd_norm.weight", shape.Width);
        builder.Vector("token_embd_norm.bias", shape.Width, 0.1f);
        for (int layer = 0; layer < shape.Layers; layer++)
        {
            string prefix = $"blk.{layer}.";
            foreach (string part in (string[])["attn_q", "attn_k", "attn_v", "attn_output"])
            {
                builder.Matrix($"{prefix}{part}.weight", shape.Width, shape.Width, inner);
                builder.Vector($"{prefix}{part}.bias", shape.Width, 0.1f);
            }
            builder.Norm(prefix + "attn_output_norm.weight", shape.Width);
            builder.Vector(prefix + "attn_output_norm.bias", shape.Width, 0.1f);
            builder.Matrix(prefix + "ffn_up.weight", shape.Width, shape.FeedForward, inner);
            builder.Vector(prefix + "ffn_up.bias", shape.FeedForward, 0.1f);
            builder.Matrix(prefix + "ffn_down.weight", shape.FeedForward, shape.Width, 1f / MathF.Sqrt(shape.FeedForward));
            builder.Vector(prefix + "ffn_down.bias", shape.Width, 0.1f);
            builder.Norm(prefix + "layer_output_norm.weight", shape.Width);
            builder.Vector(prefix + "layer_output_norm.bias", shape.Width, 0.1f);
        }
    }

    private static void FillBlock(Span<float> destination, ulong seed, float deviation)
    {
        // A 16-bit step of a uniform distribution of that deviation: its half-width is √3 deviations.
        float step = deviation * MathF.Sqrt(3f) / 32768f;
        int i = 0;
        for (; i + 4 <= destination.Length; i += 4)
        {
            ulong bits = Mix(seed += 0x9E3779B97F4A7C15);
            destination[i] = (short)bits * step;
            destination[i + 1] = (short)(bits >> 16) * step;
            destination[i + 2] = (short)(bits >> 32) * step;
            destination[i + 3] = (short)(bits >> 48) * step;
        }
        ulong rest = Mix(seed + 0x9E3779B97F4A7C15);
        for (; i < destination.Length; i++, rest >>= 16)
        {
            destination[i] = (short)rest * step;
        }
    }

    // The output function of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
    internal static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    internal static ulong Hash(string text)
    {
        ulong hash = 0;
        foreach (char c in text)
        {
            hash = Mix(hash + c + 0x9E3779B97F4A7C15);
        }
        return hash;
    }

    private sealed class Builder(GgufWriter writer, SyntheticShape shape, ulong seed, IReadOnlyList<bool>? quiet)
    {
        public void Norm(string name, int length, float mean = 1f)
        {
            float[] values = new float[length];
            Fill(values, seed, name, 0.05f);
            for (int i = 0; i < length; i++)
            {
                values[i] = mean * (1f + values[i]);
            }
            writer.AddTensor(name, [length], values);
        }

        public void Vector(string name, int length, float deviation)
        {
            float[] values = new float[length];
            Fill(values, seed, name, deviation);
            writer.AddTensor(name, [length], values);
        }

        public void Matrix(string name, int inputs, int outputs, float deviation, bool quiet = false, bool alwaysFull = false)
        {
            GgmlType type = alwaysFull ? GgmlType.F32 : shape.Type;
            writer.AddTensor(name, type, [inputs, outputs], stream => WriteMatrix(stream, name, type, inputs, outputs, deviation, quiet));
        }

        private void WriteMatrix(Stream stream, string name, GgmlType type, int inputs, int outputs, float deviation, bool quietRows)
        {
            long total = (long)inputs * outputs;
            ulong state = Mix(seed ^ Hash(name));
            int parallel = (int)Math.Clamp((total + BlockElements - 1) / BlockElements, 1, Environment.ProcessorCount);
            float[][] values = new float[parallel][];
            Half[][] halves = new Half[parallel][];
            int capacity = (int)Math.Min(total, BlockElements);
            for (int i = 0; i < parallel; i++)
            {
                values[i] = new float[capacity];
                halves[i] = type == GgmlType.F16 ? new Half[capacity] : [];
            }
            for (long first = 0; first < total; first += (long)parallel * BlockElements)
            {
                int blocks = (int)Math.Min(parallel, (total - first + BlockElements - 1) / BlockElements);
                Parallel.For(0, blocks, i => Compute(i, first + ((long)i * BlockElements)));
                for (int i = 0; i < blocks; i++)
                {
                    int count = Count(first + ((long)i * BlockElements));
                    stream.Write(type == GgmlType.F16
                        ? MemoryMarshal.AsBytes(halves[i].AsSpan(0, count))
                        : MemoryMarshal.AsBytes(values[i].AsSpan(0, count)));
                }
            }

            int Count(long start) => (int)Math.Min(BlockElements, total - start);

            void Compute(int index, long start)
            {
                Span<float> block = values[index].AsSpan(0, Count(start));
                FillBlock(block, Mix(state + (ulong)(start / BlockElements)), deviation);
                if (quietRows && quiet is not null)
                {
                    Soften(block, start, inputs);
                }
                if (type == GgmlType.F16)
                {
                    TensorPrimitives.ConvertToHalf(block, halves[index]);
                }
            }
        }

        private void Soften(Span<float> block, long start, int inputs)
        {
            int offset = 0;
            while (offset < block.Length)
            {
                long row = (start + offset) / inputs;
                int end = (int)Math.Min(block.Length, ((row + 1) * inputs) - start);
                if (quiet![(int)row])
                {
                    Span<float> part = block[offset..end];
                    TensorPrimitives.Multiply(part, QuietScale, part);
                }
                offset = end;
            }
        }
    }
}
