using System.Buffers.Binary;
using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Host.Adapters;

/// <summary>Adapters from PEFT's form to GGUF and back, by the trainer, which checks both against the model.</summary>
internal static class AdapterForms
{
    // The format's own limit on a header is 100 MB.
    private const long LongestHeader = 100_000_000;
    private const string Config = "adapter_config.json";
    private const string Weights = "adapter_model.safetensors";

    private static readonly Dictionary<string, LoraTargets> Modules = new(StringComparer.Ordinal)
    {
        ["q_proj"] = LoraTargets.Q,
        ["k_proj"] = LoraTargets.K,
        ["v_proj"] = LoraTargets.V,
        ["o_proj"] = LoraTargets.O,
        ["gate_proj"] = LoraTargets.Gate,
        ["up_proj"] = LoraTargets.Up,
        ["down_proj"] = LoraTargets.Down,
        ["lm_head"] = LoraTargets.Output,
    };

    private static readonly Dictionary<string, LoraTargets> Tensors = new(StringComparer.Ordinal)
    {
        ["attn_q"] = LoraTargets.Q,
        ["attn_k"] = LoraTargets.K,
        ["attn_v"] = LoraTargets.V,
        ["attn_output"] = LoraTargets.O,
        ["ffn_gate"] = LoraTargets.Gate,
        ["ffn_up"] = LoraTargets.Up,
        ["ffn_down"] = LoraTargets.Down,
        ["output"] = LoraTargets.Output,
    };

    /// <summary>Whether a path is a folder in PEFT's form.</summary>
    public static bool IsPeft(string path) => File.Exists(Path.Combine(path, Config));

    /// <summary>Writes a PEFT folder's adapter as GGUF. Throws <see cref="EngineException"/> (BadFile) for one that can't be read or does not fit, and <see cref="TrainerException"/> when it can't be written.</summary>
    public static void ToGguf(string model, string folder, string path)
    {
        TrainerOptions options = ShapeOf(folder);
        using TrainableModelHandle weights = Open(model);
        using TrainerHandle trainer = Load(weights, options, folder);
        trainer.ExportAdapter(path, weights.Info.Name);
    }

    /// <summary>Writes a GGUF adapter as a PEFT folder. Throws as <see cref="ToGguf"/>.</summary>
    public static void ToPeft(string model, string path, AdapterOutput output)
    {
        AdapterFile file = AdapterFile.Read(path);
        LoraTargets targets = TargetsOf(file, static name => new EngineException(EngineError.BadFile, $"The adapter changes {name}, which PEFT's form has no place for here. Export it as GGUF.", "id"));
        using TrainableModelHandle weights = Open(model);
        using TrainerHandle trainer = Load(weights, Small(file.Rank, file.Alpha > 0 ? file.Alpha : file.Rank, targets), path);
        output.Write(trainer, weights.Info.Name.Length > 0 ? weights.Info.Name : Path.GetFileName(model));
    }

    /// <summary>What an adapter changes; throws <paramref name="other"/> of the name of a tensor that the trainer has no place for.</summary>
    public static LoraTargets TargetsOf(AdapterFile file, Func<string, Exception> other)
    {
        LoraTargets targets = LoraTargets.None;
        foreach (string name in file.TensorNames)
        {
            string[] parts = name.Split('.');
            targets |= Tensors.TryGetValue(parts[^Math.Min(2, parts.Length)], out LoraTargets target) ? target : throw other(name);
        }
        return targets;
    }

    // A trainer that only holds an adapter.
    private static TrainerOptions Small(int rank, float alpha, LoraTargets targets) => new() { Rank = rank, Alpha = alpha, Targets = targets, MaxTokens = 32, Threads = 1, Precision = TrainingPrecision.F32 };

    private static TrainableModelHandle Open(string model)
    {
        try
        {
            return TrainableModelHandle.Open(model);
        }
        catch (TrainerException e) when (e.Status is TrainerStatus.File or TrainerStatus.Unsupported)
        {
            throw new EngineException(EngineError.BadFile, e.Message, "model", e);
        }
    }

    private static TrainerHandle Load(TrainableModelHandle weights, TrainerOptions options, string path)
    {
        TrainerHandle? trainer = null;
        try
        {
            trainer = TrainerHandle.Create(weights, options);
            trainer.ImportAdapter(path);
            return trainer;
        }
        catch (TrainerException e) when (e.Status is TrainerStatus.File or TrainerStatus.Unsupported or TrainerStatus.Mismatch or TrainerStatus.Argument)
        {
            trainer?.Dispose();
            throw new EngineException(EngineError.BadFile, e.Message, "path", e);
        }
        catch
        {
            trainer?.Dispose();
            throw;
        }
    }

    // What a trainer must be like to take the adapter as it is. The tensors say it, and not the config's target_modules, which may be a pattern.
    private static TrainerOptions ShapeOf(string folder)
    {
        (float alpha, bool rsLora) = ConfigOf(Path.Combine(folder, Config));
        string path = Path.Combine(folder, Weights);
        if (!File.Exists(path))
        {
            throw Bad(folder, $"has no {Weights}");
        }
        LoraTargets targets = LoraTargets.None;
        long rank = 0;
        try
        {
            using JsonDocument header = HeaderOf(path);
            foreach (JsonProperty tensor in header.RootElement.EnumerateObject())
            {
                int end = tensor.Name.LastIndexOf(".lora_A", StringComparison.Ordinal);
                if (end >= 0 && Modules.TryGetValue(tensor.Name[..end].Split('.')[^1], out LoraTargets target))
                {
                    targets |= target;
                    rank = Math.Max(rank, tensor.Value.GetProperty("shape")[0].GetInt64());
                }
            }
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw Bad(path, "has a damaged header");
        }
        return rank is >= 1 and <= 1 << 16
            ? Small((int)rank, alpha > 0 && float.IsFinite(alpha) ? alpha : rank, targets) with { RsLora = rsLora }
            : throw Bad(path, $"holds no LoRA of {string.Join(", ", Modules.Keys)}, or one of an impossible rank");
    }

    private static (float Alpha, bool RsLora) ConfigOf(string path)
    {
        try
        {
            using JsonDocument config = JsonDocument.Parse(File.ReadAllBytes(path));
            return (
                config.RootElement.TryGetProperty("lora_alpha", out JsonElement alpha) ? alpha.GetSingle() : 0,
                config.RootElement.TryGetProperty("use_rslora", out JsonElement root) && root.ValueKind == JsonValueKind.True);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw Bad(path, "is no adapter's configuration");
        }
    }

    // safetensors: eight bytes of length, then that many bytes of JSON.
    private static JsonDocument HeaderOf(string path)
    {
        using FileStream stream = File.OpenRead(path);
        byte[] head = new byte[8];
        if (stream.ReadAtLeast(head, 8, throwOnEndOfStream: false) < 8)
        {
            throw Bad(path, "is truncated");
        }
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(head);
        if (length > LongestHeader || (long)length > stream.Length - 8)
        {
            throw Bad(path, "is truncated, or no safetensors file");
        }
        byte[] header = new byte[length];
        stream.ReadExactly(header);
        return JsonDocument.Parse(header);
    }

    private static EngineException Bad(string path, string why) => new(EngineError.BadFile, $"'{path}' {why}.", "path");
}
