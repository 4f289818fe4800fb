using System.Text.Json;
using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>How requests are chosen for the teacher.</summary>
public enum TeachingStrategy
{
    /// <summary>By what their labels are worth.</summary>
    Informed,

    /// <summary>At random, within the same budget and pace: what the informed choice must beat.</summary>
    Random,
}

/// <summary>How much is spent on labels, and on which.</summary>
public sealed record TeachingOptions
{
    private static readonly string[] Keys =
    [
        "daily_budget", "daily_labels", "failure_share", "uncertain_share", "novel_share", "min_uncertainty", "min_novelty", "few_labels",
        "labels_per_cluster", "task_floor", "head_start", "strategy", "seed",
    ];

    /// <summary>Most money a day.</summary>
    public Money DailyBudget { get; init; } = Money.FromDollars(1);

    /// <summary>Most labels a day, audits included.</summary>
    public int DailyLabels { get; init; } = 1000;

    /// <summary>Weight of failures among the labels beyond audits. The three weights need not add up to 1; one that finds nothing leaves its part to the others.</summary>
    public double FailureShare { get; init; } = 0.4;

    /// <summary>Weight of answers that the local model was unsure of.</summary>
    public double UncertainShare { get; init; } = 0.35;

    /// <summary>Weight of prompts unlike those that were labelled.</summary>
    public double NovelShare { get; init; } = 0.25;

    /// <summary>The least p(1 − p), 0 to 0.25, of an answer that counts as uncertain.</summary>
    public double MinUncertainty { get; init; } = 0.05;

    /// <summary>The least cosine distance, 0 to 2, of a prompt that counts as novel.</summary>
    public double MinNovelty { get; init; } = 0.2;

    /// <summary>Labels from which on a cluster is no longer novel.</summary>
    public int FewLabels { get; init; } = 20;

    /// <summary>Most labels a day for one cluster, audits aside.</summary>
    public int LabelsPerCluster { get; init; } = 3;

    /// <summary>The part of the labels, 0 to 1, that is spread over tasks evenly; the rest goes by their traffic.</summary>
    public double TaskFloor { get; init; } = 0.2;

    /// <summary>The part of a day, 0 to 1, by which spending may run ahead of the clock.</summary>
    public double HeadStart { get; init; } = 1.0 / 24;

    /// <summary>How candidates are chosen.</summary>
    public TeachingStrategy Strategy { get; init; }

    /// <summary>Decides between candidates that are worth the same.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>
    /// Reads an object with the options' names in snake case; <c>daily_budget</c> is in dollars, <c>strategy</c> is <c>informed</c> or <c>random</c>.
    /// Throws <see cref="PolicyOptionException"/>.
    /// </summary>
    public static TeachingOptions Parse(JsonElement value, string path = "teaching")
    {
        TeachingOptions options = new();
        foreach ((string key, string place, JsonElement field) in OptionReader.Fields(value, path, Keys))
        {
            options = key switch
            {
                "daily_budget" => options with { DailyBudget = Money.FromDollars((decimal)OptionReader.Number(field, place, 0, 1_000_000)) },
                "daily_labels" => options with { DailyLabels = OptionReader.Whole(field, place, 0, 10_000_000) },
                "failure_share" => options with { FailureShare = OptionReader.Number(field, place, 0, 1) },
                "uncertain_share" => options with { UncertainShare = OptionReader.Number(field, place, 0, 1) },
                "novel_share" => options with { NovelShare = OptionReader.Number(field, place, 0, 1) },
                "min_uncertainty" => options with { MinUncertainty = OptionReader.Number(field, place, 0, 0.25) },
                "min_novelty" => options with { MinNovelty = OptionReader.Number(field, place, 0, 2) },
                "few_labels" => options with { FewLabels = OptionReader.Whole(field, place, 1, 1_000_000) },
                "labels_per_cluster" => options with { LabelsPerCluster = OptionReader.Whole(field, place, 1, 1_000_000) },
                "task_floor" => options with { TaskFloor = OptionReader.Number(field, place, 0, 1) },
                "head_start" => options with { HeadStart = OptionReader.Number(field, place, 0, 1) },
                "seed" => options with { Seed = (ulong)OptionReader.Whole(field, place, 0, int.MaxValue) },
                _ => options with
                {
                    Strategy = OptionReader.Text(field, place) switch
                    {
                        "informed" => TeachingStrategy.Informed,
                        "random" => TeachingStrategy.Random,
                        _ => throw new PolicyOptionException(place, "it must be 'informed' or 'random'"),
                    },
                },
            };
        }
        return options;
    }

    /// <summary>Throws <see cref="PolicyOptionException"/> for what cannot be used.</summary>
    public void Validate()
    {
        Check(DailyBudget >= Money.Zero, "daily_budget", "it must be 0 or more");
        Check(DailyLabels >= 0, "daily_labels", "it must be 0 or more");
        Check(FailureShare is >= 0 and <= 1, "failure_share", "it must be from 0 to 1");
        Check(UncertainShare is >= 0 and <= 1, "uncertain_share", "it must be from 0 to 1");
        Check(NovelShare is >= 0 and <= 1, "novel_share", "it must be from 0 to 1");
        Check(MinUncertainty is >= 0 and <= 0.25, "min_uncertainty", "it must be from 0 to 0.25");
        Check(MinNovelty is >= 0 and <= 2, "min_novelty", "it must be from 0 to 2");
        Check(FewLabels >= 1, "few_labels", "it must be 1 or more");
        Check(LabelsPerCluster >= 1, "labels_per_cluster", "it must be 1 or more");
        Check(TaskFloor is >= 0 and <= 1, "task_floor", "it must be from 0 to 1");
        Check(HeadStart is >= 0 and <= 1, "head_start", "it must be from 0 to 1");
        Check(Enum.IsDefined(Strategy), "strategy", "it must be 'informed' or 'random'");

        static void Check(bool right, string key, string reason)
        {
            if (!right)
            {
                throw new PolicyOptionException($"teaching.{key}", reason);
            }
        }
    }
}
