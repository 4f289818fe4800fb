using System.Text;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Models;

/// <summary>Text to tokens and back, by the model's own vocabulary. Thread-safe.</summary>
public sealed class Tokenizer
{
    [Flags]
    private enum Trait : byte
    {
        None = 0,
        End = 1,
        Control = 2,
    }

    // Bytes of a token that hardly any text reaches on average; pieces to count by, in bytes; tokens that a seam may add.
    private const int UsualBytes = 8;
    private const int PieceBytes = 4096;
    private const int SeamTokens = 32;

    private readonly LlamaVocabulary _vocabulary;

    // The text of every token, read once: the token loop looks it up without a call and without an allocation.
    private readonly byte[] _text;
    private readonly int[] _offsets;
    private readonly Trait[] _traits;

    internal Tokenizer(LlamaVocabulary vocabulary)
    {
        _vocabulary = vocabulary;
        int size = vocabulary.Exists ? vocabulary.Size : 0;
        VocabularySize = size;
        _offsets = new int[size + 1];
        _traits = new Trait[size];
        using MemoryStream text = new(size * 8);
        for (int token = 0; token < size; token++)
        {
            text.Write(vocabulary.Piece(token, special: true));
            _offsets[token + 1] = (int)text.Length;
            _traits[token] = (vocabulary.IsEndOfGeneration(token) ? Trait.End : 0) | (vocabulary.IsControl(token) ? Trait.Control : 0);
            LongestToken = Math.Max(LongestToken, _offsets[token + 1] - _offsets[token]);
        }
        _text = text.ToArray();
        if (size > 0)
        {
            AddsBos = vocabulary.AddBos;
            Bos = vocabulary.Bos;
            Eos = vocabulary.Eos;
            BosText = Bos >= 0 ? vocabulary.Text(Bos) : "";
            EosText = Eos >= 0 ? vocabulary.Text(Eos) : "";
        }
    }

    /// <summary>Size of the vocabulary.</summary>
    public int VocabularySize { get; }

    /// <summary>Beginning-of-sequence token, or −1.</summary>
    public int Bos { get; } = -1;

    /// <summary>End-of-sequence token, or −1.</summary>
    public int Eos { get; } = -1;

    /// <summary>Whether sequences begin with <see cref="Bos"/>.</summary>
    public bool AddsBos { get; }

    /// <summary>Spelling of <see cref="Bos"/>, for chat templates; empty where there is none.</summary>
    public string BosText { get; } = "";

    /// <summary>Spelling of <see cref="Eos"/>, for chat templates; empty where there is none.</summary>
    public string EosText { get; } = "";

    /// <summary>Bytes of the longest token.</summary>
    internal int LongestToken { get; }

    /// <summary>
    /// Tokens of <paramref name="text"/>. <paramref name="addSpecial"/> puts the model's beginning-of-sequence token in front where it wants one;
    /// <paramref name="parseSpecial"/> reads control tokens written in the text as such. A long text of more than <paramref name="most"/> tokens, of
    /// which no use could be made, is refused (ContextLengthExceeded) early; a little more than that may be returned.
    /// </summary>
    public int[] Encode(string text, bool addSpecial, bool parseSpecial, int most = int.MaxValue)
    {
        if (VocabularySize == 0)
        {
            throw new EngineException(EngineError.InvalidRequest, "The model has no vocabulary, so text can't be tokenized.");
        }
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Length / UsualBytes > most)
        {
            RefuseMore(bytes, most, parseSpecial);
        }
        return _vocabulary.Tokenize(bytes, addSpecial, parseSpecial);
    }

    // Decision: a text that is much too long is counted in pieces first, and only as far as needed. llama.cpp takes quadratic time for some texts: each
    // control token walks the list of those before it, and each character that an SPM vocabulary lacks reallocates the whole result, so that
    // three megabytes from one client would keep a core busy for minutes. A seam between pieces adds a few tokens, which are allowed for.
    private void RefuseMore(ReadOnlySpan<byte> text, int most, bool parseSpecial)
    {
        long count = 0;
        while (!text.IsEmpty)
        {
            int length = Math.Min(PieceBytes, text.Length);
            while (length < text.Length && (text[length] & 0xC0) == 0x80)
            {
                length--;
            }
            count += Math.Max(0, _vocabulary.Tokenize(text[..length], addSpecial: false, parseSpecial).Length - SeamTokens);
            if (count > most)
            {
                throw new EngineException(EngineError.ContextLengthExceeded, $"The text has more than {most} tokens, and no more than that fit here. Shorten it, or allow a longer context.");
            }
            text = text[length..];
        }
    }

    /// <summary>Text of the tokens; bytes that form no character become U+FFFD. Control tokens appear only with <paramref name="showSpecial"/>.</summary>
    public string Decode(ReadOnlySpan<int> tokens, bool showSpecial = false) => Encoding.UTF8.GetString(_vocabulary.Detokenize(tokens, showSpecial));

    /// <summary>The bytes that a token stands for; empty for control tokens unless <paramref name="showSpecial"/>.</summary>
    public ReadOnlySpan<byte> Bytes(int token, bool showSpecial = false) =>
        !showSpecial && (_traits[token] & Trait.Control) != 0 ? default : _text.AsSpan(_offsets[token].._offsets[token + 1]);

    /// <summary>Whether the token ends a generation.</summary>
    public bool IsEnd(int token) => (_traits[token] & Trait.End) != 0;

    /// <summary>Whether the token is a control token, without text of its own.</summary>
    public bool IsControl(int token) => (_traits[token] & Trait.Control) != 0;
}
