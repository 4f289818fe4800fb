using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Traffic;

/// <summary>How requests without a configured task are grouped.</summary>
public sealed record TaskResolverOptions
{
    /// <summary>
    /// Most tasks that requests may bring into being, by <c>metadata.task</c> or by their system prompts; what comes beyond is the task <c>other</c>.
    /// Configured tasks, <c>default</c> and <c>other</c> do not count.
    /// </summary>
    public int MaxTasks { get; init; } = 256;

    /// <summary>How answers of such tasks are compared.</summary>
    public AgreementMeasure Measure { get; init; } = AgreementMeasure.Normalized;

    /// <summary>Their pass mark, or null for the measure's own.</summary>
    public double? PassMark { get; init; }

    /// <summary>Throws <see cref="PolicyOptionException"/> for what cannot be used.</summary>
    public void Validate()
    {
        if (MaxTasks is < 0 or > 100_000)
        {
            throw new PolicyOptionException("max_tasks", $"it must be from 0 to 100000, not {MaxTasks}");
        }
        if (PassMark is { } mark && !(mark >= 0 && mark <= 1))
        {
            throw new PolicyOptionException("pass_mark", $"it must be from 0 to 1, not {mark:R}");
        }
    }
}
