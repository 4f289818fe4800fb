namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Checks a model file's metadata for what llama.cpp does not report but aborts the process on (its assertions), or reads wrongly.
/// What llama.cpp itself reports as an error is left to it.
/// </summary>
public static class ModelFile
{
    // llama.cpp's LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS.
    private const long MaxLayers = 512;
    private const long MaxExperts = 1024;

    private static readonly HashSet<string> RopeScalings = new(StringComparer.Ordinal) { "none", "linear", "yarn", "longrope" };

    /// <summary>Reads and checks; throws <see cref="EngineException"/> (BadFile).</summary>
    public static GgufFile Read(string path)
    {
        GgufFile file = GgufFile.Read(path);
        Check(file);
        return file;
    }

    /// <summary>Throws <see cref="EngineException"/> (BadFile) for a file that is no model, or one that would bring llama.cpp down.</summary>
    public static void Check(GgufFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        string type = file.FindString("general.type") ?? "model";
        if (type != "model")
        {
            throw file.Bad(type switch
            {
                "adapter" => "is an adapter, not a model; name the base model's file here and the adapter as adapter",
                "mmproj" => "is a vision or audio projector, not a model; name the model's own file",
                "imatrix" => "is an importance matrix, not a model; name the model's own file",
                _ => $"has the type {GgufReader.Quote(type)}, expected a model",
            });
        }
        string architecture = file.Architecture;
        if (architecture == "clip")
        {
            throw file.Bad("is a vision or audio projector, not a model; name the model's own file");
        }
        if (file.Tensors.Count == 0)
        {
            throw file.Bad("has no tensors: it is a vocabulary only; name a file with weights");
        }
        CheckDimensions(file, architecture);
        CheckVocabulary(file);
    }

    private static void CheckDimensions(GgufFile file, string architecture)
    {
        long layers = Within(file, $"{architecture}.block_count", 1, MaxLayers) ?? 0;
        Within(file, $"{architecture}.embedding_length", 1, 1 << 24);
        Within(file, $"{architecture}.context_length", 1, uint.MaxValue);
        Within(file, $"{architecture}.nextn_predict_layers", 0, layers);
        long experts = Within(file, $"{architecture}.expert_count", 0, MaxExperts) ?? 0;
        Within(file, $"{architecture}.expert_used_count", experts > 0 ? 1 : 0, experts);
        Within(file, $"{architecture}.expert_group_count", 0, Math.Max(0, experts - 1));
        long? heads = Within(file, $"{architecture}.attention.head_count", 0, 1 << 16);
        long? kvHeads = Within(file, $"{architecture}.attention.head_count_kv", 0, 1 << 16);
        if (heads > 0 && kvHeads > 0 && heads % kvHeads != 0)
        {
            throw file.Bad($"is damaged: {heads} heads can't share {kvHeads} key and value heads; convert the model again");
        }
        if (file.FindString($"{architecture}.rope.scaling.type") is { } scaling && !RopeScalings.Contains(scaling))
        {
            throw file.Bad($"is damaged: the rope scaling type {GgufReader.Quote(scaling)} is not one of {string.Join(", ", RopeScalings)}; convert the model again");
        }
    }

    /// <summary>A scalar within bounds, or null when it is missing or an array (one value per layer).</summary>
    private static long? Within(GgufFile file, string key, long least, long most)
    {
        if (!file.Metadata.TryGetValue(key, out GgufValue? value) || value.Type == GgufValueType.Array)
        {
            return null;
        }
        long number = file.GetInt64(key);
        return number >= least && number <= most
            ? number
            : throw file.Bad($"is damaged: {GgufReader.Quote(key)} is {number}, expected {least} to {most}; convert the model again");
    }

    private static void CheckVocabulary(GgufFile file)
    {
        if (file.FindString("tokenizer.ggml.model") is null or "no_vocab" or "none")
        {
            throw file.Bad("has no tokenizer vocabulary; convert the model again with its tokenizer");
        }
        GgufArray tokens = file.GetArray("tokenizer.ggml.tokens", GgufValueType.String);
        if (tokens.Count == 0)
        {
            throw file.Bad("has an empty vocabulary; convert the model again with its tokenizer");
        }
        // llama.cpp asserts that no two tokens have one text, and it sees texts only up to the first zero byte.
        Dictionary<ReadOnlyMemory<byte>, int> seen = new(tokens.Count, Utf8Comparer.Instance);
        for (int i = 0; i < tokens.Count; i++)
        {
            ReadOnlyMemory<byte> text = tokens.GetUtf8Memory(i);
            int zero = text.Span.IndexOf((byte)0);
            if (zero >= 0)
            {
                throw file.Bad($"is damaged: token {i} of the vocabulary holds a zero byte; convert the model again");
            }
            if (text.Length > 0 && !seen.TryAdd(text, i))
            {
                throw file.Bad($"is damaged: tokens {seen[text]} and {i} of the vocabulary are both {GgufReader.Quote(tokens.GetString(i))}; convert the model again");
            }
        }
        CheckSpecial(file, "bos", "add_bos_token", tokens.Count);
        CheckSpecial(file, "eos", "add_eos_token", tokens.Count);
        CheckSpecial(file, "seperator", "add_sep_token", tokens.Count);
        if (file.TryGetTensor("token_embd.weight", out GgufTensor? embeddings) && embeddings.Dimension(1) < tokens.Count)
        {
            throw file.Bad($"is damaged: the vocabulary has {tokens.Count} tokens but token_embd.weight only {embeddings.Dimension(1)} rows; convert the model again");
        }
    }

    private static void CheckSpecial(GgufFile file, string role, string flag, int tokens)
    {
        string key = $"tokenizer.ggml.{role}_token_id";
        if (file.FindBool($"tokenizer.ggml.{flag}") == true && file.FindUInt32(key) is { } id && id >= tokens)
        {
            throw file.Bad($"is damaged: {key} is {id}, but the vocabulary has {tokens} tokens; convert the model again");
        }
    }

    private sealed class Utf8Comparer : IEqualityComparer<ReadOnlyMemory<byte>>
    {
        public static Utf8Comparer Instance { get; } = new();

        public bool Equals(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<byte> obj)
        {
            HashCode hash = default;
            hash.AddBytes(obj.Span);
            return hash.ToHashCode();
        }
    }
}
