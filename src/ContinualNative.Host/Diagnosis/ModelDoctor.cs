using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Gguf;

namespace ContinualNative.Host.Diagnosis;

/// <summary>Looks at a model's file without loading it: whether it is sound, fits into memory, and can chat.</summary>
internal sealed class ModelDoctor(Machine machine)
{
    private const int DefaultContext = 4096;
    private const int DefaultParallel = 4;

    public IEnumerable<Finding> Examine(string path)
    {
        GgufFile? file = null;
        Finding? failure = null;
        try
        {
            file = ModelFile.Read(path);
        }
        catch (EngineException e)
        {
            failure = Finding.Bad("model", "can't be served", e.Message);
        }
        if (file is null)
        {
            yield return failure!;
            yield break;
        }
        yield return Finding.Ok("model", $"{file.Architecture}, {file.Parameters:N0} parameters, {ByteText.Of(file.TensorBytes)} of weights, trained context {Number(file, "context_length") ?? 0} tokens");
        yield return Memory(file);
        yield return Template(file);
    }

    /// <summary>
    /// Bytes of the KV cache for 4 answers of the default context: keys and values of 16 bits for every layer, KV head and token.
    /// </summary>
    internal static long KvBytes(GgufFile file)
    {
        long layers = Number(file, "block_count") ?? 0;
        long width = Number(file, "embedding_length") ?? 0;
        long heads = Number(file, "attention.head_count") ?? 1;
        long headWidth = width / Math.Max(1, heads);
        long keys = Number(file, "attention.key_length") ?? headWidth;
        long values = Number(file, "attention.value_length") ?? headWidth;
        long tokens = Math.Min(Number(file, "context_length") ?? DefaultContext, DefaultContext) * DefaultParallel;
        return Heads(file, layers, heads) * (keys + values) * sizeof(ushort) * tokens;
    }

    // The sum over layers: some models write one number for all, some one for each.
    private static long Heads(GgufFile file, long layers, long heads)
    {
        if (file.Metadata.TryGetValue($"{file.Architecture}.attention.head_count_kv", out GgufValue? value) && value.Value is GgufArray array)
        {
            long sum = 0;
            for (int i = 0; i < array.Count; i++)
            {
                sum += Convert.ToInt64(array[i]);
            }
            return sum;
        }
        return layers * (Number(file, "attention.head_count_kv") ?? heads);
    }

    private Finding Memory(GgufFile file)
    {
        long kv = KvBytes(file);
        long need = file.TensorBytes + kv;
        string detail = $"needs about {ByteText.Of(need)}: weights {ByteText.Of(file.TensorBytes)}, KV cache {ByteText.Of(kv)} for {DefaultParallel} answers of the default context";
        if (machine.AvailableMemory is not { } available)
        {
            return Finding.Ok("model memory", detail);
        }
        detail += $"; {ByteText.Of(available)} available";
        return need > available && file.TensorBytes > available
            ? Finding.Bad("model memory", detail, "The weights alone don't fit. Use a smaller model or a smaller quantization of it, or put layers on a GPU with --gpu-layers.")
            : need > available
            ? Finding.Bad("model memory", detail, "Lower --ctx or --parallel, so that the KV cache is smaller, or use a smaller quantization.")
            : need > available / 10 * 9
            ? Finding.Warn("model memory", detail, "It fits barely. Lower --ctx or --parallel, or stop other programs.")
            : Finding.Ok("model memory", detail);
    }

    private static Finding Template(GgufFile file)
    {
        const string Name = "chat template";
        string? source = file.Metadata.TryGetValue("tokenizer.chat_template", out GgufValue? value) ? value.Value as string : null;
        if (source is null)
        {
            return Finding.Warn(Name, "the model has none", "Chats are refused, plain completions work. Pass a template with --chat-template FILE.");
        }
        try
        {
            ChatTemplate template = new(source, Token(file, "bos"), Token(file, "eos"));
            string text = template.Render([new ChatMessage { Role = "user", Content = "Hello" }]);
            return text.Contains("Hello", StringComparison.Ordinal)
                ? Finding.Ok(Name, $"renders; {(template.SupportsTools ? "knows tools" : "knows no tools")}")
                : Finding.Warn(Name, "it drops the user's message", "Pass another template with --chat-template FILE.");
        }
        catch (EngineException e)
        {
            return Finding.Warn(Name, $"it can't be rendered: {e.Message}", "Chats will fail, plain completions work. Pass another template with --chat-template FILE.");
        }
    }

    private static string Token(GgufFile file, string role) =>
        file.Metadata.TryGetValue($"tokenizer.ggml.{role}_token_id", out GgufValue? id) && id.Value is uint index
        && file.Metadata.TryGetValue("tokenizer.ggml.tokens", out GgufValue? tokens) && tokens.Value is GgufArray { ElementType: GgufValueType.String } texts && index < texts.Count
            ? texts.GetString((int)index)
            : "";

    private static long? Number(GgufFile file, string key)
    {
        try
        {
            return file.FindInt64($"{file.Architecture}.{key}");
        }
        catch (EngineException)
        {
            // One number a layer: not a number of the model.
            return null;
        }
    }
}
