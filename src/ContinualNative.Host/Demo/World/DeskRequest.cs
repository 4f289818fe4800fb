namespace ContinualNative.Host.Demo.World;

/// <summary>One request to the desk's model, with the truth that the simulation knows.</summary>
internal sealed record DeskRequest
{
    /// <summary>Unique within a world's draw: a million times the week, and the place in it.</summary>
    public required long Number { get; init; }

    public required int Week { get; init; }

    public required DeskTask Task { get; init; }

    /// <summary>The task's system prompt.</summary>
    public required string SystemPrompt { get; init; }

    /// <summary>What the customer wrote.</summary>
    public required string Message { get; init; }

    /// <summary>The right answer as of <see cref="Week"/>.</summary>
    public required string Answer { get; init; }

    /// <summary>Answers that are wrong in <see cref="Week"/>, yet such as a model might give; at least two, none twice.</summary>
    public required IReadOnlyList<string> WrongAnswers { get; init; }

    public required RequestKind Kind { get; init; }

    /// <summary>The index in <see cref="SupportWorld.Changes"/> of the change that it is about; −1: none.</summary>
    public required int Change { get; init; }

    /// <summary>A stable name of the customer who wrote it.</summary>
    public required string Customer { get; init; }

    /// <summary>What is asked about: an intent, or a policy's topic.</summary>
    public required string Topic { get; init; }
}
