using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>The arrays of one batch, made once. Not thread-safe.</summary>
internal sealed class BatchBuffer(int tokens, int sequences)
{
    private readonly int[] _tokens = new int[tokens];
    private readonly int[] _target = new int[tokens];
    private readonly float[] _weight = new float[tokens];
    private readonly int[] _bounds = new int[sequences + 1];
    private int _count;
    private int _sequences;

    /// <summary>Rows of the batch.</summary>
    public int Count => _count;

    /// <summary>Lays out some examples; a pair as two sequences, the chosen answer first.</summary>
    public void Fill(IReadOnlyList<TrainingExample> examples, ReadOnlySpan<int> indexes)
    {
        Clear();
        foreach (int index in indexes)
        {
            TrainingExample example = examples[index];
            Add(example.Tokens, example.From, (float)example.Weight);
            if (example.Rejected is { } rejected)
            {
                Add(rejected, example.RejectedFrom, (float)example.Weight);
            }
        }
    }

    public void Clear()
    {
        _count = 0;
        _sequences = 0;
    }

    /// <summary>Row i reads token i and predicts token i + 1: the last token is predicted only.</summary>
    public void Add(ReadOnlySpan<int> sequence, int from, float weight)
    {
        int rows = sequence.Length - 1;
        sequence[..rows].CopyTo(_tokens.AsSpan(_count));
        Span<int> target = _target.AsSpan(_count, rows);
        Span<float> weights = _weight.AsSpan(_count, rows);
        target.Fill(-1);
        weights.Clear();
        sequence[from..].CopyTo(target[(from - 1)..]);
        weights[(from - 1)..].Fill(weight);
        _count += rows;
        _bounds[++_sequences] = _count;
    }

    /// <summary>The weight of a row laid out before, for those who look at single rows.</summary>
    public Span<float> Weights => _weight.AsSpan(0, _count);

    /// <summary>What each row predicts, or −1.</summary>
    public Span<int> Targets => _target.AsSpan(0, _count);

    public TrainingBatch Batch(float anchor = 0, float dpoBeta = 0) => new()
    {
        Tokens = _tokens.AsSpan(0, _count),
        Bounds = _bounds.AsSpan(0, _sequences + 1),
        Target = _target.AsSpan(0, _count),
        Weight = _weight.AsSpan(0, _count),
        Anchor = anchor,
        DpoBeta = dpoBeta,
    };
}
