namespace ContinualNative.Training;

/// <summary>
/// One example in tokens. The loss is on the answer only: the tokens from <see cref="From"/> on. With <see cref="Rejected"/>, it is a pair for DPO.
/// </summary>
public sealed record TrainingExample
{
    /// <summary>Prompt and answer.</summary>
    public required int[] Tokens { get; init; }

    /// <summary>The first token of the answer, at least 1; <c>Tokens.Length</c> or more when there is none.</summary>
    public required int From { get; init; }

    /// <summary>How many tokens at the front stay when a prompt is cut: 1 where it begins with the model's beginning-of-sequence token.</summary>
    public int Keep { get; init; }

    /// <summary>How much it counts, 0 or more.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>Prompt and the answer that is not wanted; null for plain training.</summary>
    public int[]? Rejected { get; init; }

    /// <summary>The first token of that answer.</summary>
    public int RejectedFrom { get; init; }

    /// <summary>The line in its file, from 1; 0 where it comes from no file.</summary>
    public int Line { get; init; }

    /// <summary>The caller's name for it, or null.</summary>
    public string? Id { get; init; }

    /// <summary>Rows that it takes in a batch: its last token only is predicted, never read.</summary>
    internal int Rows => Tokens.Length - 1 + (Rejected is null ? 0 : Rejected.Length - 1);

    /// <summary>Rows that carry a loss.</summary>
    internal int Targets => Tokens.Length - From + (Rejected is null ? 0 : Rejected.Length - RejectedFrom);
}
