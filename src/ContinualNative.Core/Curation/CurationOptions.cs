using System.Text.Json;

namespace ContinualNative.Core.Curation;

/// <summary>What a cycle trains on, and how much of it counts.</summary>
public sealed record CurationOptions
{
    private static readonly string[] Keys =
    [
        "max_examples", "replay_ratio", "max_replay", "rehearsal_share", "near_duplicate", "max_per_key", "half_life", "teacher_weight", "correction_weight", "accepted_weight",
        "own_weight", "pairs", "minimum_own_p_correct", "minimum_trust", "believe_reports", "leak_limit", "evaluation_most", "golden_most", "slice_most",
    ];

    /// <summary>
    /// The share of requests that are held out, 0 to 1, by <see cref="Teaching.Holdout"/>. The server gives it; it is no option of its own. What was held out once
    /// stays so as long as this is never lowered: a larger share holds all of a smaller one.
    /// </summary>
    public double HoldoutShare { get; init; } = 0.1;

    /// <summary>Most fresh examples.</summary>
    public int MaxExamples { get; init; } = 5000;

    /// <summary>Old examples for each fresh one.</summary>
    public double ReplayRatio { get; init; } = 1;

    /// <summary>Most old examples.</summary>
    public int MaxReplay { get; init; } = 5000;

    /// <summary>The part of the old examples, 0 to 1, that is chosen for being what an update is likely to break; see <see cref="Rehearsal"/>. 0: none is.</summary>
    public double RehearsalShare { get; init; } = 0.5;

    /// <summary>The Jaccard similarity of two prompts, above 0 to 1, from which on they are near-duplicates. 1: only equal ones are.</summary>
    public double NearDuplicate { get; init; } = 0.9;

    /// <summary>The part of the fresh examples, above 0 to 1, that may rest on the word of one API key.</summary>
    public double MaxPerKey { get; init; } = 0.5;

    /// <summary>Days in which an example's weight halves.</summary>
    public double HalfLife { get; init; } = 60;

    /// <summary>Weight of a teacher's answer; each of the four is above 0, at most 10.</summary>
    public double TeacherWeight { get; init; } = 1;

    /// <summary>Weight of a client's correction.</summary>
    public double CorrectionWeight { get; init; } = 1;

    /// <summary>Weight of an own answer that its client accepted.</summary>
    public double AcceptedWeight { get; init; } = 0.5;

    /// <summary>Weight of an own answer to an old request that nobody judged.</summary>
    public double OwnWeight { get; init; } = 0.3;

    /// <summary>Whether preference pairs are made.</summary>
    public bool Pairs { get; init; } = true;

    /// <summary>The least estimated probability, 0 to 1, that an own answer nobody judged is right, for it to be replayed.</summary>
    public double MinimumOwnPCorrect { get; init; } = 0.9;

    /// <summary>The trust in a key, 0 to 1, below which its reports teach nothing; see <see cref="KeyTrust"/>.</summary>
    public double MinimumTrust { get; init; } = 0.5;

    /// <summary>Whether every report is taken at its word, whatever labels say of its key. The demo uses it to show what the gate holds back then.</summary>
    public bool BelieveReports { get; init; }

    /// <summary>
    /// The part of the distinct fresh prompts, 0 to 1, that may be taken out of training because they are in an evaluation too. Beyond it, the prompts that
    /// come most often stay in training, and leave the evaluation instead; see <see cref="Curator"/>.
    /// </summary>
    public double LeakLimit { get; init; } = 0.25;

    /// <summary>Most fresh requests to evaluate on, and most old ones.</summary>
    public int EvaluationMost { get; init; } = 1000;

    /// <summary>Most golden requests to evaluate on.</summary>
    public int GoldenMost { get; init; } = 500;

    /// <summary>Most old requests of one slice to evaluate on.</summary>
    public int SliceMost { get; init; } = 50;

