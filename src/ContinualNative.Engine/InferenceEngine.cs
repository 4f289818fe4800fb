using System.Diagnostics;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Constraints;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Gguf;
using ContinualNative.Engine.Models;
using ContinualNative.Engine.Sampling;
using ContinualNative.Engine.Scheduling;
using ContinualNative.Interop.Llama;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ContinualNative.Engine;

/// <summary>One loaded model, served to many callers at once. All members are thread-safe.</summary>
public sealed partial class InferenceEngine : IAsyncDisposable
{
    private const int DefaultContext = 4096;
    private const int MostTopLogProbs = 20;
    private const int MostStops = 64;
    private const float MostBias = 1000f;

    private readonly LlamaModelHandle _model;
    private readonly LlamaContextHandle? _context;
    private readonly LlamaThreadpool _threadpool;
    private readonly EmbeddingRunner _embeddings;
    private readonly Scheduler _scheduler;
    private int _disposed;

    private InferenceEngine(
        EngineOptions options,
        ModelInfo info,
        GgufFile file,
        LlamaModelHandle model,
        LlamaContextHandle context,
        LlamaThreadpool threadpool,
        int maxOutputs,
        ILoggerFactory loggers,
        TimeProvider time)
    {
        Options = options;
        Model = info;
        _model = model;
        _context = context;
        _threadpool = threadpool;
        Text = new ModelText(model, info.Name, info.ContextLength, owned: false);
        if (Text.ChatTemplateError is { } reason)
        {
            LogTemplateBroken(loggers.CreateLogger<InferenceEngine>(), reason);
        }
        Scheduler? scheduler = null;
        Adapters = new AdapterManager(model, file, time, version => scheduler!.Retire(version));
        _embeddings = new EmbeddingRunner(model, options, threadpool, isEncoder: !info.CanGenerate);
        _scheduler = scheduler = new Scheduler(
            options, context, Tokenizer, Adapters, _embeddings, canCachePrefixes: !model.HasRecurrentMemory && context.HasMemory, maxOutputs, loggers.CreateLogger<Scheduler>());
        _embeddings.OnJob(_scheduler.Wake);
    }

    /// <summary>The options in force, with zeros replaced by what was chosen.</summary>
    public EngineOptions Options { get; }

    /// <summary>What is known of the model.</summary>
    public ModelInfo Model { get; }

    /// <summary>The model's vocabulary and chat template.</summary>
    public ModelText Text { get; }

    /// <summary>Where each of the model's weights lies while the engine lives. Takes one decode of one token in a context of its own, beside what the engine does. Throws <see cref="LlamaException"/>.</summary>
    public IReadOnlyList<LlamaWeight> Weights() => LlamaWeights.Of(_model);

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer => Text.Tokenizer;

    /// <summary>The model's chat template; null when the file has none.</summary>
    public ChatTemplate? ChatTemplate => Text.ChatTemplate;

    /// <summary>Why <see cref="ChatTemplate"/> is null although the file has one; else null.</summary>
    public string? ChatTemplateError => Text.ChatTemplateError;

    /// <summary>The template's text, or null.</summary>
    public string? ChatTemplateSource => Text.ChatTemplateSource;

    /// <summary>The adapters loaded now.</summary>
    public AdapterManager Adapters { get; }

    /// <summary>Counters and gauges at this moment.</summary>
    public EngineStatistics Statistics => _scheduler.Statistics;

    /// <summary>Longest text that <see cref="EmbedAsync"/> takes, in tokens.</summary>
    public int MaxEmbeddingTokens => _embeddings.MaxTokens;

    /// <summary>Managed bytes that the engine thread has allocated since its start; for the test that the token loop allocates nothing.</summary>
    internal long EngineThreadAllocatedBytes => _scheduler.AllocatedBytes;

