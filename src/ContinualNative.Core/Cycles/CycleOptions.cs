using System.Text.Json;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Core.Cycles;

/// <summary>When the model is updated, by what training, and how a candidate gets to answer.</summary>
public sealed record CycleOptions
{
    private static readonly string[] Keys =
    [
        "schedule", "label_count", "on_drift", "on_new_teacher", "minimum_examples", "from_base_every", "epochs", "learning_rate", "rates_tried", "rank", "device", "threads", "anchor", "gate_labels", "shadow_requests", "shadow_least", "shadow_hours",
        "canary_share", "canary_requests", "canary_hours", "watch_requests", "keep_adapters", "most_training_seconds", "gate",
    ];

    /// <summary>When a cycle begins by the clock, as a cron expression in UTC; null: never. It is not read here: whoever has a reader for it checks it.</summary>
    public string? Schedule { get; init; }

    /// <summary>New labels after which a cycle begins; 0: their number does not matter.</summary>
    public int LabelCount { get; init; } = 200;

    /// <summary>Whether a drift of confidences, of prompts or of the audits' agreement begins one.</summary>
    public bool OnDrift { get; init; } = true;

    /// <summary>Whether a new version of the teacher begins one.</summary>
    public bool OnNewTeacher { get; init; } = true;

    /// <summary>Examples to learn from without which a cycle ends at once.</summary>
    public int MinimumExamples { get; init; } = 50;

    /// <summary>
    /// Every so many cycles training starts from the bare model (or the imported adapter that it all began with) instead of the champion, so that what single cycles spoil does not add up; 0: never; 1: always.
    /// </summary>
    public int FromBaseEvery { get; init; } = 4;

    /// <summary>How often the data is gone through; null: by <see cref="HyperParameters.For"/>.</summary>
    public int? Epochs { get; init; }

    /// <summary>Learning rate after warm-up; null: by <see cref="HyperParameters.For"/>.</summary>
    public double? LearningRate { get; init; }

    /// <summary>
    /// Learning rates that a cycle tries, 1 to 5, while <see cref="MostTrainingSeconds"/> lasts: the adapter that is best on a tenth of the examples, held back from all of them, becomes the candidate. It
    /// needs enough examples (<see cref="HyperParameters.Rates"/>); a rate that is set is the only one.
    /// </summary>
    public int RatesTried { get; init; } = 3;

    /// <summary>Rank of the adapter; null: by <see cref="HyperParameters.For"/>.</summary>
    public int? Rank { get; init; }

    /// <summary>The NVIDIA GPU that trains, counted from 0, on the weights that the engine has there; null: the CPU. A cycle fails where it can't be had.</summary>
    public int? Device { get; init; }

    /// <summary>Threads that training computes with on the CPU; 0: as many as serving. A small model answers fastest on one, where threads would wait for each other, and trains faster on all.</summary>
    public int Threads { get; init; }

    /// <summary>Factor of the divergence from the champion; null: by <see cref="HyperParameters.For"/>.</summary>
    public double? Anchor { get; init; }

    /// <summary>Most labels that the gate may ask the teacher for in one cycle, beyond those that are there; they are part of the day's budget for teaching.</summary>
    public int GateLabels { get; init; } = 200;

    /// <summary>Fresh labelled pairs that the shadow stage gathers at most; 0: the gate decides on the holdout alone.</summary>
    public int ShadowRequests { get; init; } = 800;

    /// <summary>Live requests that the candidate has to answer unseen before it may answer any.</summary>
    public int ShadowLeast { get; init; } = 50;

    /// <summary>How long the shadow stage lasts at most.</summary>
    public TimeSpan ShadowFor { get; init; } = TimeSpan.FromDays(7);

    /// <summary>Share of the requests that the candidate answers as a canary, above 0 to 0.9.</summary>
    public double CanaryShare { get; init; } = 0.1;

    /// <summary>Requests that it answers before it is promoted; 0: no canary.</summary>
    public int CanaryRequests { get; init; } = 200;

    /// <summary>How long the canary lasts at most: what has gone well until then is enough.</summary>
    public TimeSpan CanaryFor { get; init; } = TimeSpan.FromDays(3);

    /// <summary>Requests during which a new champion can be taken back by <see cref="RollbackTest"/>; 0: it is not watched.</summary>
    public int WatchRequests { get; init; } = 500;

    /// <summary>Adapters whose files are kept, the champion and the one before it always among them; 2 or more.</summary>
    public int KeepAdapters { get; init; } = 10;

    /// <summary>Seconds that training should take at most: fewer epochs are chosen for it where <see cref="Epochs"/> is null, and no other learning rate is tried that would take longer. Training that runs is not cut off. 0: no limit.</summary>
    public int MostTrainingSeconds { get; init; } = 3600;

    /// <summary>What a candidate must show.</summary>
    public GateOptions Gate { get; init; } = new();