    /// <summary>Reads an object with the options' names in snake case; <c>half_life</c> is in days. Throws <see cref="PolicyOptionException"/>.</summary>
    public static CurationOptions Parse(JsonElement value, string path = "curation")
    {
        const double least = 1e-3;
        CurationOptions options = new();
        foreach ((string key, string place, JsonElement field) in OptionReader.Fields(value, path, Keys))
        {
            options = key switch
            {
                "max_examples" => options with { MaxExamples = OptionReader.Whole(field, place, 1, 10_000_000) },
                "replay_ratio" => options with { ReplayRatio = OptionReader.Number(field, place, 0, 100) },
                "max_replay" => options with { MaxReplay = OptionReader.Whole(field, place, 0, 10_000_000) },
                "rehearsal_share" => options with { RehearsalShare = OptionReader.Number(field, place, 0, 1) },
                "near_duplicate" => options with { NearDuplicate = OptionReader.Number(field, place, 0.3, 1) },
                "max_per_key" => options with { MaxPerKey = OptionReader.Number(field, place, least, 1) },
                "half_life" => options with { HalfLife = OptionReader.Number(field, place, least, 100_000) },
                "teacher_weight" => options with { TeacherWeight = OptionReader.Number(field, place, least, 10) },
                "correction_weight" => options with { CorrectionWeight = OptionReader.Number(field, place, least, 10) },
                "accepted_weight" => options with { AcceptedWeight = OptionReader.Number(field, place, least, 10) },
                "own_weight" => options with { OwnWeight = OptionReader.Number(field, place, least, 10) },
                "pairs" => options with { Pairs = OptionReader.Flag(field, place) },
                "minimum_own_p_correct" => options with { MinimumOwnPCorrect = OptionReader.Number(field, place, 0, 1) },
                "minimum_trust" => options with { MinimumTrust = OptionReader.Number(field, place, 0, 1) },
                "believe_reports" => options with { BelieveReports = OptionReader.Flag(field, place) },
                "leak_limit" => options with { LeakLimit = OptionReader.Number(field, place, 0, 1) },
                "evaluation_most" => options with { EvaluationMost = OptionReader.Whole(field, place, 0, 1_000_000) },
                "golden_most" => options with { GoldenMost = OptionReader.Whole(field, place, 0, 1_000_000) },
                _ => options with { SliceMost = OptionReader.Whole(field, place, 0, 1_000_000) },
            };
        }
        return options;
    }

    /// <summary>Throws <see cref="PolicyOptionException"/> for what cannot be used.</summary>
    public void Validate()
    {
        Check(HoldoutShare is >= 0 and <= 1, "holdout_share", "it must be from 0 to 1");
        Check(MaxExamples >= 1, "max_examples", "it must be 1 or more");
        Check(ReplayRatio is >= 0 and <= 100, "replay_ratio", "it must be from 0 to 100");
        Check(MaxReplay >= 0, "max_replay", "it must be 0 or more");
        Check(RehearsalShare is >= 0 and <= 1, "rehearsal_share", "it must be from 0 to 1");
        Check(NearDuplicate is >= 0.3 and <= 1, "near_duplicate", "it must be from 0.3 to 1");
        Check(MaxPerKey is > 0 and <= 1, "max_per_key", "it must be above 0, at most 1");
        Check(HalfLife > 0 && double.IsFinite(HalfLife), "half_life", "it must be above 0");
        Check(TeacherWeight is > 0 and <= 10, "teacher_weight", "it must be above 0, at most 10");
        Check(CorrectionWeight is > 0 and <= 10, "correction_weight", "it must be above 0, at most 10");
        Check(AcceptedWeight is > 0 and <= 10, "accepted_weight", "it must be above 0, at most 10");
        Check(OwnWeight is > 0 and <= 10, "own_weight", "it must be above 0, at most 10");
        Check(MinimumOwnPCorrect is >= 0 and <= 1, "minimum_own_p_correct", "it must be from 0 to 1");
        Check(MinimumTrust is >= 0 and <= 1, "minimum_trust", "it must be from 0 to 1");
        Check(LeakLimit is >= 0 and <= 1, "leak_limit", "it must be from 0 to 1");
        Check(EvaluationMost >= 0, "evaluation_most", "it must be 0 or more");
        Check(GoldenMost >= 0, "golden_most", "it must be 0 or more");
        Check(SliceMost >= 0, "slice_most", "it must be 0 or more");

        static void Check(bool right, string key, string reason)
        {
            if (!right)
            {
                throw new PolicyOptionException($"curation.{key}", reason);
            }
        }
    }
}
