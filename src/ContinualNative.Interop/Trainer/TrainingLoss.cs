namespace ContinualNative.Interop.Trainer;

/// <summary>Sums over a batch's rows, in nats.</summary>
/// <param name="Loss">All terms, weighted.</param>
/// <param name="Weight">What <paramref name="Loss"/> is divided by for a mean: the sum of the weights, or the number of pairs.</param>
/// <param name="CrossEntropy">The first term alone.</param>
/// <param name="Distilled">The teacher's term.</param>
/// <param name="Anchored">The anchor's term.</param>
/// <param name="Rows">Rows that carried a loss.</param>
/// <param name="Correct">Of them, those whose likeliest token was the target.</param>
/// <param name="Preferred">Pairs whose chosen answer has the higher implicit reward.</param>
/// <param name="Pairs">Pairs.</param>
public readonly record struct TrainingLoss(
    double Loss, double Weight, double CrossEntropy, double Distilled, double Anchored, int Rows, int Correct, int Preferred, int Pairs)
{
    /// <summary>Adds two batches.</summary>
    public static TrainingLoss operator +(TrainingLoss a, TrainingLoss b) => new(
        a.Loss + b.Loss,
        a.Weight + b.Weight,
        a.CrossEntropy + b.CrossEntropy,
        a.Distilled + b.Distilled,
        a.Anchored + b.Anchored,
        a.Rows + b.Rows,
        a.Correct + b.Correct,
        a.Preferred + b.Preferred,
        a.Pairs + b.Pairs);

    /// <summary>Adds two batches.</summary>
    public static TrainingLoss Add(TrainingLoss left, TrainingLoss right) => left + right;
}

/// <summary>One step of AdamW.</summary>
/// <param name="Step">Counted from 1; skipped ones don't count.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="LearningRate">The rate of this step.</param>
/// <param name="Skipped">Whether the gradient was not finite, and nothing was changed.</param>
/// <param name="SkippedTotal">Skipped so far.</param>
public readonly record struct TrainingUpdate(long Step, double GradientNorm, double LearningRate, bool Skipped, long SkippedTotal);

/// <summary>What slices of training took: parts of layers on a processor, pieces of a bounded time on a GPU, by its own clock.</summary>
/// <param name="Slices">How many there were.</param>
/// <param name="Total">All of them together.</param>
/// <param name="Longest">The longest one.</param>
/// <param name="LayerForward">Mean of a layer of a batch, forwards; zero before the first.</param>
/// <param name="LayerBackward">The same on the way back, with what is computed again for it.</param>
public readonly record struct SliceCosts(long Slices, TimeSpan Total, TimeSpan Longest, TimeSpan LayerForward, TimeSpan LayerBackward);

/// <summary>Where a trainer's memory goes, in bytes, beyond the mapped file.</summary>
/// <param name="Total">Everything: one allocation, made at the start.</param>
/// <param name="Parameters">Values, gradients, two moments, reference.</param>
/// <param name="Activations">What the way back needs of the way there.</param>
/// <param name="Logits">A piece of the logits.</param>
/// <param name="Scratch">Buffers of the kernels.</param>
/// <param name="StoredLayers">Layers whose activations are kept; the others compute theirs again.</param>
/// <param name="LogitRows">Rows of logits at a time.</param>
public sealed record TrainerMemory(long Total, long Parameters, long Activations, long Logits, long Scratch, int StoredLayers, int LogitRows);
