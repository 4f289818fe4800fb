using System.Runtime.InteropServices;
using ContinualNative.Engine.Gguf;

namespace ContinualNative.TestModels;

/// <summary>Writes LoRA adapters for test models, and merges them by plain loops: the oracle for what an adapter must do.</summary>
public static class TestAdapter
{
    /// <summary>The seven matrices of a layer.</summary>
    public static IReadOnlyList<string> AllTargets { get; } = ["q", "k", "v", "o", "gate", "up", "down"];

    /// <summary>
    /// Writes an adapter with random A and B (neither is zero) for a model of these options. <paramref name="scale"/> is about how large the
    /// update of an output is beside the output itself; with the default, greedy text changes at once. Targets are those of
    /// <see cref="AllTargets"/>, and <c>embd</c> and <c>output</c>, which need untied embeddings.
    /// </summary>
    public static void Write(
        string path,
        TestModelOptions options,
        int rank = 8,
        float alpha = 16,
        ulong seed = 1,
        IReadOnlyList<string>? targets = null,
        float scale = 1f) => Create(options, rank, alpha, seed, targets, scale).Write(path);

    /// <summary>The adapter as bytes.</summary>
    public static byte[] ToBytes(
        TestModelOptions options,
        int rank = 8,
        float alpha = 16,
        ulong seed = 1,
        IReadOnlyList<string>? targets = null,
        float scale = 1f)
    {
        MemoryStream stream = new();
        Create(options, rank, alpha, seed, targets, scale).Write(stream);
        return stream.ToArray();
    }

    /// <summary>The adapter on a writer, for tests that break something before writing.</summary>
    public static GgufWriter Create(
        TestModelOptions options,
        int rank = 8,
        float alpha = 16,
        ulong seed = 1,
        IReadOnlyList<string>? targets = null,
        float scale = 1f)
    {
        ArgumentNullException.ThrowIfNull(options);
        SyntheticShape shape = options.Shape;
        GgufWriter writer = new();
        writer.Set("general.type", "adapter");
        writer.Set("general.architecture", shape.Architecture);
        writer.Set("general.name", $"Test adapter {seed}");
        writer.Set("adapter.type", "lora");
        writer.Set("adapter.lora.alpha", alpha);
        int vocabulary = SyntheticModel.Vocabulary(shape).Tokens.Count;
        foreach (string target in targets ?? AllTargets)
        {
            if (target == "embd")
            {
                Add(writer, "token_embd.weight", (rank, vocabulary), (rank, shape.Width), rank, alpha, seed, scale * 0.5f);
            }
            else if (target == "output")
            {
                Add(writer, "output.weight", (shape.Width, rank), (rank, vocabulary), rank, alpha, seed, scale * 3f / MathF.Sqrt(shape.Width));
            }
            else
            {
                (string name, int inputs, int outputs) = Target(shape, target);
                for (int layer = 0; layer < shape.Layers; layer++)
                {
                    Add(writer, $"blk.{layer}.{name}.weight", (inputs, rank), (rank, outputs), rank, alpha, seed, scale / MathF.Sqrt(inputs));
                }
            }
        }
        return writer;
    }

