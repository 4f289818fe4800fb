using System.Text;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Tokenizer vocabularies that llama.cpp accepts, made from a word list: for models with random weights, in tests and benchmarks.
/// Token types are llama.cpp's: 1 normal, 2 unknown, 3 control, 5 unused, 6 byte.
/// </summary>
public sealed class SyntheticVocabulary
{
    private const int Normal = 1;
    private const int Unknown = 2;
    private const int Control = 3;
    private const int Unused = 5;
    private const int Byte = 6;

    private static readonly string[] Words =
    [
        "the", "and", "of", "to", "in", "is", "it", "was", "for", "that", "you", "with", "on", "as", "are", "be", "this", "have", "from", "or",
        "one", "had", "by", "not", "what", "all", "were", "we", "when", "your", "can", "said", "there", "use", "an", "each", "which", "she", "he",
        "do", "how", "their", "if", "will", "up", "other", "about", "out", "many", "then", "them", "these", "so", "some", "her", "would", "make",
        "like", "him", "into", "time", "has", "look", "two", "more", "write", "go", "see", "number", "no", "way", "could", "people", "my", "than",
        "first", "water", "been", "call", "who", "its", "now", "find", "long", "down", "day", "did", "get", "come", "made", "may", "part", "over",
        "new", "sound", "take", "only", "little", "work", "know", "place", "year", "live", "me", "back", "give", "most", "very", "after", "thing",
        "our", "just", "name", "good", "man", "think", "say", "great", "where", "help", "much", "before", "line", "right", "too", "mean", "old",
        "any", "same", "tell", "boy", "follow", "came", "want", "show", "also", "around", "form", "three", "small", "set", "put", "end", "does",
        "another", "well", "large", "must", "big", "even", "such", "because", "turn", "here", "why", "ask", "went", "men", "read", "need", "land",
        "home", "us", "move", "try", "kind", "hand", "picture", "again", "change", "off", "play", "air", "away", "animal", "house", "point", "page",
        "letter", "answer", "found", "study", "still", "learn", "should", "world", "high", "every", "near", "add", "food", "between", "own", "below",
        "city", "tree", "river", "stone", "light", "night", "morning", "winter", "summer", "garden", "window", "paper", "music", "story", "question",
        "model", "system", "server", "user", "order", "price", "ticket", "report", "error", "weather", "hello", "please", "thank",
    ];

    // Characters of two to four bytes, so that text beyond ASCII has tokens of its own.
    private static readonly string[] Characters = ["é", "ü", "ñ", "ø", "ß", "я", "ж", "λ", "中", "文", "日", "ა", "€", "→", "😀", "🌍"];

