namespace ContinualNative.Core.Routing;

/// <summary>A group of prompts that are alike.</summary>
/// <param name="Id">1 or more; never used twice.</param>
/// <param name="Requests">Requests in it.</param>
/// <param name="Labels">Labels among them.</param>
/// <param name="LastSeen">How many requests of any cluster had come when its latest came.</param>
public readonly record struct PromptCluster(long Id, long Requests, long Labels, long LastSeen);

/// <summary>
/// Groups prompts as they come: each joins the cluster whose mean direction is nearest, if it is near enough, else it leads a new one (leader clustering, Hartigan 1975, chapter 3, on the
/// sphere: Dhillon and Modha 2001). Of a full index the cluster that has been unused for longest gives way. Thread-safe.
/// </summary>
public sealed class ClusterIndex
{
    private readonly Lock _gate = new();
    private readonly int _dimensions;
    private readonly float _similarity;
    private readonly float[] _directions;
    private readonly float[] _sums;
    private readonly PromptCluster[] _clusters;
    private readonly Dictionary<long, int> _slots = [];
    private int _count;
    private long _lastId;
    private long _requests;

    /// <summary>An empty index.</summary>
    /// <param name="capacity">Clusters at most.</param>
    /// <param name="similarity">Cosine, between −1 and 1, from which on a prompt belongs to a cluster.</param>
    /// <param name="dimensions">Length of an embedding.</param>
    public ClusterIndex(int capacity = 1024, double similarity = 0.5, int dimensions = PromptEmbedder.Dimensions)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(dimensions, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(similarity, -1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(similarity, 1);
        _dimensions = dimensions;
        _similarity = (float)similarity;
        _directions = new float[(long)capacity * dimensions];
        _sums = new float[(long)capacity * dimensions];
        _clusters = new PromptCluster[capacity];
    }

    /// <summary>Clusters there are.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _count;
            }
        }
    }

    /// <summary>Adds a request, and a label with it if it has one; gives its cluster as it is then.</summary>
    /// <param name="embedding">Of unit length; of zeros, it is alone with its like.</param>
    /// <param name="labelled">Whether it is labelled.</param>
    public PromptCluster Add(ReadOnlySpan<float> embedding, bool labelled = false)
    {
        Check(embedding);
        lock (_gate)
        {
            _requests++;
            int slot = Nearest(embedding);
            if (slot < 0)
            {
                slot = Begin();
            }
            Join(slot, embedding);
            PromptCluster old = _clusters[slot];
            return _clusters[slot] = old with { Requests = old.Requests + 1, Labels = old.Labels + (labelled ? 1 : 0), LastSeen = _requests };
        }
    }

    /// <summary>Counts a label of a request that was added before; false when its cluster has given way.</summary>
    public bool AddLabel(long cluster)
    {
        lock (_gate)
        {
            if (!_slots.TryGetValue(cluster, out int slot))
            {
                return false;
            }
            _clusters[slot] = _clusters[slot] with { Labels = _clusters[slot].Labels + 1 };
            return true;
        }
    }

    /// <summary>The cluster that an embedding would join, or null when it would lead one of its own. Nothing is added.</summary>
    public PromptCluster? Find(ReadOnlySpan<float> embedding)
    {
        Check(embedding);
        lock (_gate)
        {
            int slot = Nearest(embedding);
            return slot < 0 ? null : _clusters[slot];
        }
    }

    /// <summary>All clusters, those with the most requests for each label (one more, so that none counts as infinite) first.</summary>
    public IReadOnlyList<PromptCluster> LeastLabelled()
    {
        PromptCluster[] clusters;
        lock (_gate)
        {
            clusters = _clusters[.._count];
        }
        return [.. clusters.OrderByDescending(static c => (double)c.Requests / (c.Labels + 1)).ThenBy(static c => c.Id)];
    }

    private int Nearest(ReadOnlySpan<float> embedding)
    {
        float best = float.NegativeInfinity;
        int slot = -1;
        bool zero = Vectors.Dot(embedding, embedding) == 0;
        for (int i = 0; i < _count; i++)
        {
            ReadOnlySpan<float> direction = _directions.AsSpan(i * _dimensions, _dimensions);
            if (zero)
            {
                if (Vectors.Dot(direction, direction) == 0)
                {
                    return i;
                }
                continue;
            }
            float similarity = Vectors.Dot(embedding, direction);
            if (similarity >= _similarity && similarity > best)
            {
                (best, slot) = (similarity, i);
            }
        }
        return slot;
    }

    private int Begin()
    {
        int slot = _count;
        if (_count < _clusters.Length)
        {
            _count++;
        }
        else
        {
            slot = 0;
            for (int i = 1; i < _count; i++)
            {
                slot = _clusters[i].LastSeen < _clusters[slot].LastSeen ? i : slot;
            }
            _slots.Remove(_clusters[slot].Id);
        }
        _sums.AsSpan(slot * _dimensions, _dimensions).Clear();
        _clusters[slot] = new PromptCluster(++_lastId, 0, 0, _requests);
        _slots[_lastId] = slot;
        return slot;
    }

    private void Join(int slot, ReadOnlySpan<float> embedding)
    {
        Span<float> sum = _sums.AsSpan(slot * _dimensions, _dimensions);
        Span<float> direction = _directions.AsSpan(slot * _dimensions, _dimensions);
        for (int i = 0; i < sum.Length; i++)
        {
            sum[i] += embedding[i];
        }
        float length = MathF.Sqrt(Vectors.Dot(sum, sum));
        for (int i = 0; i < sum.Length; i++)
        {
            direction[i] = length > 0 ? sum[i] / length : 0;
        }
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
}
