namespace ContinualNative.Engine.Chat;

/// <summary>The surroundings that a template renders in, and how much it may use.</summary>
public sealed record ChatTemplateOptions
{
    /// <summary>The clock behind <c>strftime_now</c>.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Most statements of one compilation or rendering, beside 512 for each character of its input; a second is worth some ten million.</summary>
    public long StepLimit { get; init; } = 30_000_000;

    /// <summary>Longest time for one compilation or rendering; long, as a busy machine must not fail good templates.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Most bytes that one compilation or rendering may allocate, beside 512 for each character of its input.</summary>
    public long MemoryLimit { get; init; } = 128 << 20;

    /// <summary>Longest prompt in characters, beside 64 for each character of the messages and tools.</summary>
    public int OutputLimit { get; init; } = 4 << 20;

    /// <summary>Most renderings at the same time; more wait. Each keeps an engine of a few megabytes.</summary>
    public int MaxConcurrency { get; init; } = Math.Max(1, Environment.ProcessorCount);
}
