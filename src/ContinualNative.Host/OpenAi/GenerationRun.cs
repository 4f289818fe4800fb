using System.Text;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Access;
using ContinualNative.Host.Admin;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.OpenAi;

/// <summary>The answers of one request, from submission to their end. Disposing it stops those that still run.</summary>
internal sealed class GenerationRun : IDisposable
{
    private readonly CancellationTokenSource _cancel;
    private readonly List<RunningAnswer> _answers = [];
    private readonly ModelAddress _address;
    private readonly ServerMetrics _metrics;
    private readonly CancellationToken _stopNow;
    private readonly CancellationTokenRegistration _aborted;

    private GenerationRun(ServedModel model, ModelAddress address, ServerMetrics metrics, CancellationToken aborted, CancellationToken stopNow)
    {
        Model = model;
        _address = address;
        _metrics = metrics;
        _stopNow = stopNow;
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(stopNow);
        _aborted = aborted.UnsafeRegister(static cancel => Cancel((CancellationTokenSource)cancel!), _cancel);
    }

    public ServedModel Model { get; }

    public CancellationToken Cancelled => _cancel.Token;

    public IReadOnlyList<RunningAnswer> Answers => _answers;

    /// <summary>What the first answer's reader has been given so far, when the run was asked to keep it.</summary>
    public StringBuilder? Transcript { get; private init; }

