using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using Microsoft.Extensions.Logging;

namespace ContinualNative.Engine;

/// <summary>One loaded model, served to many callers at once. All members are thread-safe.</summary>
public sealed class InferenceEngine : IAsyncDisposable
{
    /// <summary>Loads the model and starts the engine thread. Throws <see cref="EngineException"/> for a bad file.</summary>
    public static Task<InferenceEngine> LoadAsync(EngineOptions options, ILoggerFactory? loggers = null, IProgress<float>? progress = null, TimeProvider? time = null, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>The options in force, with zeros replaced by what was chosen.</summary>
    public EngineOptions Options => throw new NotSupportedException();

    /// <summary>What is known of the model.</summary>
    public ModelInfo Model => throw new NotSupportedException();

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer => throw new NotSupportedException();

    /// <summary>The model's chat template; null when the file has none.</summary>
    public ChatTemplate? ChatTemplate => throw new NotSupportedException();

    /// <summary>The adapters loaded now.</summary>
    public AdapterManager Adapters => throw new NotSupportedException();

    /// <summary>Counters and gauges at this moment.</summary>
    public EngineStatistics Statistics => throw new NotSupportedException();

    /// <summary>Queues a request. Throws <see cref="EngineException"/> at once for one that can never run, for a full queue and while shutting down.</summary>
    public RunningAnswer Generate(GenerationRequest request, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>One vector of <see cref="ModelInfo.EmbeddingLength"/> floats, of Euclidean length 1, from the bare model.</summary>
    public Task<float[]> EmbedAsync(ReadOnlyMemory<int> tokens, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>
    /// Log-probability of each token from <paramref name="from"/> on, given all before it, under an adapter (null: champion; <c>base</c>: none).
    /// Returns <c>tokens.Length - from</c> floats. <paramref name="from"/> is at least 1.
    /// </summary>
    public Task<float[]> ScoreAsync(ReadOnlyMemory<int> tokens, int from, string? adapter = null, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Refuses new requests and completes when those admitted have ended, or the token is cancelled.</summary>
    public Task DrainAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>Cancels what still runs and frees the model.</summary>
    public ValueTask DisposeAsync() => throw new NotSupportedException();
}