    /// <summary>
    /// Loads the model and starts the engine thread. <paramref name="progress"/> gets 0 to 1. Throws <see cref="EngineException"/> (BadFile) for a file that
    /// can't be served, <see cref="LlamaLibraryException"/> when llama.cpp is missing, <see cref="ArgumentException"/> for a wrong option.
    /// </summary>
    public static Task<InferenceEngine> LoadAsync(
        EngineOptions options,
        ILoggerFactory? loggers = null,
        IProgress<float>? progress = null,
        TimeProvider? time = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        // Loading is long and native: off the caller's thread.
        return Task.Run(() => LoadCoreAsync(options, loggers ?? NullLoggerFactory.Instance, progress, time ?? TimeProvider.System, cancellationToken), cancellationToken);
    }

    /// <summary>Queues a request. Throws <see cref="EngineException"/> at once for one that can never run, for a full queue and while shutting down.</summary>
    public RunningAnswer Generate(GenerationRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        ThrowIfCannotGenerate();
        cancellationToken.ThrowIfCancellationRequested();
        ReadOnlySpan<int> prompt = request.Prompt.Span;
        CheckTokens(prompt, "prompt");
        if (prompt.Length >= Options.ContextLength)
        {
            throw new EngineException(EngineError.ContextLengthExceeded,
                $"The prompt has {prompt.Length} tokens, and the context of {Options.ContextLength} must hold it and at least one token of the answer. Shorten the prompt, or serve the model with a larger --ctx.", "messages");
        }
        if (request.MaxTokens is < 1)
        {
            throw new EngineException(EngineError.InvalidRequest, $"max_tokens is {request.MaxTokens}; it must be at least 1.", "max_tokens");
        }
        CheckSampling(request);
        int maxTokens = Math.Min(request.MaxTokens ?? int.MaxValue, Options.ContextLength - prompt.Length);
        AdapterVersion? version = request.Adapter is null ? null : Adapters.Acquire(request.Adapter);
        LlamaGrammar? grammar = null;
        try
        {
            grammar = request.Grammar is { } gbnf ? NewGrammar(gbnf) : null;
            int[] tokens = new int[prompt.Length + maxTokens];
            prompt.CopyTo(tokens);
            RunningAnswer answer = new(request.TopLogProbs, _ => _scheduler.Wake(), request.EarlyTokens);
            long now = Stopwatch.GetTimestamp();
            Sequence sequence = new()
            {
                Tokens = tokens,
                Count = prompt.Length,
                PromptLength = prompt.Length,
                MaxTokens = maxTokens,
                AdapterName = request.Adapter,
                Version = version,
                ArrivedAt = now,
                Deadline = Deadline(now, request.Timeout ?? Options.RequestTimeout),
                Answer = answer,
                Sampler = new TokenSampler(request.Sampling, grammar, maxTokens),
                Assembler = new TextAssembler(request.Stop, Tokenizer.LongestToken),
                IgnoreEnd = request.IgnoreEnd,
                ShowSpecial = request.ShowSpecialTokens,
                ComputesAll = request.ComputeWholePrompt,
            };
            _scheduler.Submit(sequence);
            answer.CancelWith(cancellationToken);
            return answer;
        }
        catch
        {
            version?.Release();
            grammar?.Dispose();
            throw;
        }
    }

    /// <summary>
    /// One vector of <see cref="ModelInfo.EmbeddingLength"/> floats, of Euclidean length 1, from the bare model: pooled as the model's file says, the mean over
    /// all tokens where it says nothing.
    /// </summary>
    public Task<float[]> EmbedAsync(ReadOnlyMemory<int> tokens, CancellationToken cancellationToken = default)
    {
        CheckTokens(tokens.Span, "input");
        return tokens.Length > MaxEmbeddingTokens
            ? throw new EngineException(EngineError.ContextLengthExceeded, $"The input has {tokens.Length} tokens; an embedding takes at most {MaxEmbeddingTokens}. Split it.", "input")
            : _embeddings.SubmitAsync(tokens, cancellationToken);
    }

