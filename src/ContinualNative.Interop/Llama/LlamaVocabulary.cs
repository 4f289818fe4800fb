namespace ContinualNative.Interop.Llama;

/// <summary>A model's vocabulary. Thread-safe, like llama.cpp's tokenizer.</summary>
public sealed unsafe class LlamaVocabulary
{
    private readonly LlamaModelHandle _model;
    private readonly nint _vocab;

    internal LlamaVocabulary(LlamaModelHandle model, nint vocab)
    {
        _model = model;
        _vocab = vocab;
        Size = LlamaNative.llama_vocab_n_tokens(vocab);
    }

    /// <summary>Number of tokens.</summary>
    public int Size { get; }

    /// <summary>Whether the model has a vocabulary at all.</summary>
    public bool Exists => Size > 0 && LlamaNative.llama_vocab_type(Address) != 0;

    /// <summary>Beginning of sequence, or −1.</summary>
    public int Bos => LlamaNative.llama_vocab_bos(Address);

    /// <summary>End of sequence, or −1.</summary>
    public int Eos => LlamaNative.llama_vocab_eos(Address);

    /// <summary>End of turn, or −1.</summary>
    public int Eot => LlamaNative.llama_vocab_eot(Address);

    /// <summary>Whether a sequence begins with <see cref="Bos"/>.</summary>
    public bool AddBos => LlamaNative.llama_vocab_get_add_bos(Address) != 0;

    internal nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_model.IsClosed, _model);
            return _vocab;
        }
    }

    /// <summary>Whether the token ends a generation.</summary>
    public bool IsEndOfGeneration(int token) => LlamaNative.llama_vocab_is_eog(Address, Checked(token)) != 0;

    /// <summary>Whether the token is a control token, without text of its own.</summary>
    public bool IsControl(int token) => LlamaNative.llama_vocab_is_control(Address, Checked(token)) != 0;

    /// <summary>The token as the vocabulary spells it.</summary>
    public string Text(int token) => LlamaNative.Text(LlamaNative.llama_vocab_get_text(Address, Checked(token)));

    /// <summary>The bytes that a token stands for in running text; with <paramref name="special"/>, control tokens show their spelling.</summary>
    public byte[] Piece(int token, bool special)
    {
        Checked(token);
        Span<byte> buffer = stackalloc byte[128];
        int length = Firewall.TokenToPiece(Address, token, buffer, special);
        if (length >= 0)
        {
            return buffer[..length].ToArray();
        }
        byte[] large = new byte[-length];
        length = Firewall.TokenToPiece(Address, token, large, special);
        return length == large.Length ? large : large[..Math.Max(0, length)];
    }

    /// <summary>Tokens of UTF-8 text.</summary>
    public int[] Tokenize(ReadOnlySpan<byte> text, bool addSpecial, bool parseSpecial)
    {
        int[] tokens = new int[text.Length + 8];
        int count = Firewall.Tokenize(Address, text, tokens, addSpecial, parseSpecial);
        if (count == int.MinValue)
        {
            throw new LlamaException("llama_tokenize", "The text is too long to tokenize.");
        }
        if (count < 0)
        {
            tokens = new int[-count];
            count = Firewall.Tokenize(Address, text, tokens, addSpecial, parseSpecial);
        }
        return count == tokens.Length ? tokens : tokens[..Math.Max(0, count)];
    }

    /// <summary>UTF-8 text of the tokens, as llama.cpp joins them (an added leading space is taken off again).</summary>
    public byte[] Detokenize(ReadOnlySpan<int> tokens, bool special)
    {
        foreach (int token in tokens)
        {
            Checked(token);
        }
        byte[] text = new byte[(tokens.Length * 8) + 16];
        for (int attempt = 0; ; attempt++)
        {
            int length;
            fixed (int* t = tokens)
            fixed (byte* p = text)
            {
                length = LlamaNative.llama_detokenize(Address, t, tokens.Length, p, text.Length, 0, special ? (byte)1 : (byte)0);
            }
            if (length >= 0)
            {
                return text[..length];
            }
            if (attempt > 1)
            {
                throw new LlamaException("llama_detokenize", "llama.cpp asks for ever more room for the same tokens.");
            }
            text = new byte[-length];
        }
    }

    private int Checked(int token) => (uint)token < (uint)Size
        ? token
        : throw new ArgumentOutOfRangeException(nameof(token), token, $"The vocabulary has tokens 0 to {Size - 1}.");
}
