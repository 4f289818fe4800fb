using System.Collections.Concurrent;
using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Access;
using ContinualNative.Host.Admin;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>
/// What makes training signal and savings out of traffic: the store, the router with its calibrations, the frontier, redaction and tasks. One for a server.
/// Thread-safe.
/// </summary>
internal sealed partial class SignalHub : IAsyncDisposable
{
    private const int MostCountedReports = 16_384;

    private readonly ConcurrentDictionary<Task, byte> _background = new();
    // Reports that were counted for words since all were counted, and what they say.
    private readonly ConcurrentDictionary<string, bool> _countedReports = new(StringComparer.Ordinal);
    private readonly RecentSessions _sessions;
    private readonly ILogger _logger;
    private NewTeacher? _newTeacher;
    private volatile bool _stopping;
    private volatile KeyTrust _trust;
    private volatile string _countedFor = ModelAddress.Base;
    private volatile bool _recountDue;

    public SignalHub(ServeOptions options, SignalParts parts, ServerMetrics metrics, ILoggerFactory loggers, TimeProvider time)
    {
        Options = options;
        Time = time;
        Store = parts.Store;
        Frontier = parts.Frontier;
        Redaction = parts.Redaction;
        Redactor = parts.Redactor;
        Tasks = parts.Tasks;
        Router = parts.Router;
        Novelty = parts.Novelty;
        Words = parts.Words;
        CalibrationOptions = parts.Calibration;
        Teaching = parts.Teaching;
        CycleOptions = parts.Cycles;
        Curation = parts.Curation;
        _trust = Curation.BelieveReports ? KeyTrust.Everyone : KeyTrust.Initial;
        Clock = new ServingClock(time);
        _logger = loggers.CreateLogger("ContinualNative.Signal");
        _sessions = new RecentSessions(4096, TimeSpan.FromHours(1), time);
        Metrics = new SignalMetrics(metrics.Registry, this);
        Labels = new LabelRecorder(this);
        Frontier.Charged = Charged;
    }

    public ServeOptions Options { get; }

    public TimeProvider Time { get; }

    /// <summary>null when nothing is recorded.</summary>
    public TrafficStore? Store { get; }

    public FrontierClient Frontier { get; }

    public RedactionOptions Redaction { get; }

    public Redactor Redactor { get; }

    public TaskResolver Tasks { get; }

    public Router Router { get; }

    public NoveltyIndex Novelty { get; }

    public WordRiskIndex Words { get; }

    public CalibrationOptions CalibrationOptions { get; }

    public TeachingOptions Teaching { get; }

    public CycleOptions CycleOptions { get; }

    public CurationOptions Curation { get; }

    public ServingClock Clock { get; }

    public SignalMetrics Metrics { get; }

    public LabelRecorder Labels { get; }

    /// <summary>Which share of the requests a candidate answers.</summary>
    public Rollout Rollout { get; } = new();

