using System.Collections.Concurrent;
using System.Text;

namespace ContinualNative.Training.Vocabulary;

/// <summary>
/// A byte-level vocabulary: 256 bytes, one token for each merge, and four control tokens at the end. Text becomes the tokens that llama.cpp makes of it with
/// <c>tokenizer.ggml.model</c> "gpt2" and <c>tokenizer.ggml.pre</c> "gpt-2". Thread-safe.
/// </summary>
public sealed class BytePairVocabulary
{
    /// <summary>Begins every sequence.</summary>
    public const string BosText = "<|bos|>";

    /// <summary>Ends a document. llama.cpp knows it by this spelling as an end of generation.</summary>
    public const string EosText = "<|endoftext|>";

    /// <summary>Begins a message of a chat.</summary>
    public const string MessageStartText = "<|im_start|>";

    /// <summary>Ends a message, and so an answer; llama.cpp knows it by this spelling as an end of generation.</summary>
    public const string MessageEndText = "<|im_end|>";

    /// <summary>Tokens that are there without learning: the bytes and the control tokens.</summary>
    public const int BaseSize = Bytes + 4;

    /// <summary>Largest vocabulary.</summary>
    public const int MaxSize = 65536;

    private const int Bytes = 256;
    private const int CachedWords = 1 << 17;
    private const int LongestCachedWord = 64;

    private readonly byte[][] _texts;
    private readonly Dictionary<BytePair, int> _made;
    private readonly ConcurrentDictionary<byte[], int[]> _cache = new(ByteSpanComparer.Instance);
    private readonly ConcurrentDictionary<byte[], int[]>.AlternateLookup<ReadOnlySpan<byte>> _cached;
    private int _cachedCount;

    /// <summary>A vocabulary with these merges, by rank; each may use the bytes and the tokens of the merges before it.</summary>
    public BytePairVocabulary(IReadOnlyList<BytePair> merges)
    {
        ArgumentNullException.ThrowIfNull(merges);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(merges.Count, MaxSize - BaseSize, nameof(merges));
        _texts = new byte[Bytes + merges.Count][];
        _made = new Dictionary<BytePair, int>(merges.Count);
        _cached = _cache.GetAlternateLookup<ReadOnlySpan<byte>>();
        for (int b = 0; b < Bytes; b++)
        {
            _texts[b] = [(byte)b];
        }
        HashSet<byte[]> known = new(_texts[..Bytes], ByteSpanComparer.Instance);
        known.UnionWith(ControlTokens.Select(Encoding.UTF8.GetBytes));
        for (int i = 0; i < merges.Count; i++)
        {
            BytePair pair = merges[i];
            int token = Bytes + i;
            if (pair.Left < 0 || pair.Left >= token || pair.Right < 0 || pair.Right >= token)
            {
                throw new ArgumentException($"merge {i} uses a token that is not there yet", nameof(merges));
            }
            _texts[token] = [.. _texts[pair.Left], .. _texts[pair.Right]];
            if (!known.Add(_texts[token]))
            {
                throw new ArgumentException($"merge {i} makes a token that is there already", nameof(merges));
            }
            _made.Add(pair, token);
        }
        Merges = merges;
        Bos = _texts.Length;
        Eos = _texts.Length + 1;
        MessageStart = _texts.Length + 2;
        MessageEnd = _texts.Length + 3;
    }

    /// <summary>Spellings of the control tokens, in the order of their ids.</summary>
    public static IReadOnlyList<string> ControlTokens { get; } = [BosText, EosText, MessageStartText, MessageEndText];

    /// <summary>The merges by rank.</summary>
    public IReadOnlyList<BytePair> Merges { get; }

    /// <summary>All tokens, control tokens included.</summary>
    public int Size => _texts.Length + ControlTokens.Count;

    /// <summary>Id of <see cref="BosText"/>.</summary>
    public int Bos { get; }

    /// <summary>Id of <see cref="EosText"/>.</summary>
    public int Eos { get; }

    /// <summary>Id of <see cref="MessageStartText"/>.</summary>
    public int MessageStart { get; }

    /// <summary>Id of <see cref="MessageEndText"/>.</summary>
    public int MessageEnd { get; }

    /// <summary>Every token in the spelling of <c>tokenizer.ggml.tokens</c>, by id.</summary>
    public IReadOnlyList<string> Spellings => [.. _texts.Select(static text => ByteAlphabet.Spell(text)), .. ControlTokens];

    /// <summary>Every merge in the spelling of <c>tokenizer.ggml.merges</c>, by rank.</summary>
    public IReadOnlyList<string> MergeSpellings => [.. Merges.Select(pair => $"{ByteAlphabet.Spell(_texts[pair.Left])} {ByteAlphabet.Spell(_texts[pair.Right])}")];

