namespace ContinualNative.Interop.Trainer;

/// <summary>
/// A packed batch, read during a call only. Sequence s has tokens <c>Bounds[s]</c> … <c>Bounds[s+1] − 1</c>; the first bound is 0 and the last the number
/// of tokens. Row i predicts <c>Target[i]</c> (−1: nothing) with the factor <c>Weight[i]</c> of its cross-entropy (0: nothing).
/// </summary>
public readonly ref struct TrainingBatch
{
    /// <summary>Tokens of all sequences.</summary>
    public required ReadOnlySpan<int> Tokens { get; init; }

    /// <summary>Where sequences begin; one more than there are sequences.</summary>
    public required ReadOnlySpan<int> Bounds { get; init; }

    /// <summary>What each row predicts, or −1.</summary>
    public required ReadOnlySpan<int> Target { get; init; }

    /// <summary>What each row counts.</summary>
    public required ReadOnlySpan<float> Weight { get; init; }

    /// <summary>A teacher's likeliest tokens, <see cref="TrainerOptions.TeacherTokens"/> a row, −1 for an unused place; or empty.</summary>
    public ReadOnlySpan<int> TeacherToken { get; init; }

    /// <summary>Their natural log-probabilities.</summary>
    public ReadOnlySpan<float> TeacherLogProb { get; init; }

    /// <summary>The factor of the distillation term by row.</summary>
    public ReadOnlySpan<float> TeacherWeight { get; init; }

    /// <summary>The factor of KL(reference ‖ model) on every row with a weight.</summary>
    public float Anchor { get; init; }

    /// <summary>
    /// Above 0: sequences 2i and 2i+1 are a chosen and a rejected answer, and the loss is DPO's with this β (Rafailov et al. 2023, arXiv 2305.18290, eq. 7).
    /// </summary>
    public float DpoBeta { get; init; }
}