    /// <summary>Requests that have been answered and are not in the store yet, by id.</summary>
    public ConcurrentDictionary<string, Task> Pending { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether texts are stored.</summary>
    public bool KeepsTexts => Store is not null && Options.Record == RecordMode.Full;

    public bool IsStopping => _stopping;

    /// <summary>Set by the teacher: there is something new to ask.</summary>
    public Action AuditWaits { get; set; } = static () => { };

    /// <summary>Set by the teacher: asks it about a stored request, for the gate; false when it can't be asked now.</summary>
    public Func<string, CancellationToken, Task<bool>> AskTeacher { get; set; } = static (_, _) => Task.FromResult(false);

    /// <summary>Set by the teacher: an endpoint has answered, with this version of its model.</summary>
    public Action<string, string> TeacherAnswered { get; set; } = static (_, _) => { };

    /// <summary>Raised when a label of a task has been stored.</summary>
    public event Action<string>? Labelled;

    /// <summary>Raised when a request has been judged by its local answer: its features, and its prompt's embedding (may be empty).</summary>
    public event Action<RoutingFeatures, ReadOnlyMemory<float>>? Judged;

    /// <summary>Raised when the audits of a task show that more local answers go wrong than is in order.</summary>
    public event Action<string>? AgreementFell;

    /// <summary>The newest version of its model that an endpoint has turned out to have since the last <see cref="TakeNewTeacher"/>, or null. Not an event: nobody has to listen already.</summary>
    public NewTeacher? TakeNewTeacher() => Interlocked.Exchange(ref _newTeacher, null);

    /// <summary>A chat request or a plain completion begins. Dispose what this returns when it has been answered.</summary>
    public RequestRoute Begin(HttpContext http, ServedModel model, GenerationFields request, ModelAddress address, JsonElement body)
    {
        ApiKeyRecord? key = KeyGate.KeyOf(http);
        ChatRequest? chat = request as ChatRequest;
        if (request.Route == RoutePreference.Frontier)
        {
            CheckFrontier(chat);
        }
        // Whoever names an adapter has chosen who answers.
        string? assigned = Rollout.IsOn && address.Adapter is null && chat is not null ? Rollout.AdapterFor(StickyNameOf(chat)) : null;
        RequestRoute route = new(this, model, request, new RequestOrigin
        {
            RequestId = RequestIds.Of(http),
            KeyId = key?.Id,
            Task = Tasks.Resolve(key?.Id, request.Task, SystemPromptOf(chat)),
            Adapter = address.Adapter ?? assigned ?? model.Engine.Adapters.Champion ?? ModelAddress.Base,
            Assigned = assigned,
            Preference = address.Adapter is null ? request.Route : RoutePreference.Local,
            KeyPreference = key?.Route ?? RoutePreference.Auto,
            KeyMaxEscalation = key?.MaxEscalation,
            Portable = chat is not null && FrontierRequests.IsPortable(chat),
            PromptText = PromptTextOf(request),
        }, body);
        return route;
    }

    /// <summary>Queues a request's record. A store that fails is no reason to fail a request: what can't be kept is counted.</summary>
    public async Task RecordAsync(RequestRecord record)
    {
        if (Store is not { } store)
        {
            return;
        }
        try
        {
            await store.RecordAsync(record);
        }
        catch (StoreException e)
        {
            NotRecorded(_logger, e.Error, e.Message);
        }
    }

    /// <summary>Remembers for a while, in memory only, which values the placeholders of a request stand for, so that a correction gets the same ones.</summary>
    public void Remember(string requestId, RedactionSession session)
    {
        if (session.Count > 0)
        {
            _sessions.Add(requestId, session);
        }
    }

    /// <summary>Forgets what placeholders stand for, as an erasure asks for. Corrections that come later get placeholders of their own.</summary>
    public void ForgetSessions() => _sessions.Clear();

    /// <summary>Redacts what is reported of a request later.</summary>
    public string? RedactLater(string requestId, string? text) =>
        text is null || !Redaction.ForStorage ? text : (_sessions.Find(requestId) ?? Redactor.NewSession()).Redact(text);

    /// <summary>Runs something that no client waits for; a stopping server does.</summary>
    public void Track(Func<Task> work)
    {
        Task task = Task.Run(async () =>
        {
            try
            {
                await work();
            }
            catch (OperationCanceledException)
            {
                // The server stops.
            }
            catch (Exception e)
            {
                BackgroundFailed(_logger, e);
            }
        });
        _background[task] = 0;
        task.ContinueWith(t => _background.TryRemove(t, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    public void RedactionFailed(RedactionException failure)
    {
        Metrics.RedactionFailed(failure.Kind);
        LogRedactionFailed(_logger, failure.Message);
    }

    public void FrontierFailed(FrontierException failure)
    {
        Metrics.FrontierFailed(failure.Kind);
        LogFrontierFailed(_logger, failure.Kind, failure.Message);
    }

    public void LabelStored(string task) => Labelled?.Invoke(task);

    public void JudgedBy(in RoutingFeatures features, ReadOnlyMemory<float> embedding) => Judged?.Invoke(features, embedding);

    public void AgreementHasFallen(string task) => AgreementFell?.Invoke(task);

    public void TeacherChanged(string endpoint, string teacher) => Interlocked.Exchange(ref _newTeacher, new NewTeacher(endpoint, teacher));

    /// <summary>What the labels tell of the reports of each API key, as of the last calibration.</summary>
    public KeyTrust Trust
    {
        get => _trust;
        set => _trust = value;
    }

    /// <summary>Whether what a key reported at a time counts.</summary>
    public bool Believes(string? keyId, DateTimeOffset at) => _trust.Of(keyId, at) >= Curation.MinimumTrust;

    /// <summary>Counts anew on which words an adapter is wrong. Throws <see cref="StoreException"/>.</summary>
    public void CountWords(TrafficStore store, string adapter, int most)
    {
        _countedReports.Clear();
        Words.Replace(store.JudgedPrompts(adapter, most, Believes).Reverse().SelectMany(static j => RequestText.QuestionOf(j.Prompt) is { } question ? [(question, j.Right)] : Array.Empty<(string, bool)>()));
        _countedFor = adapter;
        _recountDue = false;
    }

    /// <summary>Whether what was counted of words is known to be wrong in part, and is better counted anew.</summary>
    public bool IsRecountDue => _recountDue;

    /// <summary>Counts what a teacher says of a request's local answer, unless a report that was counted has said the same.</summary>
    public void CountLabel(string requestId, string question, bool right)
    {
        if (!_countedReports.TryRemove(requestId, out bool reported))
        {
            Words.Add(question, right);
        }
        else if (reported != right)
        {
            _recountDue = true;
        }
    }

    /// <summary>A report is on disk: the teacher is told of a failure, and the router, at once, on which words a local answer was right or wrong.</summary>
    public void OutcomeStored(Outcome outcome)
    {
        if (outcome.Kind is OutcomeKind.Rejected or OutcomeKind.Corrected)
        {
            AuditWaits();
        }
        if (outcome.Kind == OutcomeKind.Scored || !KeepsTexts || !Frontier.IsConfigured || !Believes(outcome.KeyId, outcome.At))
        {
            return;
        }
        try
        {
            // Once a request: by its first report that counts, where no teacher has judged it.
            if (Store!.Find(outcome.RequestId) is { Erased: false, Contradicted: false, Request: { Kind: RequestKind.Chat, Prompt: { } prompt, Decision.Route: Route.Local } request } stored
                && stored.Labels.All(static l => l.Correct is null)
                && stored.Outcomes.Count(o => o.Kind != OutcomeKind.Scored && Believes(o.KeyId, o.At)) == 1
                && (outcome.Kind == OutcomeKind.Accepted || request.Adapter == _countedFor)
                && RequestText.QuestionOf(prompt) is { } question
                && _countedReports.TryAdd(outcome.RequestId, outcome.Kind == OutcomeKind.Accepted))
            {
                Words.Add(question, outcome.Kind == OutcomeKind.Accepted);
                _recountDue |= _countedReports.Count > MostCountedReports;
            }
        }
        catch (StoreException)
        {
            // The report is kept; the next count finds it.
        }
    }

    /// <summary>Waits for what runs in the background, then closes the store.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        await Task.WhenAny(Task.WhenAll(_background.Keys), Task.Delay(TimeSpan.FromSeconds(10)));
        if (Store is not null)
        {
            await Store.DisposeAsync();
        }
        Frontier.Dispose();
    }

    /// <summary>Books a call that was paid for and gave nothing to keep.</summary>
    public void Book(FrontierPurpose purpose, FrontierAnswer answer, string requestId) => Track(() => BookAsync(purpose, answer, requestId, ""));

    /// <summary>Books a call; completes when it is queued.</summary>
    public Task BookAsync(FrontierPurpose purpose, FrontierAnswer answer, string requestId, string task) => BookAsync(new LedgerEntry
    {
        At = Time.GetUtcNow(),
        Kind = purpose.Kind(),
        Amount = answer.Cost,
        RequestId = requestId,
        Endpoint = answer.Endpoint,
        Task = task,
        PromptTokens = answer.PromptTokens,
        CachedTokens = answer.CachedTokens,
        CompletionTokens = answer.CompletionTokens,
    });

    // Answers are booked with the label that they become.
    private void Charged(FrontierCharge charge)
    {
        if (charge.Reason != FrontierChargeReason.Answered)
        {
            Track(() => BookAsync(new LedgerEntry
            {
                At = charge.At,
                Kind = charge.Purpose.Kind(),
                Amount = charge.Cost,
                RequestId = charge.Reference,
                Endpoint = charge.Endpoint,
                PromptTokens = charge.PromptTokens,
                CachedTokens = charge.CachedTokens,
                CompletionTokens = charge.CompletionTokens,
            }));
        }
    }

    private Task BookAsync(LedgerEntry entry) => Store is { } store ? store.RecordAsync(entry).AsTask() : Task.CompletedTask;

    private void CheckFrontier(ChatRequest? chat)
    {
        if (!Frontier.IsConfigured)
        {
            throw ApiException.WrongValue("route", "Invalid 'route': this server has no frontier model configured; use 'local' or 'auto'.");
        }
        if (chat is null)
        {
            throw ApiException.WrongValue("route", "Invalid 'route': frontier models answer chats only; use /v1/chat/completions, or 'local'.");
        }
        if (!FrontierRequests.IsPortable(chat))
        {
            throw ApiException.WrongValue("route", "Invalid 'route': a frontier model can't honour all fields of this request. It takes one choice, no 'grammar', 'logit_bias', 'top_k', 'min_p', 'repeat_penalty' or 'ignore_eos', no streamed log-probabilities, and no '|' or line break in 'guided_choice'.");
        }
    }

    // Who asks, or else in which conversation: its first message of a user stays the same while it grows. Not which key: one application is often all there is.
    private static string StickyNameOf(ChatRequest chat) =>
        chat.User is { Length: > 0 } user ? $"user {user}" : $"chat {chat.Messages.Find(static m => m.Role == "user")?.Content}";

    private static string? SystemPromptOf(ChatRequest? chat) =>
        chat?.Messages.Find(static m => m.Role is "system" or "developer")?.Content;

    private static string PromptTextOf(GenerationFields request) => request switch
    {
        ChatRequest chat => chat.Question ?? chat.Messages[^1].Content ?? "",
        CompletionRequest { Prompts: [{ Text: { } text }, ..] } => text,
        _ => "",
    };

    [LoggerMessage(1401, LogLevel.Warning, "A request could not be recorded ({Error}): {Reason}")]
    private static partial void NotRecorded(ILogger logger, StoreError error, string reason);

    [LoggerMessage(1402, LogLevel.Error, "Work in the background failed")]
    private static partial void BackgroundFailed(ILogger logger, Exception failure);

    [LoggerMessage(1403, LogLevel.Warning, "{Reason}")]
    private static partial void LogRedactionFailed(ILogger logger, string reason);

    [LoggerMessage(1404, LogLevel.Debug, "No frontier answer ({Kind}), the local one was sent: {Reason}")]
    private static partial void LogFrontierFailed(ILogger logger, FrontierErrorKind kind, string reason);
}

/// <summary>An endpoint has a version of its model that it had not before.</summary>
internal sealed record NewTeacher(string Endpoint, string Teacher);
