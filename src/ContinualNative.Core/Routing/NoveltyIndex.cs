namespace ContinualNative.Core.Routing;

/// <summary>
/// What the model has learned from, as a bounded uniform sample of the prompts' embeddings; tells how far a prompt is from it. Thread-safe; distances take no lock.
/// </summary>
public sealed class NoveltyIndex
{
    private const int Neighbours = 3;

    // Cosine of an embedding with itself, rounding aside.
    private const float Same = 1 - 1e-5f;

    private readonly Lock _adding = new();
    private readonly int _dimensions;
    private readonly int _seed;
    private volatile State _state;

    /// <summary>An empty index.</summary>
    /// <param name="capacity">Embeddings kept; beyond them each that comes has the same chance to be among those kept (reservoir sampling: Vitter 1985, algorithm R).</param>
    /// <param name="dimensions">Length of an embedding.</param>
    /// <param name="seed">Of the reservoir.</param>
    public NoveltyIndex(int capacity = 4096, int dimensions = PromptEmbedder.Dimensions, int seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(dimensions, 1);
        Capacity = capacity;
        _dimensions = dimensions;
        _seed = seed;
        _state = new State(capacity, seed);
    }

    /// <summary>Embeddings that are kept at most.</summary>
    public int Capacity { get; }

    /// <summary>Embeddings kept.</summary>
    public int Count => _state.Count;

    /// <summary>Adds what was learned.</summary>
    /// <param name="embedding">Of unit length. One of another number of elements, or with a value that is no number, is refused.</param>
    public void Add(ReadOnlySpan<float> embedding)
    {
        Check(embedding);
        lock (_adding)
        {
            _state.Add(embedding);
        }
    }

    /// <summary>Forgets all, and starts anew with these; readers see the old ones or the new ones.</summary>
    public void Replace(IEnumerable<ReadOnlyMemory<float>> embeddings)
    {
        State next = new(Capacity, _seed);
        foreach (ReadOnlyMemory<float> embedding in embeddings)
        {
            Check(embedding.Span);
            next.Add(embedding.Span);
        }
        lock (_adding)
        {
            _state = next;
        }
    }

    /// <summary>Mean cosine distance, 0 to 2, to the three nearest (to all, when there are fewer); 1 when there are none, and for an embedding of zeros.</summary>
    /// <param name="embedding">The embedding.</param>
    /// <param name="leaveOutSelf">Whether one row that equals it is passed over: it is the request's own, and would make any request look familiar that is among the known ones.</param>
    public float Distance(ReadOnlySpan<float> embedding, bool leaveOutSelf = false)
    {
        Check(embedding);
        State state = _state;
        int count = state.Count;
        if (count == 0)
        {
            return 1;
        }
        int seen = count;
        float first = float.NegativeInfinity, second = first, third = first;
        for (int i = 0; i < count; i++)
        {
            float similarity = Vectors.Dot(embedding, state.Row(i));
            if (leaveOutSelf && similarity >= Same)
            {
                leaveOutSelf = false;
                seen--;
                continue;
            }
            if (similarity > third)
            {
                if (similarity > first)
                {
                    (first, second, third) = (similarity, first, second);
                }
                else if (similarity > second)
                {
                    (second, third) = (similarity, second);
                }
                else
                {
                    third = similarity;
                }
            }
        }
        float mean = seen switch
        {
            0 => 0,
            1 => first,
            2 => (first + second) / 2,
            _ => (first + second + third) / Neighbours,
        };
        return Math.Clamp(1 - mean, 0, 2);
    }

    private void Check(ReadOnlySpan<float> embedding)
    {
        if (embedding.Length != _dimensions)
        {
            throw new ArgumentException($"An embedding of this index has {_dimensions} elements, not {embedding.Length}.", nameof(embedding));
        }
        if (!float.IsFinite(Vectors.Dot(embedding, embedding)))
        {
            throw new ArgumentException("The embedding has a value that is no finite number.", nameof(embedding));
        }
    }

    // Rows are never written once they are in, only replaced: a reader needs no lock and sees no half of one.
    private sealed class State(int capacity, int seed)
    {
        private readonly float[][] _rows = new float[capacity][];
        private readonly Random _random = new(seed);
        private int _count;
        private long _seen;

        public int Count => Volatile.Read(ref _count);

        public float[] Row(int i) => Volatile.Read(ref _rows[i]);

        public void Add(ReadOnlySpan<float> embedding)
        {
            long at = _seen++;
            if (at >= capacity)
            {
                at = _random.NextInt64(_seen);
                if (at >= capacity)
                {
                    return;
                }
            }
            Volatile.Write(ref _rows[at], embedding.ToArray());
            if (at == _count)
            {
                Volatile.Write(ref _count, _count + 1);
            }
        }
    }
}
