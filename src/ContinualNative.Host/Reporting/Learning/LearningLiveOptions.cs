namespace ContinualNative.Host.Reporting.Learning;

/// <summary>How a live view is shown.</summary>
internal sealed record LearningLiveOptions
{
    /// <summary>One line above it.</summary>
    public required string Title { get; init; }

    /// <summary>Periods that the run will have, 1 or more.</summary>
    public required int Periods { get; init; }

    /// <summary>Where to.</summary>
    public TextWriter Output { get; init; } = Console.Error;

    /// <summary>Whether <see cref="Output"/> is a terminal: elsewhere there is a line for each period and one every few seconds.</summary>
    public bool Terminal { get; init; } = !Console.IsErrorRedirected;

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
