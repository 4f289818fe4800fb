using System.ClientModel;
using System.ClientModel.Primitives;
using ContinualNative.Core.Economics;
using Microsoft.Extensions.AI;
using OpenAI;
using OpenAI.Chat;
using Polly.CircuitBreaker;

namespace ContinualNative.Host.Frontier;

/// <summary>One endpoint with its HTTP pipeline, slots and figures. Thread-safe.</summary>
internal sealed class FrontierEndpoint : IDisposable
{
    private const int RecentLatencies = 256;
    private const int CharactersPerToken = 4;

    private readonly FrontierOptions _all;
    private readonly SpendMeter _spend;
    private readonly TimeProvider _time;
    private readonly Action<FrontierCharge> _charged;
    private readonly FrontierPipeline _pipeline;
    private readonly IChatClient _chat;
    private readonly Lock _gate = new();
    private readonly Dictionary<FrontierErrorKind, long> _failures = [];
    private readonly TimeSpan[] _latencies = new TimeSpan[RecentLatencies];
    private long _calls;
    private long _answers;
    private string? _answeredBy;

    public FrontierEndpoint(FrontierEndpointOptions options, FrontierOptions all, string? key, SpendMeter spend, TimeProvider time, Action<FrontierCharge> charged, Action<string, CircuitState> circuitChanged)
    {
        Options = options;
        _all = all;
        _spend = spend;
        _time = time;
        _charged = charged;
        Slots = new CallSlots(options.MaxConcurrent, time);
        _pipeline = new FrontierPipeline(options, all, time, state => circuitChanged(options.Name, state));
        OpenAIClientOptions client = new()
        {
            Endpoint = new Uri(options.Url),
            Transport = new HttpClientPipelineTransport(_pipeline.Client),
            // The pipeline retries and keeps the time; a second layer of either would multiply the first.
            RetryPolicy = new ClientRetryPolicy(maxRetries: 0),
            NetworkTimeout = Timeout.InfiniteTimeSpan,
            // Its log would quote requests.
            ClientLoggingOptions = new ClientLoggingOptions { EnableLogging = false, EnableMessageContentLogging = false },
        };
        // The package insists on a key; without one of ours the handler takes the header out again.
        _chat = new ChatClient(options.Model, new ApiKeyCredential(key ?? "none"), client).AsIChatClient();
    }

    public FrontierEndpointOptions Options { get; }

    public CallSlots Slots { get; }

    /// <summary>Characters as tokens, where nobody counted.</summary>
    public static int Tokens(int characters) => (int)(((long)characters + CharactersPerToken - 1) / CharactersPerToken);

    /// <summary>Asks and waits for the whole answer. Throws <see cref="FrontierException"/>.</summary>
    public async Task<FrontierAnswer> CompleteAsync(FrontierRequest request, FrontierPurpose purpose, TimeSpan slotWait, CancellationToken cancellationToken)
    {
        List<Microsoft.Extensions.AI.ChatMessage> messages = FrontierMessages.Messages(request);
        ChatOptions options = FrontierMessages.Options(request, Options);
        using FrontierCall call = await BeginAsync(request, purpose, streamed: false, slotWait, cancellationToken);
        try
        {
            CallState.Current = call.State;
            ChatResponse response = await _chat.GetResponseAsync(messages, options, call.Token);
            call.Parts.Add((ChatCompletion)response.RawRepresentation!);
            return call.Complete();
        }
        catch (Exception e)
        {
            throw call.Fail(e);
        }
        finally
        {
            CallState.Current = null;
        }
    }

    /// <summary>Asks and waits for the first piece of the answer. Throws <see cref="FrontierException"/>. The caller disposes the stream.</summary>
    public async Task<FrontierStream> OpenAsync(FrontierRequest request, FrontierPurpose purpose, TimeSpan slotWait, CancellationToken cancellationToken)
    {
        List<Microsoft.Extensions.AI.ChatMessage> messages = FrontierMessages.Messages(request);
        ChatOptions options = FrontierMessages.Options(request, Options);
        FrontierCall call = await BeginAsync(request, purpose, streamed: true, slotWait, cancellationToken);
        FrontierStream stream = new(call, Pieces(messages, options, call));
        try
        {
            await stream.StartAsync();
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    public void Succeeded(FrontierAnswer answer)
    {
        lock (_gate)
        {
            _latencies[_answers++ % RecentLatencies] = answer.Latency;
            _answeredBy = answer.Model;
        }
    }

    public void Failed(FrontierErrorKind kind)
    {
        lock (_gate)
        {
            _failures[kind] = _failures.GetValueOrDefault(kind) + 1;
        }
    }

    public void Charge(FrontierCharge charge) => _charged(charge);

    public FrontierHealth Health()
    {
        lock (_gate)
        {
            int known = (int)Math.Min(_answers, RecentLatencies);
            TimeSpan[] sorted = _latencies[..known];
            Array.Sort(sorted);
            return new FrontierHealth(
                Options.Name,
                Options.Model,
                _answeredBy,
                _pipeline.Circuit switch { CircuitState.Open => "open", CircuitState.HalfOpen => "half_open", CircuitState.Isolated => "isolated", _ => "closed" },
                _calls,
                new Dictionary<FrontierErrorKind, long>(_failures),
                _pipeline.Retries,
                Slots.Running,
                Slots.Waiting,
                known == 0 ? null : sorted[known / 2]);
        }
    }

    public void Dispose()
    {
        _chat.Dispose();
        _pipeline.Dispose();
    }

    private async Task<FrontierCall> BeginAsync(FrontierRequest request, FrontierPurpose purpose, bool streamed, TimeSpan slotWait, CancellationToken cancellationToken)
    {
        Money estimate = Options.Prices.Of(Tokens(FrontierMessages.Characters(request)), 0, request.MaxTokens ?? _all.ExpectedTokens);
        SpendReservation reservation = _spend.TryReserve(purpose.Kind(), estimate) ?? throw new FrontierException(
            FrontierErrorKind.OverBudget, Options.Name, $"The day's budget for {(purpose == FrontierPurpose.Teaching ? "teaching" : "escalation")} does not hold another call of the frontier endpoint '{Options.Name}'. It begins anew at midnight UTC; a higher one lets more through.", mayFallOver: true);
        try
        {
            if (!await Slots.EnterAsync(purpose, slotWait, cancellationToken))
            {
                throw new FrontierException(FrontierErrorKind.Busy, Options.Name, $"The frontier endpoint '{Options.Name}' has as many calls running as it may ('max_concurrent', {Options.MaxConcurrent}). Try again in a moment.", mayFallOver: true);
            }
        }
        catch
        {
            reservation.Dispose();
            throw;
        }
        Interlocked.Increment(ref _calls);
        return new FrontierCall(this, request, purpose, reservation, _time, streamed, cancellationToken);
    }

    private async IAsyncEnumerable<StreamingChatCompletionUpdate> Pieces(List<Microsoft.Extensions.AI.ChatMessage> messages, ChatOptions options, FrontierCall call)
    {
        CallState.Current = call.State;
        await foreach (ChatResponseUpdate update in _chat.GetStreamingResponseAsync(messages, options, call.Token))
        {
            // The package's own last word, the tool calls gathered once more, has none.
            if (update.RawRepresentation is StreamingChatCompletionUpdate piece)
            {
                yield return piece;
            }
        }
    }
}
