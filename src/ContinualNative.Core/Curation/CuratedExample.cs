namespace ContinualNative.Core.Curation;

/// <summary>Where an example's answer comes from. The numbers are stored.</summary>
public enum ExampleSource
{
    /// <summary>A teacher's answer whose endpoint allows training on it.</summary>
    Teacher = 0,

    /// <summary>What a client says the right answer is.</summary>
    Correction = 1,

    /// <summary>The model's own answer, which its client accepted.</summary>
    Accepted = 2,

    /// <summary>The model's own answer to an old request, kept so that it goes on giving it.</summary>
    Own = 3,
}

/// <summary>One example to train on: no text, but where its texts stand. What a data set is made of can be stored, and erasure still reaches every text.</summary>
public sealed record CuratedExample
{
    public required string RequestId { get; init; }

    public required string Task { get; init; }

    /// <summary>The slice of traffic that it stands for, as <see cref="Slices.Of"/> names it.</summary>
    public required string Slice { get; init; }

    public required ExampleSource Source { get; init; }

    /// <summary>Whether it is there to be remembered and not to be learned.</summary>
    public bool Replay { get; init; }

    /// <summary>How much it counts, above 0.</summary>
    public required double Weight { get; init; }

    /// <summary>Whether a rejected answer goes with it: a preference pair.</summary>
    public bool IsPair { get; init; }
}

/// <summary>Texts of a <see cref="CuratedExample"/>.</summary>
/// <param name="Prompt">The request as JSON.</param>
/// <param name="Answer">The answer to learn, in the form of <see cref="Traffic.RequestRecord.LocalAnswer"/>.</param>
/// <param name="Rejected">The answer that is not wanted, or null.</param>
public readonly record struct ExampleTexts(string Prompt, string Answer, string? Rejected);
