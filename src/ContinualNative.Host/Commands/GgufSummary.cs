using System.Text.RegularExpressions;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;

namespace ContinualNative.Host.Commands;

/// <summary>
/// What <c>inspect</c> tells of a GGUF file. Entries that are missing or of an unexpected type are left out: the point is to look into
/// files that don't work, too.
/// </summary>
internal sealed partial class GgufSummary
{
    private static readonly string[] FileTypes =
    [
        "F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S",
        "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS",
        "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "MXFP4_MOE", "NVFP4", "Q1_0", "Q2_0",
    ];

    // "seperator" is how the key is spelled.
    private static readonly (string Key, string Name)[] Roles =
    [
        ("bos", "begin of text"), ("eos", "end of text"), ("eot", "end of turn"), ("eom", "end of message"), ("unknown", "unknown"),
        ("padding", "padding"), ("seperator", "separator"), ("cls", "class"), ("mask", "mask"),
    ];

    public GgufSummary(GgufFile file)
    {
        File = file;
        Architecture = Text("general.architecture");
        Name = Text("general.name");
        Kind = file.IsAdapter ? "adapter" : Text("general.type") ?? "model";
        Quantization = Number("general.file_type") is { } type && type >= 0 && type < FileTypes.Length && FileTypes[type].Length > 0 ? FileTypes[type] : null;
        Types =
        [
            .. file.Tensors.GroupBy(static tensor => tensor.Type)
                .Select(static group => new TypeShare(group.Key.Name(), group.Count(), group.Sum(static t => t.Elements), group.Sum(static t => t.Bytes)))
                .OrderByDescending(static share => share.Bytes),
        ];
        Dimensions = Architecture is null ? [] : FindDimensions(Architecture);
        Vocabulary = Array("tokenizer.ggml.tokens", GgufValueType.String);
        SpecialTokens = [.. FindSpecialTokens()];
        Template = Text("tokenizer.chat_template");
        OtherTemplates =
        [
            .. file.Metadata.Keys
                .Where(static key => key.StartsWith("tokenizer.chat_template.", StringComparison.Ordinal))
                .Select(static key => key["tokenizer.chat_template.".Length..]),
        ];
        try
        {
            if (file.IsAdapter)
            {
                Adapter = AdapterFile.From(file);
            }
            else
            {
                ModelFile.Check(file);
            }
        }
        catch (EngineException e)
        {
            Problem = e.Message;
        }
    }

    public GgufFile File { get; }

    /// <summary><c>model</c>, <c>adapter</c>, or what else the file says.</summary>
    public string Kind { get; }

    public string? Architecture { get; }

    public string? Name { get; }

    /// <summary>The name of the quantization recipe, which mixes types.</summary>
    public string? Quantization { get; }

    public IReadOnlyList<TypeShare> Types { get; }

    /// <summary>JSON name, title and value.</summary>
    public IReadOnlyList<(string Key, string Title, long Value)> Dimensions { get; }

    public GgufArray? Vocabulary { get; }

    public IReadOnlyList<(string Role, string Title, long Id, string? Text)> SpecialTokens { get; }

    public string? Template { get; }

    public IReadOnlyList<string> OtherTemplates { get; }

    /// <summary>Whether the template mentions tools inside a Jinja tag.</summary>
    public bool TemplateHasTools => Template is not null && ToolsInTag().IsMatch(Template);

    public AdapterFile? Adapter { get; }

    /// <summary>Why the engine would refuse the file, or null.</summary>
    public string? Problem { get; }

    public string? Text(string key) => File.Metadata.TryGetValue(key, out GgufValue? value) ? value.Value as string : null;

    public long? Number(string key) =>
        File.Metadata.TryGetValue(key, out GgufValue? value)
            ? value.Value switch
            {
                byte n => n,
                sbyte n => n,
                ushort n => n,
                short n => n,
                uint n => n,
                int n => n,
                long n => n,
                ulong n when n <= long.MaxValue => (long)n,
                _ => null,
            }
            : null;

    private GgufArray? Array(string key, GgufValueType type) =>
        File.Metadata.TryGetValue(key, out GgufValue? value) && value.Value is GgufArray array && array.ElementType == type ? array : null;

    private List<(string, string, long)> FindDimensions(string architecture)
    {
        List<(string, string, long)> found = [];
        Add("context_length", "context", "context_length");
        Add("layers", "layers", "block_count");
        Add("width", "width", "embedding_length");
        Add("feed_forward", "feed-forward", "feed_forward_length");
        Add("heads", "heads", "attention.head_count");
        Add("kv_heads", "KV heads", "attention.head_count_kv");
        Add("head_width", "head width", "attention.key_length");
        Add("experts", "experts", "expert_count");
        Add("experts_used", "experts used", "expert_used_count");
        Add("sliding_window", "sliding window", "attention.sliding_window");
        return found;

        void Add(string key, string title, string entry)
        {
            if (Number($"{architecture}.{entry}") is { } value)
            {
                found.Add((key, title, value));
            }
        }
    }

    private IEnumerable<(string, string, long, string?)> FindSpecialTokens()
    {
        foreach ((string key, string title) in Roles)
        {
            if (Number($"tokenizer.ggml.{key}_token_id") is { } id)
            {
                yield return (key == "seperator" ? "separator" : key, title, id, id >= 0 && id < Vocabulary?.Count ? Vocabulary.GetString((int)id) : null);
            }
        }
    }

    [GeneratedRegex(@"\{[{%][^{}%]*\btools\b", RegexOptions.NonBacktracking)]
    private static partial Regex ToolsInTag();

    /// <summary>How much of the file one tensor type is.</summary>
    public sealed record TypeShare(string Type, int Tensors, long Parameters, long Bytes);
}