    /// <summary>
    /// Reads an object with the options' names in snake case; times are <c>shadow_hours</c> and <c>canary_hours</c>, numbers, and <c>gate</c> an object for <see cref="GateOptions.Parse"/>.
    /// Throws <see cref="PolicyOptionException"/>.
    /// </summary>
    public static CycleOptions Parse(JsonElement value, string path = "update")
    {
        CycleOptions options = new();
        foreach ((string key, string place, JsonElement field) in OptionReader.Fields(value, path, Keys))
        {
            options = key switch
            {
                "schedule" => options with { Schedule = OptionReader.Text(field, place) },
                "label_count" => options with { LabelCount = OptionReader.Whole(field, place, 0, 10_000_000) },
                "on_drift" => options with { OnDrift = OptionReader.Flag(field, place) },
                "on_new_teacher" => options with { OnNewTeacher = OptionReader.Flag(field, place) },
                "minimum_examples" => options with { MinimumExamples = OptionReader.Whole(field, place, 1, 10_000_000) },
                "from_base_every" => options with { FromBaseEvery = OptionReader.Whole(field, place, 0, 1_000_000) },
                "epochs" => options with { Epochs = OptionReader.Whole(field, place, 1, 1000) },
                "learning_rate" => options with { LearningRate = OptionReader.Number(field, place, 0, 1) },
                "rates_tried" => options with { RatesTried = OptionReader.Whole(field, place, 1, HyperParameters.MostRates) },
                "rank" => options with { Rank = OptionReader.Whole(field, place, 1, 1024) },
                "device" => options with { Device = OptionReader.Whole(field, place, 0, 1023) },
                "threads" => options with { Threads = OptionReader.Whole(field, place, 0, 512) },
                "anchor" => options with { Anchor = OptionReader.Number(field, place, 0, 1000) },
                "shadow_requests" => options with { ShadowRequests = OptionReader.Whole(field, place, 0, 1_000_000) },
                "gate_labels" => options with { GateLabels = OptionReader.Whole(field, place, 0, 1_000_000) },
                "shadow_least" => options with { ShadowLeast = OptionReader.Whole(field, place, 0, 1_000_000) },
                "canary_hours" => options with { CanaryFor = TimeSpan.FromHours(OptionReader.Number(field, place, 0, 24 * 365)) },
                "shadow_hours" => options with { ShadowFor = TimeSpan.FromHours(OptionReader.Number(field, place, 0, 24 * 365)) },
                "canary_share" => options with { CanaryShare = OptionReader.Number(field, place, 0.001, 0.9) },
                "canary_requests" => options with { CanaryRequests = OptionReader.Whole(field, place, 0, 1_000_000) },
                "watch_requests" => options with { WatchRequests = OptionReader.Whole(field, place, 0, 1_000_000) },
                "keep_adapters" => options with { KeepAdapters = OptionReader.Whole(field, place, 2, 1_000_000) },
                "most_training_seconds" => options with { MostTrainingSeconds = OptionReader.Whole(field, place, 0, 10_000_000) },
                _ => options with { Gate = GateOptions.Parse(field, place) },
            };
        }
        return options;
    }

    /// <summary>Throws <see cref="PolicyOptionException"/> for what cannot be used.</summary>
    /// <param name="path">How messages call the options.</param>
    public void Validate(string path = "update")
    {
        Check(Schedule is not "", "schedule", "it is empty");
        Check(LabelCount >= 0, "label_count", "it must be 0 or more");
        Check(MinimumExamples >= 1, "minimum_examples", "it must be 1 or more");
        Check(FromBaseEvery >= 0, "from_base_every", "it must be 0 or more");
        Check(Epochs is null or (>= 1 and <= 1000), "epochs", "it must be from 1 to 1000");
        Check(LearningRate is null or (>= 0 and <= 1), "learning_rate", "it must be from 0 to 1");
        Check(RatesTried is >= 1 and <= HyperParameters.MostRates, "rates_tried", $"it must be from 1 to {HyperParameters.MostRates}");
        Check(Rank is null or (>= 1 and <= 1024), "rank", "it must be from 1 to 1024");
        Check(Threads is >= 0 and <= 512, "threads", "it must be from 0 to 512");
        Check(Anchor is null or (>= 0 and <= 1000), "anchor", "it must be from 0 to 1000");
        Check(ShadowRequests >= 0, "shadow_requests", "it must be 0 or more");
        Check(GateLabels >= 0, "gate_labels", "it must be 0 or more");
        Check(ShadowLeast >= 0, "shadow_least", "it must be 0 or more");
        Check(CanaryFor >= TimeSpan.Zero && CanaryFor <= TimeSpan.FromDays(365), "canary_hours", "it must be from 0 to 8760");
        Check(ShadowFor >= TimeSpan.Zero && ShadowFor <= TimeSpan.FromDays(365), "shadow_hours", "it must be from 0 to 8760");
        Check(CanaryShare is >= 0.001 and <= 0.9, "canary_share", "it must be from 0.001 to 0.9");
        Check(CanaryRequests >= 0, "canary_requests", "it must be 0 or more");
        Check(WatchRequests >= 0, "watch_requests", "it must be 0 or more");
        Check(KeepAdapters >= 2, "keep_adapters", "it must be 2 or more: the champion and the one to go back to");
        Check(MostTrainingSeconds >= 0, "most_training_seconds", "it must be 0 or more");
        Gate.Validate($"{path}.gate");

        void Check(bool right, string key, string reason)
        {
            if (!right)
            {
                throw new PolicyOptionException($"{path}.{key}", reason);
            }
        }
    }
}
