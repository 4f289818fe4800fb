namespace ContinualNative.Interop.Trainer;

/// <summary>What is trained.</summary>
public enum TrainingMode
{
    /// <summary>Adapters on frozen weights of any supported type.</summary>
    Lora = 0,

    /// <summary>All weights, as copies in F32.</summary>
    Full = 1,
}

/// <summary>How the trainer computes.</summary>
public enum TrainingPrecision
{
    /// <summary>Activations and products in float.</summary>
    F32 = 0,

    /// <summary>Activations and operands in bf16; sums, residual stream, norms and parameters in float.</summary>
    Bf16 = 1,
}

/// <summary>The instruction set of the kernels.</summary>
public enum TrainerInstructions
{
    /// <summary>The best that the processor has.</summary>
    Best = -1,

    /// <summary>Plain C++.</summary>
    Portable = 0,

    /// <summary>AVX2 and FMA.</summary>
    Avx2 = 1,

    /// <summary>AVX-512.</summary>
    Avx512 = 2,

    /// <summary>AVX-512 with bf16 products.</summary>
    Avx512Bf16 = 3,
}

/// <summary>Linear layers that get an adapter.</summary>
[Flags]
public enum LoraTargets
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Queries.</summary>
    Q = 1,

    /// <summary>Keys.</summary>
    K = 2,

    /// <summary>Values.</summary>
    V = 4,

    /// <summary>The attention's output.</summary>
    O = 8,

    /// <summary>The feed-forward part's gate.</summary>
    Gate = 16,

    /// <summary>The feed-forward part's way up.</summary>
    Up = 32,

    /// <summary>The feed-forward part's way down.</summary>
    Down = 64,

    /// <summary>The output projection.</summary>
    Output = 128,

    /// <summary>The seven of a layer.</summary>
    All = 127,
}

/// <summary>How a trainer is made. Ranges are checked by the trainer, which names the option at fault; see <c>cn_trainer_config</c>.</summary>
public sealed record TrainerOptions
{
    /// <summary>What is trained.</summary>
    public TrainingMode Mode { get; init; }

    /// <summary>The GPU that trains, counted from 0; null: the CPU.</summary>
    public int? Device { get; init; }

    /// <summary>Device time that a slice on a GPU takes at most, above zero, as far as work can be cut; null: 2 ms. Means nothing on the CPU, where slices are parts of layers.</summary>
    public TimeSpan? SliceLimit { get; init; }

    /// <summary>How it computes; null: bf16 where the processor multiplies it, as every GPU that can train does, else float.</summary>
    public TrainingPrecision? Precision { get; init; }

    /// <summary>The kernels.</summary>
    public TrainerInstructions Instructions { get; init; } = TrainerInstructions.Best;

    /// <summary>Threads that compute; 0: one per processor.</summary>
    public int Threads { get; init; }

    /// <summary>Whether the threads run only when nothing else wants the processor.</summary>
    public bool Idle { get; init; }

    /// <summary>Most tokens of one batch, all sequences together.</summary>
    public int MaxTokens { get; init; } = 512;

    /// <summary>Most sequences of one batch.</summary>
    public int MaxSequences { get; init; } = 512;

    /// <summary>Most tokens of one sequence; 0: <see cref="MaxTokens"/>.</summary>
    public int MaxLength { get; init; }

    /// <summary>Most tokens of one batch that carry a loss; 0: <see cref="MaxTokens"/>.</summary>
    public int MaxTargets { get; init; }

    /// <summary>Likeliest tokens of a teacher per row; 0: no distillation.</summary>
    public int TeacherTokens { get; init; }

    /// <summary>Whether a reference adapter is kept, for the KL anchor and DPO.</summary>
    public bool UseReference { get; init; }

    /// <summary>Bytes beyond the weights; 0: no limit, or what a GPU has free.</summary>
    public long MemoryBudget { get; init; }

    /// <summary>Rank of the adapters.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>The adapters' scale is this ÷ rank, or ÷ √rank with <see cref="RsLora"/>.</summary>
    public float Alpha { get; init; } = 32;

    /// <summary>Rank-stabilized scale (Kalajdzievski 2023, arXiv 2312.03732).</summary>
    public bool RsLora { get; init; }

    /// <summary>Share of the adapters' inputs that is dropped, 0 ≤ x &lt; 1.</summary>
    public float Dropout { get; init; }

    /// <summary>Layers with an adapter.</summary>
    public LoraTargets Targets { get; init; } = LoraTargets.All;

    /// <summary>Learning rate of B over that of A (LoRA+: Hayou et al. 2024, arXiv 2402.12354).</summary>
    public float BRateRatio { get; init; } = 1;

    /// <summary>Equal seeds give equal runs.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The learning rate after warm-up.</summary>
    public float LearningRate { get; init; } = 2e-4f;

    /// <summary>Steps of linear warm-up from 0.</summary>
    public int WarmupSteps { get; init; }

    /// <summary>The step at which a cosine ends; 0: constant.</summary>
    public int TotalSteps { get; init; }

    /// <summary>Where the cosine ends, as a share of the learning rate.</summary>
    public float MinRateRatio { get; init; }

    /// <summary>AdamW's decay of the first moment.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>AdamW's decay of the second moment.</summary>
    public float Beta2 { get; init; } = 0.999f;

    /// <summary>AdamW's ε.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Decoupled weight decay.</summary>
    public float WeightDecay { get; init; }

    /// <summary>Largest norm of the whole gradient; 0: no clipping.</summary>
    public float ClipNorm { get; init; } = 1;

    /// <summary>What a processor computes in when <see cref="Precision"/> is null.</summary>
    public static TrainingPrecision BestPrecisionOn(int? device) => device is null ? (TrainingPrecision)Defaults().Precision : TrainingPrecision.Bf16;

    internal TrainerConfigNative ToNative()
    {
        TrainerConfigNative config = Defaults();
        config.Mode = (int)Mode;
        config.Precision = (int)(Precision ?? BestPrecisionOn(Device));
        config.Instructions = (int)Instructions;
        config.Threads = Threads;
        config.Scheduling = Idle ? 1 : 0;
        config.MaxTokens = MaxTokens;
        config.MaxSequences = MaxSequences;
        config.MaxLength = MaxLength;
        config.MaxTargets = MaxTargets;
        config.TeacherTokens = TeacherTokens;
        config.UseReference = UseReference ? 1 : 0;
        config.MemoryBudget = MemoryBudget;
        config.Rank = Rank;
        config.Alpha = Alpha;
        config.RsLora = RsLora ? 1 : 0;
        config.Dropout = Dropout;
        config.Targets = (uint)Targets;
        config.BRateRatio = BRateRatio;
        config.Seed = Seed;
        config.LearningRate = LearningRate;
        config.WarmupSteps = WarmupSteps;
        config.TotalSteps = TotalSteps;
        config.MinRateRatio = MinRateRatio;
        config.Beta1 = Beta1;
        config.Beta2 = Beta2;
        config.Epsilon = Epsilon;
        config.WeightDecay = WeightDecay;
        config.ClipNorm = ClipNorm;
        return config;
    }

    private static unsafe TrainerConfigNative Defaults()
    {
        TrainerNative.EnsureLoaded();
        TrainerConfigNative config;
        TrainerNative.Check("cn_trainer_defaults", TrainerNative.cn_trainer_defaults(&config));
        return config;
    }
}
