using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>Log-probabilities by the trainer, for comparison with the engine's.</summary>
public static class SequenceScorer
{
    /// <summary>
    /// Natural log-probability of the tokens at <paramref name="positions"/> (ascending, each at least 1), given all before them, under the current
    /// parameters. There must be room for them among the trainer's targets.
    /// </summary>
    public static float[] LogProbs(TrainerHandle trainer, ReadOnlySpan<int> tokens, ReadOnlySpan<int> positions, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(trainer);
        BatchBuffer buffer = new(tokens.Length - 1, 1);
        buffer.Add(tokens, 1, 0);
        buffer.Targets.Fill(-1);
        foreach (int position in positions)
        {
            buffer.Targets[position - 1] = tokens[position];
            buffer.Weights[position - 1] = 1;
        }
        float[] rows = new float[buffer.Count];
        trainer.Evaluate(buffer.Batch(), rows, cancellationToken);
        float[] result = new float[positions.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = rows[positions[i] - 1];
        }
        return result;
    }
}
