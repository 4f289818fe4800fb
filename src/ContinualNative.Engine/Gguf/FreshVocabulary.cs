namespace ContinualNative.Engine.Gguf;

/// <summary>A byte-level vocabulary of <c>tokenizer.ggml.pre</c> "gpt-2", as a fresh model's file holds it.</summary>
public sealed record FreshVocabulary
{
    private const int Normal = 1;
    private const int Control = 3;

    /// <summary>Spellings by id; the control tokens stand at the end.</summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    /// <summary>Merges by rank, as two spellings with a space between them.</summary>
    public required IReadOnlyList<string> Merges { get; init; }

    /// <summary>How many control tokens there are.</summary>
    public required int Controls { get; init; }

    /// <summary>Begins every sequence.</summary>
    public required int Bos { get; init; }

    /// <summary>Ends a document.</summary>
    public required int Eos { get; init; }

    /// <summary>Ends a message.</summary>
    public required int EndOfTurn { get; init; }

    /// <summary>The chat template in Jinja.</summary>
    public required string ChatTemplate { get; init; }

    /// <summary>Puts the vocabulary into a file's metadata.</summary>
    public void WriteTo(GgufWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        int[] types = new int[Tokens.Count];
        types.AsSpan().Fill(Normal);
        types.AsSpan(Tokens.Count - Controls).Fill(Control);
        writer.Set("tokenizer.ggml.model", "gpt2");
        writer.Set("tokenizer.ggml.pre", "gpt-2");
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(Tokens));
        writer.Set("tokenizer.ggml.token_type", GgufArray.Of<int>(types));
        writer.Set("tokenizer.ggml.merges", GgufArray.Of(Merges));
        writer.Set("tokenizer.ggml.bos_token_id", (uint)Bos);
        writer.Set("tokenizer.ggml.eos_token_id", (uint)Eos);
        writer.Set("tokenizer.ggml.eot_token_id", (uint)EndOfTurn);
        writer.Set("tokenizer.ggml.padding_token_id", (uint)Eos);
        writer.Set("tokenizer.ggml.add_bos_token", true);
        writer.Set("tokenizer.ggml.add_eos_token", false);
        writer.Set("tokenizer.chat_template", ChatTemplate);
    }
}