    /// <summary>The vocabulary whose spellings these are; null when they are not of this class's making.</summary>
    public static BytePairVocabulary? FromSpellings(IReadOnlyList<string> tokens, IReadOnlyList<string> merges)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentNullException.ThrowIfNull(merges);
        Dictionary<string, int> ids = new(StringComparer.Ordinal);
        for (int i = 0; i < tokens.Count - ControlTokens.Count; i++)
        {
            ids[tokens[i]] = i;
        }
        List<BytePair> pairs = new(merges.Count);
        foreach (string merge in merges)
        {
            int space = merge.IndexOf(' ', StringComparison.Ordinal);
            if (space < 0 || !ids.TryGetValue(merge[..space], out int left) || !ids.TryGetValue(merge[(space + 1)..], out int right))
            {
                return null;
            }
            pairs.Add(new BytePair(left, right));
        }
        try
        {
            BytePairVocabulary vocabulary = new(pairs);
            return vocabulary.Spellings.SequenceEqual(tokens, StringComparer.Ordinal) ? vocabulary : null;
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    /// <summary>
    /// Appends the tokens of a text in UTF-8. Control tokens that are spelled out in it are text like any other, and bytes that form no character are kept.
    /// </summary>
    public void Encode(ReadOnlySpan<byte> text, List<int> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        while (!text.IsEmpty)
        {
            int length = WordSplitter.FirstWord(text);
            EncodeWord(text[..length], tokens);
            text = text[length..];
        }
    }

    /// <summary>The tokens of a text.</summary>
    public int[] Encode(string text)
    {
        List<int> tokens = [];
        Encode(Encoding.UTF8.GetBytes(text), tokens);
        return [.. tokens];
    }

    /// <summary>The bytes of some tokens; control tokens have none.</summary>
    public byte[] Decode(ReadOnlySpan<int> tokens)
    {
        using MemoryStream bytes = new();
        foreach (int token in tokens)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(token, nameof(tokens));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, Size, nameof(tokens));
            bytes.Write(token < _texts.Length ? _texts[token] : []);
        }
        return bytes.ToArray();
    }

    private void EncodeWord(ReadOnlySpan<byte> word, List<int> tokens)
    {
        if (word.Length == 1)
        {
            tokens.Add(word[0]);
            return;
        }
        if (word.Length > LongestCachedWord)
        {
            tokens.AddRange(MergeWord(word));
            return;
        }
        if (!_cached.TryGetValue(word, out int[]? known))
        {
            known = MergeWord(word);
            if (Volatile.Read(ref _cachedCount) < CachedWords && _cached.TryAdd(word, known))
            {
                Interlocked.Increment(ref _cachedCount);
            }
        }
        tokens.AddRange(known);
    }

    // The pair of the lowest rank first, the leftmost of equals, until no pair is a merge.
    private int[] MergeWord(ReadOnlySpan<byte> word)
    {
        const int gone = -1;
        int[] symbols = new int[word.Length];
        int[] next = new int[word.Length];
        int[] previous = new int[word.Length];
        PriorityQueue<(int At, int Right, int Made), (int Rank, int At)> queue = new();
        for (int i = 0; i < word.Length; i++)
        {
            symbols[i] = word[i];
            next[i] = i + 1;
            previous[i] = i - 1;
        }
        for (int i = 0; i + 1 < word.Length; i++)
        {
            Consider(i);
        }
        int count = word.Length;
        while (queue.TryDequeue(out (int At, int Right, int Made) merge, out _))
        {
            (int at, int right, int made) = merge;
            // Outdated where either side has become part of another token.
            if (symbols[at] == gone || next[at] != right || !_made.TryGetValue(new BytePair(symbols[at], symbols[right]), out int now) || now != made)
            {
                continue;
            }
            symbols[at] = made;
            symbols[right] = gone;
            next[at] = next[right];
            if (next[at] < symbols.Length)
            {
                previous[next[at]] = at;
                Consider(at);
            }
            if (previous[at] >= 0)
            {
                Consider(previous[at]);
            }
            count--;
        }
        int[] tokens = new int[count];
        int to = 0;
        for (int at = 0; at < symbols.Length; at = next[at])
        {
            tokens[to++] = symbols[at];
        }
        return tokens;

        void Consider(int at)
        {
            if (_made.TryGetValue(new BytePair(symbols[at], symbols[next[at]]), out int made))
            {
                queue.Enqueue((at, next[at], made), (made, at));
            }
        }
    }
}
