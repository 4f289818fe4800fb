using ContinualNative.Core.Adapters;
using Microsoft.Extensions.AI;

namespace ContinualNative.Engine.ChatClient;

/// <summary>
/// Embeddings of texts by the bare model, of Euclidean length 1, as <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/>. Thread-safe. Disposing it leaves the
/// engine running.
/// </summary>
public sealed class ContinualEmbeddingGenerator : IEmbeddingGenerator<string, Embedding<float>>
{
    // The engine computes one text at a time; a few in its queue keep it busy, and a large list does not crowd others out.
    private const int InFlight = 8;

    private readonly Func<CancellationToken, ValueTask<InferenceEngine>> _engine;
    private readonly Func<InferenceEngine?> _loaded;
    private readonly Func<string> _modelName;
    private readonly TimeProvider _time;

    /// <summary>A generator on a loaded engine, which it does not own.</summary>
    public ContinualEmbeddingGenerator(InferenceEngine engine, TimeProvider? time = null)
        : this(_ => ValueTask.FromResult(engine), () => engine, () => engine.Model.Name, time) => ArgumentNullException.ThrowIfNull(engine);

    internal ContinualEmbeddingGenerator(Func<CancellationToken, ValueTask<InferenceEngine>> engine, Func<InferenceEngine?> loaded, Func<string> modelName, TimeProvider? time)
    {
        _engine = engine;
        _loaded = loaded;
        _modelName = modelName;
        _time = time ?? TimeProvider.System;
    }

    /// <summary>
    /// One vector for each text, in order. Throws <see cref="ArgumentException"/> for an empty text, <see cref="EngineException"/> for one that is too long,
    /// <see cref="NotSupportedException"/> for dimensions other than the model's and for adapters.
    /// </summary>
    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        InferenceEngine engine = await _engine(cancellationToken);
        ModelAddress address = engine.Resolve(options?.ModelId);
        if (address.Adapter is { } adapter && adapter != ModelAddress.Base)
        {
            throw new NotSupportedException($"Embeddings come from the bare model; ask for '{engine.Model.Name}', not for the adapter '{adapter}'.");
        }
        if (options?.Dimensions is { } dimensions && dimensions != engine.Model.EmbeddingLength)
        {
            throw new NotSupportedException($"Dimensions is {dimensions}, but this model's vectors have {engine.Model.EmbeddingLength}; shortened ones would be of lower quality without saying so.");
        }
        // Text to be embedded is content, not a prompt: control tokens in it are plain text.
        int[][] inputs =
        [
            .. values.Select((text, i) => string.IsNullOrEmpty(text)
                ? throw new ArgumentException($"Text {i} is empty; there is nothing to embed.", nameof(values))
                : engine.Tokenizer.Encode(text, addSpecial: true, parseSpecial: false, engine.MaxEmbeddingTokens)),
        ];
        float[][] vectors = new float[inputs.Length][];
        await Parallel.ForAsync(0, inputs.Length, new ParallelOptions { MaxDegreeOfParallelism = InFlight, CancellationToken = cancellationToken }, async (i, token) =>
            vectors[i] = await engine.EmbedAsync(inputs[i], token));
        long tokens = inputs.Sum(static t => (long)t.Length);
        DateTimeOffset now = _time.GetUtcNow();
        return new GeneratedEmbeddings<Embedding<float>>(vectors.Select(v => new Embedding<float>(v) { ModelId = engine.Model.Name, CreatedAt = now }))
        {
            Usage = new UsageDetails { InputTokenCount = tokens, TotalTokenCount = tokens },
        };
    }

    /// <summary>This generator, its <see cref="EmbeddingGeneratorMetadata"/>, or the <see cref="InferenceEngine"/> (null while it loads).</summary>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(EmbeddingGeneratorMetadata) ? new EmbeddingGeneratorMetadata(ContinualChatClient.ProviderName, null, _modelName(), _loaded()?.Model.EmbeddingLength)
            : serviceType == typeof(InferenceEngine) ? _loaded()
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <summary>Nothing: the engine belongs to whoever loaded it.</summary>
    public void Dispose()
    {
    }
}
