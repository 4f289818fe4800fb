using System.Collections.ObjectModel;

namespace ContinualNative.Core.Routing;

/// <summary>How calibrations are made.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Largest expected share of all requests that get a wrong local answer, 0 to 1 (both excluded); null: no threshold is set, only the budget decides.</summary>
    public double? TargetRisk { get; init; } = 0.05;

    /// <summary>Targets of single tasks, in place of <see cref="TargetRisk"/>.</summary>
    public IReadOnlyDictionary<string, double> TaskTargetRisk { get; init; } = ReadOnlyDictionary<string, double>.Empty;

    /// <summary>How many of the newest audits of a task (of streams and of whole answers each) may set its threshold; older ones only train the model.</summary>
    public int Window { get; init; } = 2000;

    /// <summary>Audits after which the weight of an older one has halved; null: all in the window weigh the same. With it the guarantee holds up to the drift within it.</summary>
    public double? HalfLife { get; init; }

    /// <summary>Labelled samples, of all tasks together, below which there is no model.</summary>
    public int MinimumSamples { get; init; } = 20;

    /// <summary>Samples that are thought to be enough for the model; until then up to a quarter of the newest audits is taken from the threshold for it.</summary>
    public int FitSamples { get; init; } = 200;

    /// <summary>Seed of the split between model and threshold.</summary>
    public ulong Seed { get; init; }

    /// <summary>The target of a task, or null when only a budget decides.</summary>
    public double? TargetOf(string task) => TaskTargetRisk.TryGetValue(task, out double own) ? own : TargetRisk;

    /// <summary>Throws <see cref="ArgumentException"/> that names the setting and what it may be.</summary>
    public void Validate()
    {
        Require(TargetRisk is null or (> 0 and < 1), "target-risk", TargetRisk, "more than 0 and less than 1");
        foreach ((string task, double target) in TaskTargetRisk)
        {
            Require(target is > 0 and < 1, $"target-risk of task '{task}'", target, "more than 0 and less than 1");
        }
        Require(Window is >= 20 and <= 1_000_000, "calibration-window", Window, "20 to 1000000 audits");
        Require(HalfLife is null or (>= 10 and <= 1e9), "calibration-half-life", HalfLife, "10 audits or more");
        Require(MinimumSamples >= 1, "calibration-minimum", MinimumSamples, "1 sample or more");
        Require(FitSamples >= 0, "calibration-fit", FitSamples, "0 samples or more");
    }

    private static void Require(bool holds, string key, object? value, string range)
    {
        if (!holds)
        {
            throw new ArgumentException($"'{key}' must be {range}, not {value}.");
        }
    }
}
