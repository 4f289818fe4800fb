using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Training.Vocabulary;

/// <summary>
/// Learns byte pairs from text (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2, on bytes): again and
/// again the most frequent pair of neighbours becomes a token. Words are counted first, then every pair keeps its count and the places where it
/// stands, so that a merge costs as much as it changes. Equal text gives equal merges. Not thread-safe.
/// </summary>
public sealed class VocabularyLearner
{
    /// <summary>Longest token in bytes: a run of thousands of dashes should not take the places of words.</summary>
    public const int MaxTokenBytes = 48;

    // A pair that occurs once is no regularity, and its embedding would never be trained twice.
    private const long LeastCount = 2;
    private const int ReportEvery = 64;

    private readonly Dictionary<byte[], long> _words = new(ByteSpanComparer.Instance);
    private readonly Dictionary<byte[], long>.AlternateLookup<ReadOnlySpan<byte>> _lookup;

    /// <summary>Starts without text.</summary>
    public VocabularyLearner() => _lookup = _words.GetAlternateLookup<ReadOnlySpan<byte>>();

    /// <summary>Different words so far.</summary>
    public int Words => _words.Count;

    /// <summary>Counts the words of a text in UTF-8, which stands for itself: no word reaches into the next text.</summary>
    public void Add(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            int length = WordSplitter.FirstWord(text);
            CollectionsMarshal.GetValueRefOrAddDefault(_lookup, text[..length], out _)++;
            text = text[length..];
        }
    }

    /// <summary>
    /// Learns up to <paramref name="most"/> merges, fewer when the text has no more pairs that occur twice. <paramref name="progress"/> is told how many
    /// there are.
    /// </summary>
    /// <returns>The merges by rank; token 256 + i is made by merge i, and tokens below 256 are the bytes.</returns>
    public IReadOnlyList<BytePair> Learn(int most, IProgress<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(most);
        Table table = new(_words, BytePairVocabulary.ControlTokens);
        List<BytePair> merges = new(most);
        while (merges.Count < most && table.Best() is { } pair)
        {
            cancellationToken.ThrowIfCancellationRequested();
            table.Merge(pair);
            merges.Add(pair);
            if (merges.Count % ReportEvery == 0)
            {
                progress?.Report(merges.Count);
            }
        }
        return merges;
    }

    /// <summary>All words one behind the other, as a doubly linked list of symbols that shrinks with each merge.</summary>
    private sealed class Table
    {
        private const int Gone = -1;

        private readonly int[] _symbols;

        // Neighbours in the same word, or −1.
        private readonly int[] _previous;
        private readonly int[] _next;
        private readonly int[] _word;
        private readonly long[] _counts;
        private readonly Dictionary<BytePair, Places> _pairs = [];
        private readonly PriorityQueue<BytePair, (long Count, BytePair Pair)> _queue = new(Comparer<(long Count, BytePair Pair)>.Create(static (a, b) =>
            // The most frequent first; of equals, that of the older tokens.
            a.Count != b.Count ? b.Count.CompareTo(a.Count)
            : a.Pair.Left != b.Pair.Left ? a.Pair.Left.CompareTo(b.Pair.Left)
            : a.Pair.Right.CompareTo(b.Pair.Right)));

        private readonly List<byte[]> _tokens = [];
        private readonly HashSet<byte[]> _known = new(ByteSpanComparer.Instance);
        private readonly List<BytePair> _fresh = [];

        public Table(Dictionary<byte[], long> words, IEnumerable<string> reserved)
        {
            for (int b = 0; b < 256; b++)
            {
                AddToken([(byte)b]);
            }
            foreach (string text in reserved)
            {
                _known.Add(Encoding.UTF8.GetBytes(text));
            }
            // The order of a dictionary is not ours to rely on.
            byte[][] sorted = [.. words.Keys];
            Array.Sort(sorted, static (a, b) => a.AsSpan().SequenceCompareTo(b));
            int length = checked((int)sorted.Sum(static word => (long)word.Length));
            _symbols = new int[length];
            _previous = new int[length];
            _next = new int[length];
            _word = new int[length];
            _counts = new long[sorted.Length];
            int at = 0;
            for (int w = 0; w < sorted.Length; w++)
            {
                byte[] word = sorted[w];
                _counts[w] = words[word];
                for (int i = 0; i < word.Length; i++, at++)
                {
                    _symbols[at] = word[i];
                    _previous[at] = i == 0 ? -1 : at - 1;
                    _next[at] = i == word.Length - 1 ? -1 : at + 1;
                    _word[at] = w;
                    if (i > 0)
                    {
                        AddPlace(at - 1);
                    }
                }
            }
            QueueFresh();
        }

        /// <summary>The most frequent pair, or null when none occurs often enough.</summary>
        public BytePair? Best()
        {
            while (_queue.TryDequeue(out BytePair pair, out (long Count, BytePair) was))
            {
                if (!_pairs.TryGetValue(pair, out Places? places) || !IsNew(pair))
                {
                    continue;
                }
                if (places.Count != was.Count)
                {
                    // Merges since then took some of its places; its turn is later.
                    Queue(pair, places);
                    continue;
                }
                return pair;
            }
            return null;
        }

        public void Merge(BytePair pair)
        {
            int made = _tokens.Count;
            AddToken([.. _tokens[pair.Left], .. _tokens[pair.Right]]);
            _pairs.Remove(pair, out Places? places);
            // In order, so that of an overlapping run ("aaa") the leftmost pair merges, as encoding does it.
            foreach (int at in places!.At)
            {
                int right = _next[at];
                if (_symbols[at] != pair.Left || right < 0 || _symbols[right] != pair.Right)
                {
                    continue;
                }
                int before = _previous[at];
                int after = _next[right];
                if (before >= 0)
                {
                    RemovePlace(before, pair);
                }
                if (after >= 0)
                {
                    RemovePlace(right, pair);
                    _previous[after] = at;
                }
                _symbols[at] = made;
                _symbols[right] = Gone;
                _next[at] = after;
                if (before >= 0)
                {
                    AddPlace(before);
                }
                if (after >= 0)
                {
                    AddPlace(at);
                }
            }
            QueueFresh();
        }

        private void AddToken(byte[] bytes)
        {
            _tokens.Add(bytes);
            _known.Add(bytes);
        }

        private BytePair PairAt(int at) => new(_symbols[at], _symbols[_next[at]]);

        private void AddPlace(int at)
        {
            BytePair pair = PairAt(at);
            if (!_pairs.TryGetValue(pair, out Places? places))
            {
                _pairs.Add(pair, places = new Places());
                _fresh.Add(pair);
            }
            places.At.Add(at);
            places.Count += _counts[_word[at]];
        }

        // The place itself stays listed; it is seen to be no longer one when its turn comes.
        private void RemovePlace(int at, BytePair merging)
        {
            BytePair pair = PairAt(at);
            if (pair != merging)
            {
                _pairs[pair].Count -= _counts[_word[at]];
            }
        }

        private void QueueFresh()
        {
            foreach (BytePair pair in _fresh)
            {
                if (_pairs.TryGetValue(pair, out Places? places))
                {
                    Queue(pair, places);
                }
            }
            _fresh.Clear();
        }

        private void Queue(BytePair pair, Places places)
        {
            if (places.Count >= LeastCount)
            {
                _queue.Enqueue(pair, (places.Count, pair));
            }
            else
            {
                // New places of a pair come only while its younger token is made, so this one will not grow again.
                places.At.Clear();
            }
        }

        // Decision: a text is a token once. "ab" + "c" may have made "abc" already when "a" + "bc" would again; a file can't hold both, and letting the
        // second stand for the first would bring pairs back whose turn is over. The control tokens' spellings are taken from the start.
        private bool IsNew(BytePair pair)
        {
            byte[] left = _tokens[pair.Left];
            byte[] right = _tokens[pair.Right];
            int length = left.Length + right.Length;
            if (length > MaxTokenBytes)
            {
                return false;
            }
            Span<byte> text = stackalloc byte[length];
            left.CopyTo(text);
            right.CopyTo(text[left.Length..]);
            return !_known.GetAlternateLookup<ReadOnlySpan<byte>>().Contains(text);
        }

        private sealed class Places
        {
            public List<int> At { get; } = [];

            public long Count { get; set; }
        }
    }
}
