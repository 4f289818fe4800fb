namespace ContinualNative.Engine;

/// <summary>Totals since the start, and gauges at one moment.</summary>
public sealed record EngineStatistics
{
    /// <summary>Requests waiting for a sequence.</summary>
    public int Queued { get; init; }

    /// <summary>Sequences that run.</summary>
    public int Running { get; init; }

    /// <summary>Cells of the KV cache that hold something.</summary>
    public int KvTokensUsed { get; init; }

    /// <summary>Cells of the KV cache.</summary>
    public int KvTokens { get; init; }

    /// <summary>Prefixes kept by the cache that no running sequence owns, in cells or in host memory.</summary>
    public int CachedPrefixes { get; init; }

    /// <summary>Bytes of host memory that hold cached prefixes.</summary>
    public long PrefixCacheBytes { get; init; }

    /// <summary>Cached prefixes that came back from host memory to the KV cells.</summary>
    public long PrefixesRestored { get; init; }

    /// <summary>Prompt tokens computed.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Prompt tokens taken from the prefix cache instead of being computed.</summary>
    public long CachedPromptTokens { get; init; }

    /// <summary>Tokens generated.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>Steps (calls of <c>llama_decode</c>).</summary>
    public long Steps { get; init; }

    /// <summary>Changes of the context's adapter between steps.</summary>
    public long AdapterSwitches { get; init; }

    /// <summary>Answers and scorings taken into the queue. With nothing queued or running: <see cref="Finished"/> plus <see cref="Cancelled"/>.</summary>
    public long Admitted { get; init; }

    /// <summary>Those of them that ended by themselves, by time or by an error.</summary>
    public long Finished { get; init; }

    /// <summary>Those cancelled by their consumer.</summary>
    public long Cancelled { get; init; }

    /// <summary>Requests refused because the queue was full.</summary>
    public long Refused { get; init; }
}