    private readonly List<string> _tokens = [];
    private readonly List<float> _scores = [];
    private readonly List<int> _types = [];
    private readonly List<string> _merges = [];
    private readonly List<bool> _quiet = [];
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);

    private SyntheticVocabulary(string model) => Model = model;

    /// <summary><c>tokenizer.ggml.model</c>: <c>llama</c>, <c>gpt2</c> or <c>bert</c>.</summary>
    public string Model { get; }

    /// <summary>Texts by id.</summary>
    public IReadOnlyList<string> Tokens => _tokens;

    /// <summary>Merges by rank; empty unless byte-pair encoded.</summary>
    public IReadOnlyList<string> Merges => _merges;

    /// <summary>
    /// Tokens that random weights should rarely choose: control tokens, unused ones, and single bytes that form no character. Index: token.
    /// </summary>
    public IReadOnlyList<bool> Quiet => _quiet;

    /// <summary>Id of a token, or −1.</summary>
    public int this[string token] => _ids.GetValueOrDefault(token, -1);

    /// <summary>
    /// A SentencePiece vocabulary: unknown, begin and end of sequence, 256 bytes, single characters, word pieces, and the two ChatML tokens.
    /// <paramref name="size"/> 0 means as many as there are; more is filled with unused tokens.
    /// </summary>
    public static SyntheticVocabulary SentencePiece(int size = 0)
    {
        SyntheticVocabulary vocabulary = new("llama");
        vocabulary.Add("<unk>", Unknown, quiet: true);
        vocabulary.Add("<s>", Control, quiet: true);
        vocabulary.Add("</s>", Control, quiet: true);
        for (int i = 0; i < 256; i++)
        {
            vocabulary.Add($"<0x{i:X2}>", Byte, quiet: i != '\n');
        }
        vocabulary.Add("<|im_start|>", Control, quiet: true);
        vocabulary.Add("<|im_end|>", Control, quiet: true);
        // Merging goes by score, the highest first: longer pieces come first, characters last. Every prefix of a word is a piece too,
        // so that merges from the left can reach the word.
        vocabulary.AddPiece("▁");
        for (char c = '!'; c <= '~'; c++)
        {
            vocabulary.AddPiece(c.ToString());
        }
        foreach (string character in Characters)
        {
            vocabulary.AddPiece(character);
        }
        foreach (string word in Words)
        {
            for (int length = 1; length <= word.Length; length++)
            {
                vocabulary.AddPiece("▁" + word[..length]);
            }
        }
        vocabulary.Fill(size);
        return vocabulary;
    }

    /// <summary>
    /// A byte-pair vocabulary in GPT-2's writing: 256 bytes, words with and without a leading space, then pairs, and at the end three control
    /// tokens. <paramref name="size"/> 0 means as many as the word list gives; a larger one is filled with three- and four-letter pieces.
    /// <paramref name="padding"/> unused tokens follow the control tokens, within <paramref name="size"/>.
    /// </summary>
    public static SyntheticVocabulary BytePair(int size = 0, int padding = 0)
    {
        const int controls = 3;
        SyntheticVocabulary vocabulary = new("gpt2");
        for (int i = 0; i < 256; i++)
        {
            vocabulary.Add(ByteCharacter((byte)i).ToString(), Normal, quiet: i is < 32 and not '\n' or >= 127);
        }
        if (size != 0 && size < 256 + controls + padding)
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, $"must be at least {256 + controls + padding}");
        }
        int limit = size == 0 ? int.MaxValue : size - controls - padding;
        foreach (string text in Words.Select(static word => " " + word).Concat(Words).Concat(Characters))
        {
            vocabulary.AddMerges(text, limit);
        }
        if (size != 0)
        {
            vocabulary.AddLetterPieces(limit);
        }
        vocabulary.Add("<|endoftext|>", Control, quiet: true);
        vocabulary.Add("<|im_start|>", Control, quiet: true);
        vocabulary.Add("<|im_end|>", Control, quiet: true);
        vocabulary.Fill(size);
        return vocabulary;
    }

    /// <summary>A WordPiece vocabulary as BERT has it, with its five special tokens.</summary>
    public static SyntheticVocabulary WordPiece(int size = 0)
    {
        SyntheticVocabulary vocabulary = new("bert");
        vocabulary.Add("[PAD]", Control, quiet: true);
        vocabulary.Add("[UNK]", Unknown, quiet: true);
        vocabulary.Add("[CLS]", Control, quiet: true);
        vocabulary.Add("[SEP]", Control, quiet: true);
        vocabulary.Add("[MASK]", Control, quiet: true);
        // llama.cpp marks word beginnings with ▁, where BERT's own files mark continuations with ##.
        foreach (string prefix in (string[])["▁", ""])
        {
            for (char c = '!'; c <= '~'; c++)
            {
                if (!char.IsAsciiLetterUpper(c))
                {
                    vocabulary.Add(prefix + c, Normal, quiet: false);
                }
            }
        }
        foreach (string word in Words.Where(static word => word.Length > 1))
        {
            vocabulary.Add("▁" + word, Normal, quiet: false);
        }
        vocabulary.Fill(size);
        return vocabulary;
    }

    /// <summary>Puts the vocabulary and its special tokens into a file's metadata.</summary>
    public void WriteTo(GgufWriter writer)
    {
        writer.Set("tokenizer.ggml.model", Model);
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(_tokens));
        writer.Set("tokenizer.ggml.token_type", GgufArray.Of<int>(_types.ToArray()));
        switch (Model)
        {
            case "llama":
                writer.Set("tokenizer.ggml.pre", "default");
                writer.Set("tokenizer.ggml.scores", GgufArray.Of<float>(_scores.ToArray()));
                SetId(writer, "unknown", "<unk>");
                SetId(writer, "bos", "<s>");
                SetId(writer, "eos", "</s>");
                SetId(writer, "eot", "<|im_end|>");
                writer.Set("tokenizer.ggml.add_bos_token", true);
                writer.Set("tokenizer.ggml.add_eos_token", false);
                break;
            case "gpt2":
                writer.Set("tokenizer.ggml.pre", "qwen2");
                writer.Set("tokenizer.ggml.merges", GgufArray.Of(_merges));
                SetId(writer, "bos", "<|endoftext|>");
                SetId(writer, "padding", "<|endoftext|>");
                SetId(writer, "eos", "<|im_end|>");
                writer.Set("tokenizer.ggml.add_bos_token", false);
                break;
            default:
                writer.Set("tokenizer.ggml.token_type_count", 2u);
                SetId(writer, "padding", "[PAD]");
                SetId(writer, "unknown", "[UNK]");
                SetId(writer, "bos", "[CLS]");
                SetId(writer, "cls", "[CLS]");
                SetId(writer, "seperator", "[SEP]");
                SetId(writer, "mask", "[MASK]");
                break;
        }
    }

    // GPT-2 writes bytes that are no visible character of Latin-1 as U+0100 onwards, in the order of the bytes.
    private static char ByteCharacter(byte value)
    {
        if (IsVisible(value))
        {
            return (char)value;
        }
        int rank = 0;
        for (int i = 0; i < value; i++)
        {
            rank += IsVisible((byte)i) ? 0 : 1;
        }
        return (char)(256 + rank);

        static bool IsVisible(byte b) => b is >= 0x21 and <= 0x7e or >= 0xa1 and <= 0xac or >= 0xae;
    }

    private void SetId(GgufWriter writer, string role, string token) =>
        writer.Set($"tokenizer.ggml.{role}_token_id", (uint)_ids[token]);

    private void Add(string token, int type, bool quiet)
    {
        if (!_ids.TryAdd(token, _tokens.Count))
        {
            return;
        }
        _tokens.Add(token);
        _types.Add(type);
        _scores.Add(0);
        _quiet.Add(quiet);
    }

    private void AddPiece(string piece)
    {
        int before = _tokens.Count;
        Add(piece, Normal, quiet: false);
        if (_tokens.Count > before)
        {
            _scores[before] = (piece.Length * 1000) - (before * 0.25f) - 1_000_000;
        }
    }

    private void AddMerges(string text, int limit)
    {
        string[] pieces = [.. Encoding.UTF8.GetBytes(text).Select(static b => ByteCharacter(b).ToString())];
        string whole = pieces[0];
        for (int i = 1; i < pieces.Length; i++)
        {
            string longer = whole + pieces[i];
            // A piece inside a character is no text of its own.
            AddMerge(whole, pieces[i], limit, quiet: pieces[0][0] > 127 && i < pieces.Length - 1 && text[0] != ' ');
            whole = longer;
        }
    }

    private void AddMerge(string left, string right, int limit, bool quiet)
    {
        if (_tokens.Count < limit && !_ids.ContainsKey(left + right))
        {
            _merges.Add($"{left} {right}");
            Add(left + right, Normal, quiet);
        }
    }

    private void AddLetterPieces(int limit)
    {
        List<string> shorter = [.. Enumerable.Range('a', 26).Select(static c => ((char)c).ToString())];
        while (_tokens.Count < limit)
        {
            List<string> longer = [];
            foreach (string left in shorter)
            {
                for (char right = 'a'; right <= 'z'; right++)
                {
                    AddMerge(left, right.ToString(), limit, quiet: false);
                    longer.Add(left + right);
                }
                if (_tokens.Count >= limit)
                {
                    break;
                }
            }
            shorter = longer;
        }
    }

    private void Fill(int size)
    {
        if (size != 0 && size < _tokens.Count)
        {
            throw new ArgumentOutOfRangeException(nameof(size), size, $"must be at least {_tokens.Count}");
        }
        while (_tokens.Count < size)
        {
            Add($"[unused{_tokens.Count}]", Unused, quiet: true);
        }
    }
}
