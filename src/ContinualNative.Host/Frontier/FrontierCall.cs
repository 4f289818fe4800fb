using ContinualNative.Core.Economics;

namespace ContinualNative.Host.Frontier;

/// <summary>One call at one endpoint: its slot, its reservation and its clocks, all given back by <see cref="Dispose"/>.</summary>
internal sealed class FrontierCall : IDisposable
{
    // The handlers' own limit shall come first, as the circuit breaker hears of that one only.
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(100);

    private readonly FrontierEndpoint _endpoint;
    private readonly FrontierRequest _request;
    private readonly FrontierPurpose _purpose;
    private readonly SpendReservation _reservation;
    private readonly TimeProvider _time;
    private readonly CancellationToken _caller;
    private readonly CancellationTokenSource _total;
    private readonly CancellationTokenSource _first;
    private readonly CancellationTokenSource _linked;
    private bool _booked;

    public FrontierCall(FrontierEndpoint endpoint, FrontierRequest request, FrontierPurpose purpose, SpendReservation reservation, TimeProvider time, bool streamed, CancellationToken caller)
    {
        _endpoint = endpoint;
        _request = request;
        _purpose = purpose;
        _reservation = reservation;
        _time = time;
        _caller = caller;
        TimeSpan limit = endpoint.Options.Timeout;
        TimeSpan first = streamed ? endpoint.Options.FirstByteTimeout : limit;
        _total = new CancellationTokenSource(limit + Grace, time);
        _first = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        _linked = CancellationTokenSource.CreateLinkedTokenSource(caller, _total.Token, _first.Token);
        State = new CallState(time, first, limit)
        {
            // A first byte need not be a first piece of answer: what the byte left of the time is for that.
            FirstByte = streamed ? passed => _first.CancelAfter(Longer(first - passed + Grace)) : null,
        };
    }

    public CallState State { get; }

    public AnswerParts Parts { get; } = new();

    /// <summary>Ends with the caller's interest, or with the time for the answer.</summary>
    public CancellationToken Token => _linked.Token;

    /// <summary>Whether a part of the answer was given to the caller.</summary>
    public bool Began { get; private set; }

    /// <summary>The first piece of answer is here.</summary>
    public void Begin()
    {
        Began = true;
        _first.CancelAfter(Timeout.InfiniteTimeSpan);
    }

    /// <summary>The whole answer, booked. Throws <see cref="FrontierException"/> when it is none.</summary>
    public FrontierAnswer Complete()
    {
        State.Working = false;
        if (Parts.FinishReason is null)
        {
            // JSON that is no part of an answer reads as a part with nothing in it.
            throw !Began && Parts.Model is null
                ? Fail(FrontierErrorKind.Nonsense, "what it sent is no answer; check that 'url' is the base of an OpenAI-compatible API", mayFallOver: false)
                : Began ? Fail(FrontierErrorKind.CutOff, "its answer broke off", mayFallOver: false)
                : Fail(FrontierErrorKind.Unavailable, "it ended its answer before it had begun", mayFallOver: true);
        }
        if (Parts.WhyNonsense(_request) is { } reason)
        {
            throw Fail(FrontierErrorKind.Nonsense, reason, mayFallOver: false);
        }
        (int prompt, int cached, int completion, bool estimated) = Usage();
        FrontierAnswer answer = new()
        {
            Text = Parts.Text,
            ToolCalls = Parts.Calls(),
            FinishReason = Parts.IsRefusal ? "content_filter" : Parts.FinishReason,
            PromptTokens = prompt,
            CachedTokens = cached,
            CompletionTokens = completion,
            UsageEstimated = estimated,
            Endpoint = _endpoint.Options.Name,
            Model = Parts.Model ?? _endpoint.Options.Model,
            Cost = _endpoint.Options.Prices.Of(prompt, cached, completion),
            Latency = State.Elapsed,
            LogProbs = Parts.LogProbsJson(),
            TrainingAllowed = _endpoint.Options.TrainingAllowed,
        };
        Book(FrontierChargeReason.Answered);
        _endpoint.Succeeded(answer);
        return answer;
    }

    /// <summary>What a failure means. The caller's own cancellation is <see cref="OperationCanceledException"/>; everything else counts against the endpoint.</summary>
    public Exception Fail(Exception failure)
    {
        if (_caller.IsCancellationRequested)
        {
            return new OperationCanceledException(_caller);
        }
        if (failure is FrontierException known)
        {
            return known;
        }
        (FrontierErrorKind kind, string reason, bool mayFallOver) = failure is OperationCanceledException
            ? (FrontierErrorKind.TimedOut, _first.IsCancellationRequested ? "no piece of an answer came in the time allowed ('first_byte_timeout')" : "its answer took longer than allowed ('timeout')", true)
            : FailureReader.Read(failure, _endpoint.Options);
        return Fail(Began ? FrontierErrorKind.CutOff : kind, reason, mayFallOver && !Began);
    }

    public void Dispose()
    {
        // Nobody said how it ended: the caller went away.
        Book(FrontierChargeReason.Abandoned);
        _reservation.Dispose();
        _linked.Dispose();
        _first.Dispose();
        _total.Dispose();
        _endpoint.Slots.Leave();
    }

    private FrontierException Fail(FrontierErrorKind kind, string reason, bool mayFallOver)
    {
        Money cost = Book(FrontierChargeReason.Failed);
        _endpoint.Failed(kind);
        return new FrontierException(kind, _endpoint.Options.Name, $"The frontier endpoint '{_endpoint.Options.Name}' {(Began ? "did not end its answer" : "gave no answer")}: {reason}.", cost, mayFallOver);
    }

    private (int Prompt, int Cached, int Completion, bool Estimated) Usage()
    {
        // A count of zero tokens for a prompt that has some is no count.
        if (Parts.Usage is { InputTokenCount: > 0 } usage)
        {
            int cached = usage.InputTokenDetails?.CachedTokenCount ?? 0;
            return (usage.InputTokenCount, Math.Clamp(cached, 0, usage.InputTokenCount), Math.Max(0, usage.OutputTokenCount), false);
        }
        return (FrontierEndpoint.Tokens(FrontierMessages.Characters(_request)), 0, FrontierEndpoint.Tokens(Parts.Characters), true);
    }

    // Decision: an endpoint that was at work when the call ended is reckoned to charge for the prompt and for what had come: most do, and a
    // budget that believed otherwise would be no limit. One that could not be reached, or that refused, charges nothing.
    private Money Book(FrontierChargeReason reason)
    {
        if (_booked)
        {
            return Money.Zero;
        }
        _booked = true;
        bool charged = reason == FrontierChargeReason.Answered || State.Working || Parts.Pieces > 0;
        (int prompt, int cached, int completion, bool estimated) = charged ? Usage() : default;
        Money cost = _endpoint.Options.Prices.Of(prompt, cached, completion);
        _reservation.Settle(cost);
        if (charged)
        {
            _endpoint.Charge(new FrontierCharge
            {
                At = _time.GetUtcNow(),
                Purpose = _purpose,
                Reason = reason,
                Endpoint = _endpoint.Options.Name,
                Reference = _request.Reference,
                PromptTokens = prompt,
                CachedTokens = cached,
                CompletionTokens = completion,
                Estimated = estimated,
                Cost = cost,
            });
        }
        return cost;
    }

    private static TimeSpan Longer(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.FromMilliseconds(1);
}
