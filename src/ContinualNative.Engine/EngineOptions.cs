namespace ContinualNative.Engine;

/// <summary>How a model is loaded and served. <see cref="Validate"/> names the option that is wrong.</summary>
public sealed record EngineOptions
{
    /// <summary>llama.cpp's own default of <see cref="ThreadPoll"/>.</summary>
    public const int DefaultThreadPoll = 50;

    /// <summary>The GGUF file.</summary>
    public required string ModelPath { get; init; }

    /// <summary>The name that requests use; by default the file's name without its extension.</summary>
    public string? ModelName { get; init; }

    /// <summary>An adapter (GGUF LoRA) that becomes the champion at start, or null.</summary>
    public string? AdapterPath { get; init; }

    /// <summary>Sequences that run at the same time.</summary>
    public int Parallel { get; init; } = 4;

    /// <summary>Longest prompt plus answer of one sequence, in tokens; 0: the model's own, at most 4096.</summary>
    public int ContextLength { get; init; }

    /// <summary>Cells of the KV cache, in tokens, shared by running sequences and cached prefixes; 0: <see cref="Parallel"/> × <see cref="ContextLength"/>.</summary>
    public int KvTokens { get; init; }

    /// <summary>Threads that compute; 0: one per physical core.</summary>
    public int Threads { get; init; }

    /// <summary>How eagerly idle compute threads spin before they sleep, 0 (never) to 100. 0 leaves the cores to a trainer.</summary>
    public int ThreadPoll { get; init; } = DefaultThreadPoll;

    /// <summary>Layers to put on the GPU; 0: none, −1: all.</summary>
    public int GpuLayers { get; init; }

    /// <summary>Most prompt tokens that one step computes while other sequences wait for their next token.</summary>
    public int PrefillChunk { get; init; } = 128;

    /// <summary>Most tokens of one step (<c>n_batch</c> and <c>n_ubatch</c>).</summary>
    public int BatchTokens { get; init; } = 512;

    /// <summary>Requests that may wait; one more is refused (HTTP 429).</summary>
    public int QueueCapacity { get; init; } = 256;

    /// <summary>Whether KV of earlier prompts is kept for requests that begin alike.</summary>
    public bool PrefixCache { get; init; } = true;

    /// <summary>
    /// Bytes of host memory for cached prefixes that no running sequence uses; 0: none. They leave the KV cells for it, and come back when a prompt begins
    /// with them. Models with a sliding window have none: their windows can't be saved whole.
    /// </summary>
    public long PrefixCacheMemory { get; init; } = 512L << 20;

    /// <summary>
    /// Share of the KV cells that idle cached prefixes may stay in, 0 to 1; null: 0 where they have host memory to go to, else 0.25. More spares copies; but
    /// llama.cpp looks at every used cell for every token, so idle ones slow all running sequences down.
    /// </summary>
    public double? PrefixCacheShare { get; init; }

    /// <summary>Longest time from arrival to the last token, unless the request sets its own; null: unlimited.</summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>
    /// KV cache in F32 and attention without its fused form: slower, but a token's logits then hardly depend on what else is in its batch (2e-5 instead
    /// of 2e-2 on F32 weights), which tests that compare answers need.
    /// </summary>
    public bool ExactAttention { get; init; }

    /// <summary>Checks ranges; throws <see cref="ArgumentException"/> naming the option.</summary>
    public void Validate()
    {
        ArgumentException.ThrowIfNullOrEmpty(ModelPath);
        Range(nameof(Parallel), Parallel, 1, 128);
        Range(nameof(ContextLength), ContextLength, 0, 1 << 22);
        Range(nameof(KvTokens), KvTokens, 0, 1 << 26);
        Range(nameof(Threads), Threads, 0, 512);
        Range(nameof(ThreadPoll), ThreadPoll, 0, 100);
        Range(nameof(GpuLayers), GpuLayers, -1, 100_000);
        Range(nameof(BatchTokens), BatchTokens, 16, 16384);
        Range(nameof(PrefillChunk), PrefillChunk, 1, BatchTokens);
        Range(nameof(QueueCapacity), QueueCapacity, 1, 1_000_000);
        if (PrefixCacheMemory is < 0 or > 1L << 44)
        {
            throw new ArgumentException($"{nameof(PrefixCacheMemory)} is {PrefixCacheMemory}; it must lie between 0 and {1L << 44} bytes.");
        }
        if (PrefixCacheShare is not (null or (>= 0 and <= 1)))
        {
            throw new ArgumentException($"{nameof(PrefixCacheShare)} is {PrefixCacheShare}; it must lie between 0 and 1.");
        }
        if (RequestTimeout is { } timeout && timeout <= TimeSpan.Zero)
        {
            throw new ArgumentException($"{nameof(RequestTimeout)} is {timeout}; it must be positive.");
        }
    }

    private static void Range(string name, int value, int low, int high)
    {
        if (value < low || value > high)
        {
            throw new ArgumentException($"{name} is {value}; it must lie between {low} and {high}.");
        }
    }
}
