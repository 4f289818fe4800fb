using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>All that is known of a run before it begins: its examples cut and split, its batches, its steps, its trainer.</summary>
public sealed class TrainingPlan
{
    // Rows with a loss that a trainer has room for at least, so that the check before training can look at as many.
    private const int LeastTargets = 64;

    private readonly int[] _rows;
    private readonly List<int[]> _validationBatches;

    private TrainingPlan(TrainingOptions options, List<TrainingExample> train, List<TrainingExample> validation, FitCounts counts, FitCounts validationCounts)
    {
        Options = options;
        Train = train;
        Validation = validation;
        Counts = counts;
        ValidationCounts = validationCounts;
        IsDpo = train[0].Rejected is not null;
        _rows = [.. train.Select(static e => e.Rows)];
        _validationBatches = validation.Count == 0 ? [] : Packer.Pack([.. validation.Select(static e => e.Rows)], options.BatchTokens, 0, shuffle: false);
        int targets = Math.Min(LeastTargets, options.BatchTokens);
        int sequences = 1;
        long rows = 0;
        long batches = 0;
        while (options.Steps > 0 ? Steps < options.Steps : Epochs < options.Epochs)
        {
            List<int[]> packed = Pack(Epochs++);
            if (options.Steps > 0 && (options.Steps - Steps) * (long)options.Accumulate < packed.Count)
            {
                packed = packed[..((options.Steps - Steps) * options.Accumulate)];
            }
            batches += packed.Count;
            rows += packed.Sum(b => (long)b.Sum(i => _rows[i]));
            Steps = checked(Steps + StepsOf(packed.Count));
            Measure(packed, train);
        }
        Measure(_validationBatches, validation);
        Fill = (double)rows / (batches * options.BatchTokens);
        Tokens = rows;
        DataHash = Hash(train);
        ValidationHash = Hash(validation);
        MaxTargets = targets;
        MaxSequences = sequences;

        void Measure(List<int[]> packed, List<TrainingExample> examples)
        {
            foreach (int[] batch in packed)
            {
                targets = Math.Max(targets, batch.Sum(i => examples[i].Targets));
                sequences = Math.Max(sequences, batch.Length * (IsDpo ? 2 : 1));
            }
        }
    }

    /// <summary>The options.</summary>
    public TrainingOptions Options { get; }

    /// <summary>Examples to train on.</summary>
    public IReadOnlyList<TrainingExample> Train { get; }

    /// <summary>Examples to validate on; may be empty.</summary>
    public IReadOnlyList<TrainingExample> Validation { get; }

    /// <summary>What was cut and dropped of the training data.</summary>
    public FitCounts Counts { get; }

    /// <summary>What was cut and dropped of the validation file.</summary>
    public FitCounts ValidationCounts { get; }

    /// <summary>Whether the examples are pairs.</summary>
    public bool IsDpo { get; }

    /// <summary>Epochs begun; the last may be cut off.</summary>
    public int Epochs { get; }

    /// <summary>Steps of all epochs.</summary>
    public int Steps { get; }

    /// <summary>Tokens of all epochs.</summary>
    public long Tokens { get; }

    /// <summary>Share of the batches' room that is used, 0 to 1.</summary>
    public double Fill { get; }

    /// <summary>Most rows with a loss in one batch.</summary>
    public int MaxTargets { get; }

    /// <summary>Most sequences in one batch.</summary>
    public int MaxSequences { get; }

    /// <summary>SHA-256 of the training examples as tokens.</summary>
    public string DataHash { get; }

    /// <summary>SHA-256 of the validation examples.</summary>
    internal string ValidationHash { get; }

    internal IReadOnlyList<int[]> ValidationBatches => _validationBatches;

    /// <summary>
    /// Cuts, drops, splits and packs. Throws <see cref="TrainingException"/> (BadOption, BadData).
    /// </summary>
    /// <param name="options">How to train.</param>
    /// <param name="train">All examples, of which <see cref="TrainingOptions.ValidationShare"/> are split off.</param>
    /// <param name="validation">Other examples to validate on, or null.</param>
    public static TrainingPlan Create(TrainingOptions options, IReadOnlyList<TrainingExample> train, IReadOnlyList<TrainingExample>? validation = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(train);
        options.Validate();
        if (validation is not null && options.ValidationShare > 0)
        {
            throw new TrainingException(TrainingError.BadOption, "it and --validation exclude each other; use one of them", "validation-share");
        }
        (List<TrainingExample> fitted, FitCounts counts) = ExampleFitter.Fit(train, options.SequenceLength);
        if (fitted.Count == 0)
        {
            throw new TrainingException(TrainingError.BadData,
                train.Count == 0 ? "There are no examples to train on." : $"There is nothing to train on: all {train.Count} examples have an empty answer or weight 0.", "data");
        }
        List<TrainingExample> held = [];
        FitCounts heldCounts = default;
        if (validation is not null)
        {
            (held, heldCounts) = ExampleFitter.Fit(validation, options.SequenceLength);
            if (held.Count == 0)
            {
                throw new TrainingException(TrainingError.BadData, $"There is nothing to validate on: all {validation.Count} examples have an empty answer or weight 0.", "validation");
            }
        }
        else if (options.ValidationShare > 0)
        {
            (fitted, held) = Split(fitted, options);
        }
        else if (options.Patience > 0)
        {
            throw new TrainingException(TrainingError.BadOption, "stopping early needs data to validate on; add --validation FILE or --validation-share", "patience");
        }
        CheckPairs(options, fitted, held);
        return new TrainingPlan(options, fitted, held, counts, heldCounts);
    }

