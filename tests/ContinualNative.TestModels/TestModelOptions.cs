using ContinualNative.Engine.Gguf;

namespace ContinualNative.TestModels;

/// <summary>What a test model is like; the defaults give a 2-layer llama of about 1.6 million parameters.</summary>
public sealed record TestModelOptions
{
    /// <summary><c>llama</c>, <c>qwen2</c>, <c>qwen3</c>, or <c>bert</c> (embeddings only).</summary>
    public string Architecture { get; init; } = "llama";

    /// <summary>Equal options with equal seeds give equal files.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Transformer blocks.</summary>
    public int Layers { get; init; } = 2;

    /// <summary>Length of a token's vector; a multiple of 256 for k-quants.</summary>
    public int Width { get; init; } = 256;

    /// <summary>Query heads.</summary>
    public int Heads { get; init; } = 4;

    /// <summary>Key and value heads (bert: always as many as query heads).</summary>
    public int KvHeads { get; init; } = 2;

    /// <summary>Inner length of the feed-forward part; a multiple of 256 for k-quants.</summary>
    public int FeedForward { get; init; } = 512;

    /// <summary>Tokens; 0: as many as the vocabulary has by itself.</summary>
    public int Vocab { get; init; }

    /// <summary>Trained context in tokens.</summary>
    public int Context { get; init; } = 1024;

    /// <summary>Whether the output matrix is the embedding matrix.</summary>
    public bool TiedEmbeddings { get; init; }

    /// <summary>F32 or F16.</summary>
    public GgmlType Type { get; init; } = GgmlType.F32;

    /// <summary>Jinja source; null for the default (<see cref="TestTemplates"/>), empty for none.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Whether control tokens and raw bytes get logits as large as all others, so that answers end by themselves and hold broken UTF-8.</summary>
    public bool LoudSpecials { get; init; }

    /// <summary>The dimensions.</summary>
    public SyntheticShape Shape => SyntheticShape.Tiny with
    {
        Name = $"Test {Architecture} {Seed}",
        Architecture = Architecture,
        Layers = Layers,
        Width = Width,
        Heads = Heads,
        KvHeads = Architecture == "bert" ? Heads : KvHeads,
        FeedForward = FeedForward,
        Vocabulary = Vocab,
        Context = Context,
        TiedEmbeddings = TiedEmbeddings,
        RopeBase = Architecture == "llama" ? 10_000f : 1_000_000f,
        Type = Type,
    };
}
