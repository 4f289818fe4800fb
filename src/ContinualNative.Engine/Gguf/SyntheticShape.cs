namespace ContinualNative.Engine.Gguf;

/// <summary>The dimensions of a model with random weights.</summary>
public sealed record SyntheticShape
{
    /// <summary><c>general.name</c>.</summary>
    public required string Name { get; init; }

    /// <summary><c>llama</c>, <c>qwen2</c>, <c>qwen3</c> or <c>bert</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Transformer blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Length of a token's vector.</summary>
    public required int Width { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; divides <see cref="Heads"/>.</summary>
    public required int KvHeads { get; init; }

    /// <summary>Inner length of the feed-forward part.</summary>
    public required int FeedForward { get; init; }

    /// <summary>Tokens; 0: as many as the synthetic vocabulary has by itself.</summary>
    public int Vocabulary { get; init; }

    /// <summary>How many of them, at the end, are unused.</summary>
    public int VocabularyPadding { get; init; }

    /// <summary>Trained context in tokens.</summary>
    public required int Context { get; init; }

    /// <summary>Whether the output matrix is the embedding matrix.</summary>
    public bool TiedEmbeddings { get; init; }

    /// <summary>Base of the rotary positions.</summary>
    public float RopeBase { get; init; } = 10_000f;

    /// <summary>Under the root of the norms.</summary>
    public float Epsilon { get; init; } = 1e-6f;

    /// <summary>How matrices are stored: F32 or F16. Vectors are F32.</summary>
    public GgmlType Type { get; init; } = GgmlType.F16;

    /// <summary>Length of a head's vector.</summary>
    public int HeadWidth => Width / Heads;

    /// <summary>Exactly the shape of Qwen2-0.5B: 494 million parameters, 988 MB as f16.</summary>
#pragma warning disable CA1707 // The model's own name.
    public static SyntheticShape Qwen2_0_5B { get; } = new()
    {
        Name = "Synthetic Qwen2 0.5B",
        Architecture = "qwen2",
        Layers = 24,
        Width = 896,
        Heads = 14,
        KvHeads = 2,
        FeedForward = 4864,
        Vocabulary = 151936,
        VocabularyPadding = 290,
        Context = 32768,
        TiedEmbeddings = true,
        RopeBase = 1_000_000f,
    };
#pragma warning restore CA1707

    /// <summary>Small enough for tests, and divisible by 256 where k-quants ask for it.</summary>
    public static SyntheticShape Tiny { get; } = new()
    {
        Name = "Synthetic tiny",
        Architecture = "llama",
        Layers = 2,
        Width = 256,
        Heads = 4,
        KvHeads = 2,
        FeedForward = 512,
        Context = 1024,
        Type = GgmlType.F32,
    };

    /// <summary>Throws <see cref="ArgumentException"/> naming the dimension that is wrong.</summary>
    public void Validate()
    {
        Check(Architecture is "llama" or "qwen2" or "qwen3" or "bert", nameof(Architecture), "must be llama, qwen2, qwen3 or bert");
        Check(Layers is >= 1 and <= 512, nameof(Layers), "must be from 1 to 512");
        Check(Width is >= 8 and <= 65536, nameof(Width), "must be from 8 to 65536");
        Check(Heads >= 1 && Width % Heads == 0 && HeadWidth % 2 == 0, nameof(Heads), "must divide the width into even parts");
        Check(KvHeads >= 1 && Heads % KvHeads == 0, nameof(KvHeads), "must divide the heads");
        Check(FeedForward is >= 1 and <= 1 << 20, nameof(FeedForward), "must be from 1 to 1048576");
        Check(Context is >= 1 and <= 1 << 24, nameof(Context), "must be from 1 to 16777216");
        Check(Type is GgmlType.F32 or GgmlType.F16, nameof(Type), "must be F32 or F16");
        Check(Architecture != "bert" || KvHeads == Heads, nameof(KvHeads), "must equal the heads for bert");

        static void Check(bool right, string name, string message)
        {
            if (!right)
            {
                throw new ArgumentException($"{name} {message}");
            }
        }
    }
}