    /// <summary>
    /// Log-probability of each token from <paramref name="from"/> on, given all before it, under an adapter (null: champion; <c>base</c>: none).
    /// Returns <c>tokens.Length - from</c> floats. <paramref name="from"/> is at least 1.
    /// </summary>
    public async Task<float[]> ScoreAsync(ReadOnlyMemory<int> tokens, int from, string? adapter = null, CancellationToken cancellationToken = default)
    {
        ThrowIfCannotGenerate();
        CheckTokens(tokens.Span, "tokens");
        if (from < 1 || from >= tokens.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(from), from, $"The first scored token must lie between 1 and {tokens.Length - 1}.");
        }
        if (tokens.Length > Options.ContextLength)
        {
            throw new EngineException(EngineError.ContextLengthExceeded, $"The text has {tokens.Length} tokens; the context holds {Options.ContextLength}.", "tokens");
        }
        AdapterVersion? version = adapter is null ? null : Adapters.Acquire(adapter);
        ScoreTarget target = new(from, tokens.Length - from);
        long now = Stopwatch.GetTimestamp();
        try
        {
            _scheduler.Submit(new Sequence
            {
                Tokens = tokens.ToArray(),
                Count = tokens.Length,
                PromptLength = tokens.Length,
                MaxTokens = 0,
                AdapterName = adapter,
                Version = version,
                ArrivedAt = now,
                Deadline = long.MaxValue,
                Score = target,
            });
        }
        catch
        {
            version?.Release();
            throw;
        }
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(
            static state =>
            {
                (ScoreTarget target, Scheduler scheduler) = ((ScoreTarget, Scheduler))state!;
                target.Cancel();
                scheduler.Wake();
            },
            (target, _scheduler));
        return await target.Completion.Task;
    }

    /// <summary>Refuses new requests and completes when those admitted have ended, or the token is cancelled.</summary>
    public Task DrainAsync(CancellationToken cancellationToken) => _scheduler.DrainAsync().WaitAsync(cancellationToken);

    /// <summary>What a request's model name means: this model (an empty name too) and one of its loaded adapters. Throws NotFound, naming what there is.</summary>
    public ModelAddress Resolve(string? model)
    {
        ModelAddress address = ModelAddress.Parse(model);
        if (address.Model.Length > 0 && address.Model != Model.Name)
        {
            // The name itself may hold an '@'.
            return model == Model.Name
                ? new ModelAddress(Model.Name, null)
                : throw new EngineException(EngineError.NotFound, $"There is no model '{address.Model}'; this is '{Model.Name}'.", "model");
        }
        if (address.Adapter is { } adapter && adapter != ModelAddress.Base)
        {
            Adapters.Acquire(adapter).Release();
        }
        return address;
    }

    /// <summary>Checks a GBNF grammar against the vocabulary; throws <see cref="EngineException"/> (InvalidRequest).</summary>
    public void CheckGrammar(string gbnf) => NewGrammar(gbnf).Dispose();

    /// <summary>Cancels what still runs and frees the model.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }
        await _scheduler.StopAsync();
        _scheduler.Dispose();
        _embeddings.Dispose();
        _context?.Dispose();
        _threadpool.Dispose();
        _model.Dispose();
    }

    private static async Task<InferenceEngine> LoadCoreAsync(EngineOptions options, ILoggerFactory loggers, IProgress<float>? progress, TimeProvider time, CancellationToken cancellationToken)
    {
        LlamaLibrary.EnsureLoaded();
        LlamaLogBridge.Connect(loggers);
        string path = Path.GetFullPath(options.ModelPath);
        // Read and checked by managed code first: llama.cpp ends the process over some files that this refuses.
        GgufFile file = ModelFile.Read(path);
        if (file.IsAdapter)
        {
            throw new EngineException(EngineError.BadFile, $"'{path}' is an adapter, not a model. Serve its base model with --adapter '{path}'.");
        }
        LlamaModelHandle? model = null;
        LlamaThreadpool? threadpool = null;
        LlamaContextHandle? context = null;
        InferenceEngine? engine = null;
        try
        {
            model = LlamaModelHandle.Load(path, options.GpuLayers, progress: p =>
            {
                progress?.Report(p);
                return !cancellationToken.IsCancellationRequested;
            });
            EngineOptions resolved = Resolve(options, model);
            threadpool = new LlamaThreadpool(resolved.Threads, resolved.ThreadPoll);
            int maxOutputs = Math.Max(resolved.Parallel, Math.Min(64, resolved.BatchTokens));
            context = LlamaContextHandle.Create(
                model,
                new LlamaContextOptions
                {
                    KvTokens = resolved.KvTokens,
                    MaxSequences = resolved.Parallel,
                    MaxOutputs = maxOutputs,
                    BatchTokens = resolved.BatchTokens,
                    Threads = resolved.Threads,
                    ExactAttention = resolved.ExactAttention,
                },
                threadpool);
            ModelInfo info = new()
            {
                Name = resolved.ModelName!,
                Path = path,
                Architecture = file.Architecture,
                Description = model.Description,
                Parameters = model.Parameters,
                Bytes = model.Bytes,
                TrainedContext = model.TrainedContext,
                ContextLength = resolved.ContextLength,
                EmbeddingLength = model.EmbeddingLength,
                VocabularySize = model.Vocabulary.Size,
                CanGenerate = context.HasMemory && model.HasDecoder && !model.HasEncoder && !model.IsDiffusion && model.Vocabulary.Exists,
                LoadedAt = time.GetUtcNow(),
            };
            engine = new InferenceEngine(resolved, info, file, model, context, threadpool, maxOutputs, loggers, time);
            if (resolved.AdapterPath is { } adapter)
            {
                string id = Path.GetFileNameWithoutExtension(adapter);
                id = ModelAddress.IsValidAdapterId(id) ? id : "adapter";
                await engine.Adapters.LoadAsync(id, adapter, cancellationToken);
                engine.Adapters.Promote(id);
            }
            return engine;
        }
        catch (Exception e)
        {
            if (engine is not null)
            {
                await engine.DisposeAsync();
            }
            else
            {
                context?.Dispose();
                threadpool?.Dispose();
                model?.Dispose();
            }
            cancellationToken.ThrowIfCancellationRequested();
            if (e is LlamaException)
            {
                throw new EngineException(EngineError.BadFile, e.Message, "model", e);
            }
            throw;
        }
    }

    private static EngineOptions Resolve(EngineOptions options, LlamaModelHandle model)
    {
        int trained = Math.Max(model.TrainedContext, 1);
        int context = options.ContextLength == 0 ? Math.Min(trained, DefaultContext) : options.ContextLength;
        if (context > trained)
        {
            throw new EngineException(EngineError.InvalidRequest, $"A context of {context} tokens was asked for, but the model was trained for {trained}. Use --ctx {trained} or less.", "ctx");
        }
        int kv = options.KvTokens == 0 ? context * options.Parallel : options.KvTokens;
        if (kv < context)
        {
            throw new EngineException(EngineError.InvalidRequest, $"The KV cache of {kv} tokens can't hold one context of {context}. Raise --kv-tokens or lower --ctx.", "kv-tokens");
        }
        // Of a sliding-window layer, llama.cpp saves the window before the last token only, and a shorter match needs what lay before it.
        long memory = options.PrefixCache && model.SlidingWindow == 0 ? options.PrefixCacheMemory : 0;
        return options with
        {
            ModelName = options.ModelName ?? Path.GetFileNameWithoutExtension(options.ModelPath),
            ContextLength = context,
            KvTokens = kv,
            Threads = options.Threads == 0 ? Processor.PhysicalCores() : options.Threads,
            BatchTokens = Math.Max(options.BatchTokens, options.Parallel),
            PrefixCacheMemory = memory,
            PrefixCacheShare = options.PrefixCacheShare ?? (memory > 0 ? 0 : 0.25),
        };
    }

    private static long Deadline(long now, TimeSpan? timeout) =>
        timeout is { } t ? now + (long)(Math.Min(t.TotalSeconds, 1e9) * Stopwatch.Frequency) : long.MaxValue;

    private void CheckSampling(GenerationRequest request)
    {
        SamplingOptions s = request.Sampling;
        Check(s.Temperature is >= 0 and <= 100, "temperature", s.Temperature, "0 to 100");
        Check(s.TopP is >= 0 and <= 1, "top_p", s.TopP, "0 to 1");
        Check(s.MinP is >= 0 and <= 1, "min_p", s.MinP, "0 to 1");
        Check(s.TopK >= 0, "top_k", s.TopK, "0 or more");
        Check(s.PresencePenalty is >= -2 and <= 2, "presence_penalty", s.PresencePenalty, "-2 to 2");
        Check(s.FrequencyPenalty is >= -2 and <= 2, "frequency_penalty", s.FrequencyPenalty, "-2 to 2");
        Check(s.RepeatPenalty is > 0 and <= 10, "repeat_penalty", s.RepeatPenalty, "above 0, at most 10");
        Check(request.TopLogProbs is >= -1 and <= MostTopLogProbs, "top_logprobs", request.TopLogProbs, $"0 to {MostTopLogProbs}");
        Check(request.EarlyTokens >= 0, "early_tokens", request.EarlyTokens, "0 or more");
        Check(request.Stop.Count <= MostStops, "stop", request.Stop.Count, $"at most {MostStops} texts");
        foreach ((int token, float bias) in s.LogitBias)
        {
            if ((uint)token >= (uint)Model.VocabularySize)
            {
                throw new EngineException(EngineError.InvalidRequest, $"logit_bias names the token {token}; the vocabulary has 0 to {Model.VocabularySize - 1}.", "logit_bias");
            }
            Check(bias <= MostBias, "logit_bias", bias, $"a number of at most {MostBias}");
        }

        static void Check(bool ok, string name, float value, string range)
        {
            if (!ok)
            {
                throw new EngineException(EngineError.InvalidRequest, $"{name} is {value}; it must be {range}.", name);
            }
        }
    }

    private LlamaGrammar NewGrammar(string gbnf)
    {
        // Whoever made it: llama.cpp's parser recurses without bound, and a grammar that exhausts its stack ends the process.
        GrammarChecker.Check(gbnf, GrammarBuilder.MaxBytes, "grammar", generated: false);
        try
        {
            return new LlamaGrammar(_model, gbnf);
        }
        catch (LlamaException e)
        {
            throw new EngineException(EngineError.InvalidRequest, e.Message, "grammar", e);
        }
    }

    private void ThrowIfCannotGenerate()
    {
        if (!Model.CanGenerate)
        {
            throw new EngineException(EngineError.InvalidRequest,
                $"The model '{Model.Name}' ({Model.Architecture}) makes embeddings only and can't generate text. Use /v1/embeddings, or serve a generating model.", "model");
        }
    }

    private void CheckTokens(ReadOnlySpan<int> tokens, string param)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        if (tokens.IsEmpty)
        {
            throw new EngineException(EngineError.InvalidRequest, $"{param} is empty; at least one token is needed.", param);
        }
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)Model.VocabularySize)
            {
                throw new EngineException(EngineError.InvalidRequest, $"{param} holds the token {token}; the vocabulary has 0 to {Model.VocabularySize - 1}.", param);
            }
        }
    }

    [LoggerMessage(110, LogLevel.Warning, "The model's chat template can't be used, so chats are refused: {Reason}")]
    private static partial void LogTemplateBroken(ILogger logger, string reason);
}
