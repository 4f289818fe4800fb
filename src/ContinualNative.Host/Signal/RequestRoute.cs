using System.Text.Json;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Signal;

/// <summary>
/// One request on its way through the router: which model answers, and what is kept of it. Made by <see cref="SignalHub.Begin"/>; used by one request at a
/// time. Everything is decided before the first byte goes out, and recorded by <see cref="RecordAsync"/>, once.
/// </summary>
internal sealed class RequestRoute : IDisposable
{
    private readonly SignalHub _hub;
    private readonly ServedModel _model;
    private readonly GenerationFields _request;
    private readonly RouteRequest _routing;
    private readonly TaskCompletionSource _recorded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _started;
    private readonly DateTimeOffset _at;
    private readonly string _id;
    private readonly string? _keyId;
    private readonly RedactionSession? _session;
    private readonly string? _stored;
    private readonly string? _upward;
    private readonly float[] _embedding;
    private readonly float _novelty;
    private readonly string? _question;
    private readonly float _wordRisk;

    private string _adapter;
    private GenerationResult? _local;
    private string? _localAnswer;
    private FrontierAnswer? _frontier;
    private double? _entered;
    private double _localSeconds;
    private bool _done;
    private bool _handedOn;

    public RequestRoute(SignalHub hub, ServedModel model, GenerationFields request, RequestOrigin origin, JsonElement body)
    {
        _hub = hub;
        _model = model;
        _request = request;
        _started = hub.Time.GetTimestamp();
        _at = hub.Time.GetUtcNow();
        _id = origin.RequestId;
        _keyId = origin.KeyId;
        _adapter = origin.Adapter;
        Task = origin.Task;
        Assigned = origin.Assigned;
        HoldBack = hub.Options.HoldBack;
        KeepsAnswers = hub.KeepsTexts || hub.Frontier.IsConfigured;
        bool mayGoUp = origin.Portable && hub.Frontier.IsConfigured;
        if (hub.KeepsTexts || mayGoUp)
        {
            // Decision: redaction fails closed. When a rule breaks, the text is neither stored nor sent, and the request is answered locally.
            try
            {
                _session = hub.Redactor.NewSession([body.GetRawText()]);
                _stored = RequestText.Of(body, _session.ForStorage);
                if (mayGoUp && hub.Redaction.ForFrontier)
                {
                    _upward = hub.Redaction.ForStorage ? _stored : RequestText.Of(body, _session.ForFrontier);
                }
            }
            catch (RedactionException e)
            {
                hub.RedactionFailed(e);
                _session = null;
                mayGoUp = false;
            }
        }
        // Of the redacted text: what is kept then tells nothing of the values, and one template filled with other values is one prompt.
        _embedding = _session is null ? [] : PromptEmbedder.Embed(_session.ForStorage(origin.PromptText));
        _novelty = _embedding.Length > 0 ? hub.Novelty.Distance(_embedding) : 1;
        _question = (_request as ChatRequest)?.Question is { } question ? _session?.ForStorage(question) : null;
        _wordRisk = _question is null ? float.NaN : hub.Words.Risk(_question);
        _routing = new RouteRequest(
            _id,
            Task.Name,
            origin.Adapter,
            origin.Preference,
            origin.KeyId,
            origin.KeyPreference,
            origin.KeyMaxEscalation,
            Portable: mayGoUp || !hub.Frontier.IsConfigured,
            FrontierConfigured: hub.Frontier.IsConfigured);
        Decision = Fixed(hub.Router.Before(_routing));
        hub.Pending[_id] = _recorded.Task;
    }

    public TaskDefinition Task { get; }

    /// <summary>The candidate that answers this request instead of the champion, or null.</summary>
    public string? Assigned { get; }

    /// <summary>Tokens of a stream that are seen before it is judged.</summary>
    public int HoldBack { get; }

    /// <summary>Whether local answers are wanted as text.</summary>
    public bool KeepsAnswers { get; }

    /// <summary>What was decided; null while it is open.</summary>
    public RouteDecision? Decision { get; private set; }

    /// <summary>Whether the local answer is still to be judged.</summary>
    public bool IsOpen => Decision is null;

    /// <summary>Whether a stream's local answer is worth finishing after the frontier has taken over: always for audits, else when the machine has nothing better to do.</summary>
    public bool WantsWholeLocal => Decision is { Audited: true } || (_model.Engine.Statistics.Queued == 0 && !_hub.IsStopping);