    /// <summary>
    /// Writes the F32 or F16 model with the adapter merged into it, W + alpha ÷ rank · B·A summed in double precision, all matrices as f32.
    /// </summary>
    public static void Merge(string modelPath, string adapterPath, string outPath)
    {
        GgufFile model = GgufFile.Read(modelPath);
        AdapterFile adapter = AdapterFile.Read(adapterPath);
        adapter.CheckAgainst(model);
        using FileStream modelStream = File.OpenRead(modelPath);
        using FileStream adapterStream = File.OpenRead(adapterPath);
        GgufWriter writer = new(model.Alignment);
        foreach ((string key, GgufValue value) in model.Metadata)
        {
            writer.Set(key, value);
        }
        writer.Set("general.file_type", 0u);
        foreach (GgufTensor tensor in model.Tensors)
        {
            float[] weight = ReadFloats(model, modelStream, tensor);
            if (adapter.TensorNames.Contains(tensor.Name))
            {
                (GgufTensor a, GgufTensor b) = adapter.GetPair(tensor.Name);
                int rank = (int)b.Shape[0];
                double factor = adapter.Alpha == 0 ? 1 : (double)adapter.Alpha / rank;
                AddProduct(
                    weight,
                    ReadFloats(adapter.File, adapterStream, a),
                    ReadFloats(adapter.File, adapterStream, b),
                    (int)tensor.Shape[0],
                    (int)tensor.Shape[1],
                    rank,
                    factor,
                    flipped: tensor.Name == "token_embd.weight");
            }
            writer.AddTensor(tensor.Name, [.. tensor.Shape], weight);
        }
        writer.Write(outPath);
    }

    private static void AddProduct(float[] weight, float[] a, float[] b, int inputs, int outputs, int rank, double factor, bool flipped)
    {
        for (int output = 0; output < outputs; output++)
        {
            for (int input = 0; input < inputs; input++)
            {
                double sum = 0;
                for (int r = 0; r < rank; r++)
                {
                    sum += flipped
                        ? (double)a[(output * rank) + r] * b[(input * rank) + r]
                        : (double)b[(output * rank) + r] * a[(r * inputs) + input];
                }
                weight[(output * inputs) + input] += (float)(factor * sum);
            }
        }
    }

    private static float[] ReadFloats(GgufFile file, Stream stream, GgufTensor tensor)
    {
        byte[] bytes = new byte[tensor.Bytes];
        file.ReadTensor(stream, tensor, bytes);
        return tensor.Type switch
        {
            GgmlType.F32 => MemoryMarshal.Cast<byte, float>(bytes).ToArray(),
            GgmlType.F16 => [.. MemoryMarshal.Cast<byte, Half>(bytes).ToArray().Select(static half => (float)half)],
            _ => throw new NotSupportedException($"merging needs f32 or f16, {tensor.Name} is {tensor.Type.Name()}"),
        };
    }

    private static (string Name, int Inputs, int Outputs) Target(SyntheticShape shape, string target)
    {
        int keys = shape.KvHeads * shape.HeadWidth;
        return target switch
        {
            "q" => ("attn_q", shape.Width, shape.Width),
            "k" => ("attn_k", shape.Width, keys),
            "v" => ("attn_v", shape.Width, keys),
            "o" => ("attn_output", shape.Width, shape.Width),
            "gate" => ("ffn_gate", shape.Width, shape.FeedForward),
            "up" => ("ffn_up", shape.Width, shape.FeedForward),
            "down" => ("ffn_down", shape.FeedForward, shape.Width),
            _ => throw new ArgumentException($"no such target: {target}", nameof(target)),
        };
    }

    private static void Add(
        GgufWriter writer,
        string name,
        (int Row, int Rows) shapeOfA,
        (int Row, int Rows) shapeOfB,
        int rank,
        float alpha,
        ulong seed,
        float deviation)
    {
        // An element of B·A has √rank times the product of the two deviations.
        float factor = alpha == 0 ? 1 : alpha / rank;
        float each = MathF.Sqrt(deviation / (MathF.Sqrt(rank) * factor));
        float[] a = new float[shapeOfA.Row * shapeOfA.Rows];
        float[] b = new float[shapeOfB.Row * shapeOfB.Rows];
        SyntheticModel.Fill(a, seed, name + ".lora_a", each);
        SyntheticModel.Fill(b, seed, name + ".lora_b", each);
        writer.AddTensor(name + ".lora_a", [shapeOfA.Row, shapeOfA.Rows], a);
        writer.AddTensor(name + ".lora_b", [shapeOfB.Row, shapeOfB.Rows], b);
    }
}