    /// <summary>
    /// Submits every prompt <see cref="GenerationFields.Choices"/> times; the engine shares the common prefix. Answers are in the order of prompts,
    /// then choices. When one is refused, those submitted before it stop.
    /// </summary>
    public static GenerationRun Start(HttpContext http, ServedModel model, GenerationFields fields, IReadOnlyList<int[]> prompts, string? grammar, bool showSpecialTokens, int earlyTokens = 0, bool keepTranscript = false, string? assigned = null)
    {
        ServerState state = http.RequestServices.GetRequiredService<ServerState>();
        ServeOptions options = http.RequestServices.GetRequiredService<ServeOptions>();
        ServerMetrics metrics = http.RequestServices.GetRequiredService<ServerMetrics>();
        ModelAddress address = ModelAddresses.Resolve(model.Engine, fields.Model);
        if (!model.Engine.Model.CanGenerate)
        {
            throw ApiException.Invalid("model_not_generative", $"The model '{model.Engine.Model.Name}' makes embeddings only; use /v1/embeddings.", "model");
        }
        int[] limits = [.. prompts.Select(p => MaxTokens(http, model.Engine, options, fields, p, prompts.Count))];
        if (address.Adapter is null && assigned is not null && model.Engine.Adapters.Contains(assigned))
        {
            // A candidate that was taken away meanwhile leaves its requests to the champion.
            address = address with { Adapter = assigned };
        }
        GenerationRun run = new(model, address, metrics, http.RequestAborted, state.StopNow) { Transcript = keepTranscript ? new StringBuilder() : null };
        try
        {
            for (int i = 0; i < prompts.Count; i++)
            {
                for (int choice = 0; choice < fields.Choices; choice++)
                {
                    GenerationRequest request = new()
                    {
                        Prompt = prompts[i],
                        Adapter = address.Adapter,
                        Sampling = fields.Sampling with { Seed = SeedOf(fields.Sampling.Seed, choice) },
                        MaxTokens = limits[i],
                        Stop = fields.Stop,
                        Grammar = grammar,
                        IgnoreEnd = fields.IgnoreEnd,
                        TopLogProbs = fields.TopLogProbs,
                        ShowSpecialTokens = showSpecialTokens,
                        EarlyTokens = earlyTokens,
                    };
                    run._answers.Add(model.Engine.Generate(request, run.Cancelled));
                }
            }
            return run;
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    /// <summary>Completes when the first answer runs; what the response calls its model, and the adapter.</summary>
    public async Task<(string Model, string Adapter)> AdmittedAsync()
    {
        string adapter;
        try
        {
            adapter = await _answers[0].Admitted.WaitAsync(Cancelled);
        }
        catch (EngineException) when (Cancelled.IsCancellationRequested)
        {
            // The engine tells of an answer that ended; why it ended is known here.
            throw new OperationCanceledException(Cancelled);
        }
        // The bare model under its plain name, unless it was asked for by address or stands beside adapters that would answer otherwise.
        string name = Model.Engine.Model.Name;
        return (adapter == ModelAddress.Base && _address.Adapter is null ? name : new ModelAddress(name, adapter).ToString(), adapter);
    }

    public ServerMetrics Metrics => _metrics;

    /// <summary>Stops all answers.</summary>
    public void Cancel() => _cancel.Cancel();

    /// <summary>Lets the answers go on when the client is gone or has been answered otherwise; whoever calls this disposes the run later.</summary>
    public void Detach() => _aborted.Unregister();

    private static void Cancel(CancellationTokenSource cancel)
    {
        try
        {
            cancel.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The run ended at the same moment.
        }
    }

    /// <summary>The end of an answer, recorded. Throws when it ended otherwise than by itself: time ran out, the server stops, the client is gone.</summary>
    public async Task<GenerationResult> EndAsync(RunningAnswer answer)
    {
        GenerationResult result = await answer.Completion.WaitAsync(_cancel.Token);
        _metrics.Answered(result);
        return result.FinishReason switch
        {
            FinishReason.Timeout => throw ApiException.TimedOut(),
            FinishReason.Cancelled when _stopNow.IsCancellationRequested => throw ApiException.Unavailable("shutting_down", "The server stopped before the answer was complete."),
            FinishReason.Cancelled => throw new OperationCanceledException("The answer was cancelled."),
            FinishReason.Error => throw ApiException.Internal(),
            _ => result,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _aborted.Unregister();
        foreach (RunningAnswer answer in _answers)
        {
            answer.Dispose();
        }
        _cancel.Dispose();
    }

    /// <summary>The seed of one choice: the request's own for the first, and well separated ones for the others (SplitMix64's finalizer).</summary>
    internal static ulong? SeedOf(ulong? seed, int choice)
    {
        if (seed is not { } value || choice == 0)
        {
            return seed;
        }
        unchecked
        {
            ulong z = value + ((ulong)choice * 0x9E3779B97F4A7C15);
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }

    private static int MaxTokens(HttpContext http, InferenceEngine engine, ServeOptions options, GenerationFields fields, int[] prompt, int prompts)
    {
        if (prompt.Length == 0)
        {
            throw ApiException.WrongValue("prompt", "Invalid 'prompt': it is empty, and this model has no token that begins a text.");
        }
        if (options.MaxPromptTokens > 0 && prompt.Length > options.MaxPromptTokens)
        {
            throw ApiException.Invalid("context_length_exceeded", $"The prompt has {prompt.Length} tokens, and this server accepts {options.MaxPromptTokens} (--max-prompt-tokens). Shorten it.");
        }
        int left = engine.Model.ContextLength - prompt.Length;
        if (left < 1)
        {
            throw ApiException.Invalid("context_length_exceeded", $"The prompt has {prompt.Length} tokens, and this server's context holds {engine.Model.ContextLength}, the answer included. Shorten it, or start the server with a larger --ctx.");
        }
        if (KeyGate.KeyOf(http)?.MaxTokensPerRequest is { } limit)
        {
            int answers = prompts * fields.Choices;
            if (fields.MaxTokens is { } asked && (long)asked * answers > limit)
            {
                throw ApiException.WrongValue("max_tokens", $"Invalid 'max_tokens': {answers} × {asked} tokens are more than the {limit} that this key may ask for in one request.");
            }
            left = Math.Min(left, Math.Max(1, limit / answers));
        }
        return Math.Min(fields.MaxTokens ?? left, left);
    }
}
