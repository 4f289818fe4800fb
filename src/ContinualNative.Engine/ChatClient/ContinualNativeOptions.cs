namespace ContinualNative.Engine.ChatClient;

/// <summary>Settings of <c>AddContinualNative</c>; what each means is said at the same name in <see cref="EngineOptions"/>.</summary>
public sealed class ContinualNativeOptions
{
    /// <summary>The GGUF file. Required.</summary>
    public string ModelPath { get; set; } = "";

    /// <inheritdoc cref="EngineOptions.ModelName"/>
    public string? ModelName { get; set; }

    /// <inheritdoc cref="EngineOptions.AdapterPath"/>
    public string? AdapterPath { get; set; }

    /// <inheritdoc cref="EngineOptions.Parallel"/>
    public int Parallel { get; set; } = 4;

    /// <inheritdoc cref="EngineOptions.ContextLength"/>
    public int ContextLength { get; set; }

    /// <inheritdoc cref="EngineOptions.KvTokens"/>
    public int KvTokens { get; set; }

    /// <inheritdoc cref="EngineOptions.Threads"/>
    public int Threads { get; set; }

    /// <inheritdoc cref="EngineOptions.ThreadPoll"/>
    public int ThreadPoll { get; set; } = 50;

    /// <inheritdoc cref="EngineOptions.GpuLayers"/>
    public int GpuLayers { get; set; }

    /// <inheritdoc cref="EngineOptions.PrefillChunk"/>
    public int PrefillChunk { get; set; } = 128;

    /// <inheritdoc cref="EngineOptions.BatchTokens"/>
    public int BatchTokens { get; set; } = 512;

    /// <inheritdoc cref="EngineOptions.QueueCapacity"/>
    public int QueueCapacity { get; set; } = 256;

    /// <inheritdoc cref="EngineOptions.PrefixCache"/>
    public bool PrefixCache { get; set; } = true;

    /// <inheritdoc cref="EngineOptions.PrefixCacheMemory"/>
    public long PrefixCacheMemory { get; set; } = 512L << 20;

    /// <inheritdoc cref="EngineOptions.PrefixCacheShare"/>
    public double? PrefixCacheShare { get; set; }

    /// <inheritdoc cref="EngineOptions.ExactAttention"/>
    public bool ExactAttention { get; set; }

    /// <inheritdoc cref="EngineOptions.RequestTimeout"/>
    public TimeSpan? RequestTimeout { get; set; }

    /// <summary>How long a stopping host lets answers finish before it cancels them.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The same as the engine takes it; checks nothing.</summary>
    public EngineOptions ToEngineOptions() => new()
    {
        ModelPath = ModelPath,
        ModelName = ModelName,
        AdapterPath = AdapterPath,
        Parallel = Parallel,
        ContextLength = ContextLength,
        KvTokens = KvTokens,
        Threads = Threads,
        ThreadPoll = ThreadPoll,
        GpuLayers = GpuLayers,
        PrefillChunk = PrefillChunk,
        BatchTokens = BatchTokens,
        QueueCapacity = QueueCapacity,
        PrefixCache = PrefixCache,
        PrefixCacheMemory = PrefixCacheMemory,
        PrefixCacheShare = PrefixCacheShare,
        ExactAttention = ExactAttention,
        RequestTimeout = RequestTimeout,
    };

    internal void Validate()
    {
        if (string.IsNullOrWhiteSpace(ModelPath))
        {
            throw new ArgumentException($"{nameof(ModelPath)} is missing; it must name a GGUF file.");
        }
        if (DrainTimeout < TimeSpan.Zero)
        {
            throw new ArgumentException($"{nameof(DrainTimeout)} is {DrainTimeout}; it must not be negative.");
        }
        ToEngineOptions().Validate();
    }
}
