namespace ContinualNative.Core.Cycles;

/// <summary>How a cycle trains: starting points that are seldom far off, not optima.</summary>
/// <param name="Rank">Rank of the adapter.</param>
/// <param name="Alpha">Its scale times the rank.</param>
/// <param name="LearningRate">After warm-up.</param>
/// <param name="Epochs">How often the data is gone through.</param>
/// <param name="BatchTokens">Most tokens of one batch.</param>
/// <param name="Anchor">Factor of the divergence from the model that training began with; it only matters where that is the champion.</param>
public sealed record HyperParameters(int Rank, double Alpha, double LearningRate, int Epochs, int BatchTokens, double Anchor)
{
    /// <summary>Learning rates that can be tried.</summary>
    public const int MostRates = 5;

    // A tenth of fewer tells two trainings apart by chance.
    private const int FewestSearched = 200;

    // Examples seen in a run, repetitions counted, that epochs aim at: more of the same few is learning by heart.
    private const int Passes = 3000;

    // Steps of an epoch that batches aim at: with fewer, the warm-up is the run.
    private const int StepsPerEpoch = 24;

    // Cautious for two cores; bench/results/training-2026-11-26.md has 380 GFLOP/s of a step.
    private const double FlopsPerSecond = 1.5e11;

    /// <summary>The parameters for a run; what <paramref name="options"/> set is taken as it is.</summary>
    /// <remarks>
    /// <list type="bullet">
    /// <item>Learning rate: 5·10⁻⁴ · (2000 ÷ width)^0.78, from 10⁻⁴ to 3·10⁻³. The best rate of LoRA is about ten times that of full fine-tuning, hardly depends on the rank with α ÷ rank, and falls with the
    /// width (Schulman et al. 2025, "LoRA Without Regret"; this form, and the exponent for Llama models, are in the same authors' Tinker cookbook). 512 elements give 1.4·10⁻³, 2048 give 4.9·10⁻⁴.</item>
    /// <item>Rank: 8 below 200 examples, 16 below 2000, 32 from there on; for few examples capacity is not what is missing (ibid.). At most an eighth of the width, at least 4. α = 2 · rank, as is common.</item>
    /// <item>Epochs: so many that about 3000 examples are seen, 2 to 8; fewer, but one at least, where 4 · parameters · tokens operations (forwards, and backwards without gradients of weights) at a cautious
    /// 150 GFLOP/s would take more than the time that is given.</item>
    /// <item>Batch: 24 to an epoch, at least two examples each, as a power of two from 256 to 4096 tokens; LoRA suffers from large batches more than full training does (ibid.).</item>
    /// <item>Anchor: 0.2 below 200 examples, 0.1 below 2000, 0.05 from there on: the less there is to learn from, the less the model should move. Set by feel; ablations have to say what it is worth.</item>
    /// </list>
    /// </remarks>
    /// <param name="examples">Examples in the data set, 1 or more.</param>
    /// <param name="tokensPerExample">Their mean length, prompts included; above 0.</param>
    /// <param name="width">The model's embedding length.</param>
    /// <param name="parameters">Its weights.</param>
    /// <param name="options">What is set, and the time for training.</param>
    public static HyperParameters For(int examples, double tokensPerExample, int width, long parameters, CycleOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(examples, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(tokensPerExample, 0);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(parameters, 1);
        ArgumentNullException.ThrowIfNull(options);
        int size = examples < 200 ? 0 : examples < 2000 ? 1 : 2;
        int rank = options.Rank ?? Math.Max(Math.Min(8 << size, width / 8), 4);
        double rate = options.LearningRate ?? Math.Clamp(5e-4 * Math.Pow(2000.0 / width, 0.78), 1e-4, 3e-3);
        return new HyperParameters(rank, 2 * rank, rate, options.Epochs ?? EpochsFor(examples, tokensPerExample, parameters, options.MostTrainingSeconds),
            BatchFor(examples, tokensPerExample), options.Anchor ?? 0.2 / (1 << size));
    }

    /// <summary>The learning rates to try, the usual one first: its half and its double, then its quarter and fourfold. Only the first where a rate is set, or with fewer than 200 examples to learn from.</summary>
    public IReadOnlyList<double> Rates(int examples, CycleOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        double[] all = [LearningRate, LearningRate / 2, LearningRate * 2, LearningRate / 4, LearningRate * 4];
        return options.LearningRate is not null || examples < FewestSearched ? all[..1] : all[..options.RatesTried];
    }

    private static int EpochsFor(int examples, double tokensPerExample, long parameters, int mostSeconds)
    {
        int wanted = Math.Clamp((int)Math.Round((double)Passes / examples), 2, 8);
        if (mostSeconds == 0)
        {
            return wanted;
        }
        double epochSeconds = 4.0 * parameters * examples * tokensPerExample / FlopsPerSecond;
        return (int)Math.Clamp(mostSeconds / epochSeconds, 1, wanted);
    }

    private static int BatchFor(int examples, double tokensPerExample)
    {
        double wanted = Math.Max(examples * tokensPerExample / StepsPerEpoch, 2 * tokensPerExample);
        int batch = 256;
        while (batch < 4096 && batch < wanted)
        {
            batch *= 2;
        }
        return batch;
    }
}
