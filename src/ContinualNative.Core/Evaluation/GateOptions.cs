using System.Text.Json;

namespace ContinualNative.Core.Evaluation;

/// <summary>What a candidate must show, and what it may cost.</summary>
public sealed record GateOptions
{
    private static readonly string[] Keys =
    [
        "alpha", "minimum_fresh", "most_fresh", "require_gain", "margin", "graded", "golden_tolerance", "backward_tolerance", "slice_alpha", "flip_budget", "format_tolerance", "latency_limit",
    ];

    /// <summary>Probability of passing a candidate that is no better, at most, however often one looks.</summary>
    public double Alpha { get; init; } = 0.05;

    /// <summary>Fresh pairs below which nothing passes.</summary>
    public int MinimumFresh { get; init; } = 30;

    /// <summary>Fresh pairs from which on a candidate whose gain is not shown is rejected. With 400 of them half of the candidates that are three points better would be, with 800 a quarter.</summary>
    public int MostFresh { get; init; } = 800;

    /// <summary>Whether it must be better; false: not worse by more than <see cref="Margin"/> is enough, as for a new base model.</summary>
    public bool RequireGain { get; init; } = true;

    /// <summary>How much worse it may be without <see cref="RequireGain"/>, above 0 and below 1.</summary>
    public double Margin { get; init; } = 0.05;

    /// <summary>Whether the gain is measured in agreement, 0 to 1, or only in right and wrong. They differ for graded measures alone.</summary>
    public bool Graded { get; init; } = true;

    /// <summary>By how much the share right of a golden suite may fall, 0 to 1.</summary>
    public double GoldenTolerance { get; init; } = 0.02;

    /// <summary>By how much the share right on old slices may fall, on average over slices, 0 to 1.</summary>
    public double BackwardTolerance { get; init; } = 0.01;

    /// <summary>Probability that a candidate that is no worse anywhere is rejected for a single slice, at most; divided among the slices (Bonferroni).</summary>
    public double SliceAlpha { get; init; } = 0.05;

    /// <summary>Share of all requests that the candidate may get wrong and the champion right, 0 to 1.</summary>
    public double FlipBudget { get; init; } = 0.05;

    /// <summary>By how much the share of valid answers may fall, 0 to 1.</summary>
    public double FormatTolerance { get; init; } = 0.01;

    /// <summary>Most time of the candidate ÷ the champion's, in the median of the requests; above 0.</summary>
    public double LatencyLimit { get; init; } = 1.5;

    /// <summary>Reads an object with the options' names in snake case. Throws <see cref="PolicyOptionException"/>.</summary>
    public static GateOptions Parse(JsonElement value, string path = "gate")
    {
        GateOptions options = new();
        foreach ((string key, string place, JsonElement field) in OptionReader.Fields(value, path, Keys))
        {
            options = key switch
            {
                "alpha" => options with { Alpha = OptionReader.Number(field, place, 1e-6, 0.5) },
                "minimum_fresh" => options with { MinimumFresh = OptionReader.Whole(field, place, 1, 1_000_000) },
                "most_fresh" => options with { MostFresh = OptionReader.Whole(field, place, 1, 1_000_000) },
                "require_gain" => options with { RequireGain = OptionReader.Flag(field, place) },
                "margin" => options with { Margin = OptionReader.Number(field, place, 0.001, 0.5) },
                "graded" => options with { Graded = OptionReader.Flag(field, place) },
                "golden_tolerance" => options with { GoldenTolerance = OptionReader.Number(field, place, 0, 1) },
                "backward_tolerance" => options with { BackwardTolerance = OptionReader.Number(field, place, 0, 1) },
                "slice_alpha" => options with { SliceAlpha = OptionReader.Number(field, place, 1e-6, 0.5) },
                "flip_budget" => options with { FlipBudget = OptionReader.Number(field, place, 0, 1) },
                "format_tolerance" => options with { FormatTolerance = OptionReader.Number(field, place, 0, 1) },
                _ => options with { LatencyLimit = OptionReader.Number(field, place, 0.01, 1000) },
            };
        }
        options.Validate(path);
        return options;
    }

    /// <summary>Throws <see cref="PolicyOptionException"/> for what cannot be used.</summary>
    /// <param name="path">How messages call the options.</param>
    public void Validate(string path = "gate")
    {
        Check(Alpha is >= 1e-6 and <= 0.5, "alpha", "it must be from 1E-06 to 0.5");
        Check(MinimumFresh >= 1, "minimum_fresh", "it must be 1 or more");
        Check(MostFresh >= MinimumFresh, "most_fresh", $"it must not be below 'minimum_fresh', which is {MinimumFresh}");
        Check(Margin is >= 0.001 and <= 0.5, "margin", "it must be from 0.001 to 0.5");
        Check(GoldenTolerance is >= 0 and <= 1, "golden_tolerance", "it must be from 0 to 1");
        Check(BackwardTolerance is >= 0 and <= 1, "backward_tolerance", "it must be from 0 to 1");
        Check(SliceAlpha is >= 1e-6 and <= 0.5, "slice_alpha", "it must be from 1E-06 to 0.5");
        Check(FlipBudget is >= 0 and <= 1, "flip_budget", "it must be from 0 to 1");
        Check(FormatTolerance is >= 0 and <= 1, "format_tolerance", "it must be from 0 to 1");
        Check(LatencyLimit is >= 0.01 and <= 1000, "latency_limit", "it must be from 0.01 to 1000");

        void Check(bool right, string key, string reason)
        {
            if (!right)
            {
                throw new PolicyOptionException($"{path}.{key}", reason);
            }
        }
    }
}
