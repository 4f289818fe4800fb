using System.Globalization;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>How a run trains. <see cref="Validate"/> names the option that is wrong as the command line spells it.</summary>
public sealed record TrainingOptions
{
    /// <summary>Adapters on frozen weights, or all weights.</summary>
    public TrainingMode Mode { get; init; }

    /// <summary>Longest example in tokens; longer ones are cut.</summary>
    public int SequenceLength { get; init; } = 256;

    /// <summary>Most tokens of one batch.</summary>
    public int BatchTokens { get; init; } = 512;

    /// <summary>How often the data is gone through.</summary>
    public int Epochs { get; init; } = 3;

    /// <summary>Steps of the whole run, for which as many epochs are begun as it takes; 0: <see cref="Epochs"/> decide.</summary>
    public int Steps { get; init; }

    /// <summary>Batches to a step.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>Equal seeds, data and options give equal adapters, byte for byte.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Rank of the adapters.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>Their scale, times the rank.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Scale by the root of the rank instead.</summary>
    public bool RsLora { get; init; }

    /// <summary>Layers that get an adapter.</summary>
    public LoraTargets Targets { get; init; } = LoraTargets.All;

    /// <summary>Learning rate after warm-up.</summary>
    public double LearningRate { get; init; } = 2e-4;

    /// <summary>Learning rate of B over that of A.</summary>
    public double BRateRatio { get; init; } = 1;

    /// <summary>Share of all steps in which the learning rate grows linearly from 0.</summary>
    public double Warmup { get; init; } = 0.05;

    /// <summary>The share of the learning rate at which the cosine ends.</summary>
    public double FinalRate { get; init; } = 0.1;

    /// <summary>Share of the adapters' inputs dropped in training.</summary>
    public double Dropout { get; init; }

    /// <summary>AdamW's decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>AdamW's decoupled weight decay.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Largest norm of a step's gradient; 0: no clipping.</summary>
    public double Clip { get; init; } = 1;

    /// <summary>null: bf16 where the processor multiplies it, else F32.</summary>
    public TrainingPrecision? Precision { get; init; }

    /// <summary>The GPU that trains, counted from 0; null: the CPU.</summary>
    public int? Device { get; init; }

    /// <summary>Threads that compute; 0: one per processor. Does not change results.</summary>
    public int Threads { get; init; }

    /// <summary>Whether the threads run only when nothing else wants the processor.</summary>
    public bool LowPriority { get; init; }

    /// <summary>Bytes beyond the mapped model; 0: no limit.</summary>
    public long MemoryBudget { get; init; }

    /// <summary>Share of the examples that is split off for validation, by the seed; 0: none.</summary>
    public double ValidationShare { get; init; }

    /// <summary>Steps between validations; 0: one after each epoch.</summary>
    public int ValidationEvery { get; init; }

    /// <summary>Validations without a new best after which training stops; 0: never.</summary>
    public int Patience { get; init; }

    /// <summary>Factor of KL(reference ‖ model), which holds the model to the adapter it began with; 0: none.</summary>
    public double Anchor { get; init; }

    /// <summary>DPO's β, for data with rejected answers.</summary>
    public double DpoBeta { get; init; } = 0.1;