    /// <summary>The trainer for this plan.</summary>
    public TrainerOptions ToTrainer() => new()
    {
        Mode = Options.Mode,
        Precision = Options.Precision,
        Device = Options.Device,
        Threads = Options.Threads,
        Idle = Options.LowPriority,
        MaxTokens = Options.BatchTokens,
        MaxSequences = MaxSequences,
        MaxLength = Options.SequenceLength,
        MaxTargets = MaxTargets,
        UseReference = IsDpo || Options.Anchor > 0,
        MemoryBudget = Options.MemoryBudget,
        Rank = Options.Rank,
        Alpha = (float)Options.Alpha,
        RsLora = Options.RsLora,
        Dropout = (float)Options.Dropout,
        Targets = Options.Targets,
        BRateRatio = (float)Options.BRateRatio,
        Seed = Options.Seed,
        LearningRate = (float)Options.LearningRate,
        WarmupSteps = (int)Math.Round(Options.Warmup * Steps),
        TotalSteps = Steps,
        MinRateRatio = (float)Options.FinalRate,
        Beta2 = (float)Options.Beta2,
        WeightDecay = (float)Options.WeightDecay,
        ClipNorm = (float)Options.Clip,
    };

    /// <summary>The batches of an epoch, from 0: indexes into <see cref="Train"/>.</summary>
    internal List<int[]> Pack(int epoch) => Packer.Pack(_rows, Options.BatchTokens, unchecked((Options.Seed * 0x9E3779B97F4A7C15) + (ulong)epoch));

    internal int StepsOf(int batches) => (batches + Options.Accumulate - 1) / Options.Accumulate;

    private static (List<TrainingExample> Train, List<TrainingExample> Validation) Split(List<TrainingExample> examples, TrainingOptions options)
    {
        int held = (int)Math.Round(options.ValidationShare * examples.Count);
        if (held == 0 || held == examples.Count)
        {
            throw new TrainingException(TrainingError.BadOption, string.Create(CultureInfo.InvariantCulture, $"{options.ValidationShare} of {examples.Count} examples leaves none on one side; give more data or another share"), "validation-share");
        }
        int[] order = [.. Enumerable.Range(0, examples.Count)];
        new SplitMix64(~options.Seed).Shuffle<int>(order);
        HashSet<int> chosen = [.. order[..held]];
        return ([.. examples.Where((_, i) => !chosen.Contains(i))], [.. examples.Where((_, i) => chosen.Contains(i))]);
    }

    private static void CheckPairs(TrainingOptions options, List<TrainingExample> train, List<TrainingExample> validation)
    {
        bool dpo = train[0].Rejected is not null;
        foreach (TrainingExample example in train.Concat(validation))
        {
            if (example.Rejected is not null != dpo)
            {
                throw new TrainingException(TrainingError.BadData, $"Some examples have a rejected answer and some have none (line {example.Line}); train on pairs and on plain answers one after the other.", "data");
            }
            if (dpo && example.Weight != 1)
            {
                throw new TrainingException(TrainingError.BadData, $"A pair can't be weighted (line {example.Line}): leave out 'weight' where there is 'rejected'.", "data");
            }
        }
        if (dpo && options.Anchor > 0)
        {
            throw new TrainingException(TrainingError.BadOption, "pairs are held to the reference by DPO itself; leave it out", "anchor");
        }
        if (dpo && 2 * options.SequenceLength > options.BatchTokens)
        {
            throw new TrainingException(TrainingError.BadOption, $"a pair of examples of {options.SequenceLength} tokens must fit a batch of {options.BatchTokens}; raise it to {2 * options.SequenceLength}, or lower --seq-len", "batch-tokens");
        }
    }

    private static string Hash(List<TrainingExample> examples)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (TrainingExample example in examples)
        {
            ReadOnlySpan<long> head = [example.Tokens.Length, example.From, BitConverter.DoubleToInt64Bits(example.Weight), example.Rejected?.Length ?? -1, example.RejectedFrom];
            hash.AppendData(MemoryMarshal.AsBytes(head));
            hash.AppendData(MemoryMarshal.AsBytes(example.Tokens.AsSpan()));
            hash.AppendData(MemoryMarshal.AsBytes(example.Rejected.AsSpan()));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
