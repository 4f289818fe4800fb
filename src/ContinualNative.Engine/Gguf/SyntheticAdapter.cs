namespace ContinualNative.Engine.Gguf;

/// <summary>Writes LoRA adapters with random weights for any model: for benchmarks, where only the shape matters.</summary>
public static class SyntheticAdapter
{
    private static readonly string[] Targets = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

    /// <summary>
    /// Writes an adapter of <paramref name="rank"/> on all seven matrices of every layer of <paramref name="model"/>, small enough to change the answers
    /// without drowning them. Throws <see cref="EngineException"/> (BadFile) for a model without such matrices.
    /// </summary>
    public static void Write(string path, GgufFile model, int rank = 16, ulong seed = 1)
    {
        ArgumentNullException.ThrowIfNull(model);
        GgufWriter writer = new();
        writer.Set("general.type", "adapter");
        writer.Set("general.architecture", model.Architecture);
        writer.Set("general.name", $"Synthetic adapter {seed}");
        writer.Set("adapter.type", "lora");
        writer.Set("adapter.lora.alpha", (float)rank);
        bool any = false;
        foreach (GgufTensor tensor in model.Tensors)
        {
            string[] parts = tensor.Name.Split('.');
            if (parts is not ["blk", _, var target, "weight"] || !Targets.Contains(target) || tensor.Shape.Count != 2)
            {
                continue;
            }
            any = true;
            (int inputs, int outputs) = ((int)tensor.Shape[0], (int)tensor.Shape[1]);
            float[] a = new float[inputs * rank];
            float[] b = new float[rank * outputs];
            SyntheticModel.Fill(a, seed, tensor.Name + ".lora_a", 1f / MathF.Sqrt(inputs));
            SyntheticModel.Fill(b, seed, tensor.Name + ".lora_b", 0.1f / MathF.Sqrt(rank));
            writer.AddTensor(tensor.Name + ".lora_a", [inputs, rank], a);
            writer.AddTensor(tensor.Name + ".lora_b", [rank, outputs], b);
        }
        if (!any)
        {
            throw new EngineException(EngineError.BadFile, $"'{model.Name}' has no matrices that an adapter could be put on.");
        }
        writer.Write(path);
    }
}