    /// <summary>Time between checkpoints.</summary>
    public TimeSpan CheckpointEvery { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Steps skipped in a row for a gradient that is not finite after which training gives up.</summary>
    public int MostSkipped { get; init; } = 5;

    /// <summary>Options of the caller's own that change the result, by name: a checkpoint must agree with them too.</summary>
    public IReadOnlyDictionary<string, string> Others { get; init; } = new Dictionary<string, string>();

    /// <summary>Throws <see cref="TrainingException"/> (BadOption).</summary>
    public void Validate()
    {
        Between("seq-len", SequenceLength, 2, 1 << 20);
        Between("batch-tokens", BatchTokens, 2, 1 << 22);
        if (SequenceLength > BatchTokens)
        {
            throw Wrong("seq-len", $"{SequenceLength} is more than a batch's {BatchTokens} tokens, so that a long example would fit none; lower it, or raise --batch-tokens");
        }
        Between("epochs", Epochs, 1, 100_000);
        Between("steps", Steps, 0, 10_000_000);
        Between("accumulate", Accumulate, 1, 1 << 20);
        Between("rank", Rank, 1, 1024);
        Between("alpha", Alpha, 1e-6, 1e6);
        if ((Targets & ~(LoraTargets.All | LoraTargets.Output)) != 0 || Targets == LoraTargets.None)
        {
            throw Wrong("targets", "at least one layer needs an adapter; there are q, k, v, o, gate, up, down and output");
        }
        Between("lr", LearningRate, 0, 100);
        Between("b-rate-ratio", BRateRatio, 1e-3, 1e3);
        Between("warmup", Warmup, 0, 1);
        Between("final-rate", FinalRate, 0, 1);
        Between("dropout", Dropout, 0, 0.99);
        Between("beta2", Beta2, 0, 0.999999);
        Between("weight-decay", WeightDecay, 0, 10);
        Between("clip", Clip, 0, 1e9);
        Between("device", Device ?? 0, 0, 1023);
        Between("threads", Threads, 0, 512);
        Between("memory-budget", MemoryBudget, 0, long.MaxValue);
        Between("validation-share", ValidationShare, 0, 0.9);
        Between("validation-every", ValidationEvery, 0, int.MaxValue);
        Between("patience", Patience, 0, int.MaxValue);
        Between("anchor", Anchor, 0, 1e6);
        Between("dpo-beta", DpoBeta, 1e-6, 1e3);
        Between("checkpoint-every", CheckpointEvery.TotalSeconds, 0, 1e7);
        Between("most-skipped", MostSkipped, 1, int.MaxValue);
    }

    /// <summary>Whatever changes the result, by its option's name, as text: what a checkpoint must agree with.</summary>
    internal SortedDictionary<string, string> Significant()
    {
        SortedDictionary<string, string> options = new(StringComparer.Ordinal)
        {
            ["mode"] = Mode.ToString().ToLowerInvariant(),
            ["seq-len"] = Text(SequenceLength),
            ["batch-tokens"] = Text(BatchTokens),
            ["epochs"] = Text(Epochs),
            ["steps"] = Text(Steps),
            ["accumulate"] = Text(Accumulate),
            ["seed"] = Text(Seed),
            ["rank"] = Text(Rank),
            ["alpha"] = Text(Alpha),
            ["rs-lora"] = RsLora ? "yes" : "no",
            ["targets"] = Targets.ToString().ToLowerInvariant(),
            ["lr"] = Text(LearningRate),
            ["b-rate-ratio"] = Text(BRateRatio),
            ["warmup"] = Text(Warmup),
            ["final-rate"] = Text(FinalRate),
            ["dropout"] = Text(Dropout),
            ["beta2"] = Text(Beta2),
            ["weight-decay"] = Text(WeightDecay),
            ["clip"] = Text(Clip),
            ["precision"] = (Precision ?? TrainerOptions.BestPrecisionOn(Device)).ToString().ToLowerInvariant(),
            ["memory-budget"] = Text(MemoryBudget),
            ["validation-share"] = Text(ValidationShare),
            ["validation-every"] = Text(ValidationEvery),
            ["patience"] = Text(Patience),
            ["anchor"] = Text(Anchor),
            ["dpo-beta"] = Text(DpoBeta),
        };
        if (Device is not null)
        {
            // The sums of a GPU are in another order; which GPU it is does not matter.
            options.Add("device", "gpu");
        }
        foreach ((string option, string value) in Others)
        {
            options.Add(option, value);
        }
        return options;
    }

    private static string Text(IFormattable value) => value.ToString(null, CultureInfo.InvariantCulture);

    private static void Between(string option, double value, double low, double high)
    {
        if (!(value >= low && value <= high))
        {
            throw Wrong(option, string.Create(CultureInfo.InvariantCulture, $"{value} does not lie between {low} and {high}"));
        }
    }

    private static TrainingException Wrong(string option, string reason) => new(TrainingError.BadOption, reason, option);
}