    /// <summary>What the client is told.</summary>
    public RouteNote Note => new()
    {
        Decision = Decision ?? throw new InvalidOperationException("The route is not decided yet."),
        Task = Task.Name,
        Adapter = _local is null && Decision.Route == Route.Frontier && _entered is null ? "" : _adapter,
        Confidence = _local?.Confidence,
        Endpoint = _frontier?.Endpoint,
        FrontierModel = _frontier?.Model,
    };

    /// <summary>The local answer begins to be generated by this adapter.</summary>
    public void SetAdapter(string adapter)
    {
        _adapter = adapter;
        _entered ??= _hub.Clock.Enter();
    }

    /// <summary>The whole local answer; <paramref name="answer"/> as <see cref="RequestText.OfAnswer"/> writes it.</summary>
    public void SetLocal(GenerationResult result, string? answer)
    {
        _local = result;
        _adapter = result.Adapter;
        LeaveClock();
        _localAnswer = answer;
    }

    /// <summary>Decides by the local answer, or by its beginning.</summary>
    public void Judge(in Confidence confidence, int promptTokens, bool truncated, bool early)
    {
        RoutingFeatures features = RoutingFeatures.Of(confidence, promptTokens, _novelty, truncated, early, _wordRisk);
        Decision = _hub.Router.Judge(_routing with { Adapter = _adapter }, features);
        _hub.JudgedBy(features, _embedding);
    }

    /// <summary>The local model gave no answer: the frontier is the way left, where there is one.</summary>
    public void LocalFailed()
    {
        LeaveClock();
        Decision = Fixed(_hub.Router.Failed(_routing));
    }

    /// <summary>The frontier's whole answer; null when there is none: <see cref="Decision"/> then says why, and is for a local answer.</summary>
    public async Task<FrontierAnswer?> AskFrontierAsync(CancellationToken cancellationToken)
    {
        if (Decision!.Route != Route.Frontier)
        {
            return null;
        }
        try
        {
            FrontierAnswer answer = await _hub.Frontier.CompleteAsync(UpwardRequest(), FrontierPurpose.Escalation, cancellationToken);
            _frontier = answer;
            if (_request.GuidedChoice is { } choices)
            {
                return _frontier = answer with { Text = FrontierRequests.RequireChoice(Restored(answer.Text), choices, answer.Endpoint) };
            }
            return answer with { Text = Restored(answer.Text), ToolCalls = Restored(answer.ToolCalls) };
        }
        catch (FrontierException e)
        {
            Fall(e);
            return null;
        }
    }

    /// <summary>The frontier's answer as a stream whose first part is there; null as for <see cref="AskFrontierAsync"/>.</summary>
    public async Task<EscalatedStream?> OpenFrontierAsync(CancellationToken cancellationToken)
    {
        if (Decision!.Route != Route.Frontier)
        {
            return null;
        }
        EscalatedStream stream = new(
            _hub.Frontier.StreamAsync(UpwardRequest(), FrontierPurpose.Escalation, cancellationToken).GetAsyncEnumerator(cancellationToken),
            _hub.Frontier.Model,
            _hub.Redaction.ForFrontier ? _session : null,
            answer => _frontier = answer);
        try
        {
            await stream.OpenAsync(_request.GuidedChoice);
            return stream;
        }
        catch (FrontierException e)
        {
            await stream.DisposeAsync();
            Fall(e);
            return null;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    /// <summary>Stores the request as it ended. Later calls do nothing.</summary>
    /// <param name="finish">OpenAI's word for the end of the answer that was sent.</param>
    public async Task RecordAsync(string finish)
    {
        if (_done)
        {
            return;
        }
        _done = true;
        LeaveClock();
        try
        {
            RouteDecision decision = Decision ?? new RouteDecision { Route = Route.Local, Reason = RouteReason.LocalFailed };
            _hub.Metrics.Routed(Task.Name, decision);
            bool texts = _hub.KeepsTexts && _session is not null;
            string? answer = null;
            string? taught = null;
            try
            {
                // Answers are compared and kept in the form in which they are stored.
                answer = _localAnswer is null ? null : _session?.ForStorage(_localAnswer);
                taught = _frontier is null ? null : _session?.ForStorage(Restored(RequestText.OfAnswer(_frontier.Text, _frontier.ToolCalls)));
            }
            catch (RedactionException e)
            {
                _hub.RedactionFailed(e);
                (texts, answer, taught) = (false, null, null);
            }
            await _hub.RecordAsync(new RequestRecord
            {
                Id = _id,
                At = _at,
                Kind = _request is ChatRequest ? RequestKind.Chat : RequestKind.Completion,
                KeyId = _keyId,
                User = _request.User,
                Task = Task.Name,
                Model = _model.Engine.Model.Name,
                Adapter = _adapter,
                Streamed = _request.Stream,
                Decision = decision,
                FinishReason = finish,
                PromptTokens = _local?.PromptTokens ?? 0,
                CachedTokens = _local?.CachedTokens ?? 0,
                CompletionTokens = _local?.CompletionTokens ?? 0,
                LocalTime = TimeSpan.FromSeconds(_localSeconds),
                TotalTime = _hub.Time.GetElapsedTime(_started),
                Prompt = texts ? _stored : null,
                LocalAnswer = texts ? answer : null,
                Embedding = texts ? _embedding : ReadOnlyMemory<float>.Empty,
            });
            if (_session is not null && _hub.KeepsTexts)
            {
                _hub.Remember(_id, _session);
            }
            if (_frontier is { } frontier)
            {
                if (taught is not null)
                {
                    await _hub.Labels.RecordAsync(_id, Task, _request as ChatRequest, _question, answer, taught, frontier, LabelReason.Escalated);
                }
                else
                {
                    _hub.Book(FrontierPurpose.Escalation, frontier, _id);
                }
            }
            if (decision is { Audited: true, Route: Route.Local })
            {
                _hub.AuditWaits();
            }
        }
        finally
        {
            Complete();
        }
    }

    /// <summary>Records after <paramref name="before"/> has run, without keeping the client waiting. The route lives on until then.</summary>
    public void FinishInBackground(string finish, Func<Task>? before)
    {
        _handedOn = true;
        _hub.Track(async () =>
        {
            try
            {
                if (before is not null)
                {
                    await before();
                }
                await RecordAsync(finish);
            }
            finally
            {
                Complete();
            }
        });
    }

    /// <summary>Ends a request that was not recorded: it failed, or its client has gone.</summary>
    public void Dispose()
    {
        if (!_handedOn)
        {
            Complete();
        }
    }

    // Decision: the audit sample is of what the router judges. Where somebody else has fixed the route, there is no judgement to check, and no local answer.
    private static RouteDecision? Fixed(RouteDecision? decision) => decision is null ? null : decision with { Audited = false, AuditProbability = 0 };

    private void Complete()
    {
        LeaveClock();
        _hub.Pending.TryRemove(_id, out _);
        _recorded.TrySetResult();
    }

    private void LeaveClock()
    {
        if (_entered is { } entered)
        {
            _localSeconds += _hub.Clock.Exit(entered);
            _entered = null;
        }
    }

    private void Fall(FrontierException failure)
    {
        // An answer that came and can't be used is paid for all the same.
        if (_frontier is { } unusable)
        {
            _hub.Book(FrontierPurpose.Escalation, unusable, _id);
            _frontier = null;
        }
        _hub.FrontierFailed(failure);
        Decision = Decision! with { Route = Route.Local, Reason = failure.Kind == FrontierErrorKind.OverBudget ? RouteReason.OverBudget : RouteReason.FrontierDown };
    }

    // Log-probabilities are no part of what is stored of a request.
    private FrontierRequest UpwardRequest() => FrontierRequests.Of(_hub.Redaction.ForFrontier ? RequestText.Read(_upward!) : (ChatRequest)_request, _id) with
    {
        TopLogProbs = _request.TopLogProbs >= 0 ? _request.TopLogProbs : null,
    };

    private string Restored(string text) => _hub.Redaction.ForFrontier ? _session!.Restore(text) : text;

    private List<ToolCall> Restored(IReadOnlyList<ToolCall> calls) => [.. calls.Select(c => c with { Arguments = Restored(c.Arguments) })];
}

/// <summary>Where a request comes from and what it is one of.</summary>
internal sealed record RequestOrigin
{
    public required string RequestId { get; init; }

    public string? KeyId { get; init; }

    public required TaskDefinition Task { get; init; }

    /// <summary>The adapter that will answer.</summary>
    public required string Adapter { get; init; }

    /// <summary>The candidate that is tried on it, or null.</summary>
    public string? Assigned { get; init; }

    public RoutePreference Preference { get; init; }

    public RoutePreference KeyPreference { get; init; }

    public double? KeyMaxEscalation { get; init; }

    /// <summary>Whether a frontier endpoint can answer it.</summary>
    public bool Portable { get; init; }

    /// <summary>What is embedded: the user's last message, or the prompt.</summary>
    public required string PromptText { get; init; }
}
