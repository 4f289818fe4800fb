using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>
/// Asks the teacher about stored requests, off their path: audits first, then what the day's budget is best spent on; and when the teacher turns out to have a
/// new version, golden and recent holdout requests again. What is due stands in the store, so that a restart forgets nothing.
/// </summary>
internal sealed partial class TeacherService(SignalHub hub, ServeOptions options, ILoggerFactory loggers) : BackgroundService
{
    private const int MostCandidates = 4000;
    private const int MostAttempts = 3;
    private const int RecentForRelabel = 1000;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(5);

    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private readonly ILogger _logger = loggers.CreateLogger("ContinualNative.Teacher");
    private readonly Dictionary<string, int> _attempts = new(StringComparer.Ordinal);
    private readonly HashSet<(string Endpoint, string Teacher)> _teachers = [];
    private readonly Queue<string> _relabel = new();
    private readonly ClusterIndex _clusters = new();
    private readonly Dictionary<string, long> _clusterOf = new(StringComparer.Ordinal);
    private long _after;
    private long _seen;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (hub.Store is not { } store || !hub.KeepsTexts || !hub.Frontier.IsConfigured)
        {
            return;
        }
        hub.AuditWaits = () => _wake.Writer.TryWrite(true);
        foreach ((string endpoint, string teacher, _) in store.Teachers())
        {
            _teachers.Add((endpoint, teacher));
        }
        TeachingPlanner planner = new(new TeachingOptions { Seed = 0 });
        TimeSpan pause = TimeSpan.Zero;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await WaitAsync(pause, stoppingToken);
                pause = await TeachAsync(store, planner, stoppingToken) ? TimeSpan.Zero : TimeSpan.FromTicks(Math.Min(Math.Max(pause.Ticks * 2, TimeSpan.TicksPerSecond * 5), LongestPause.Ticks));
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (StoreException e)
            {
                LogStoreFailed(_logger, e.Message);
                pause = Interval;
            }
        }
    }

    private async Task WaitAsync(TimeSpan pause, CancellationToken cancellationToken)
    {
        if (pause > TimeSpan.Zero)
        {
            await Task.Delay(pause, hub.Time, cancellationToken);
        }
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Interval);
        try
        {
            await _wake.Reader.ReadAsync(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Time to look.
        }
    }

    // False when the teacher can't be asked at the moment.
    private async Task<bool> TeachAsync(TrafficStore store, TeachingPlanner planner, CancellationToken cancellationToken)
    {
        await store.FlushAsync(cancellationToken);
        List<TeachingCandidate> candidates = Candidates(store);
        DateTimeOffset now = hub.Time.GetUtcNow();
        Money spent = store.Spent(LedgerKind.Teaching, DateOnly.FromDateTime(now.UtcDateTime));
        foreach (TeachingPick pick in planner.Plan(candidates, BudgetAt(now, spent)))
        {
            if (!await AskAsync(store, pick.RequestId, pick.Reason, cancellationToken))
            {
                return false;
            }
        }
        while (_relabel.TryPeek(out string? id))
        {
            if (options.TeachPerDay <= 0 || hub.Frontier.Spend.Status(LedgerKind.Teaching).Spent >= Money.FromDollars(options.TeachPerDay))
            {
                break;
            }
            if (!await AskAsync(store, id, LabelReason.Relabel, cancellationToken))
            {
                return false;
            }
            _relabel.Dequeue();
        }
        return true;
    }

    private List<TeachingCandidate> Candidates(TrafficStore store)
    {
        IReadOnlyList<UnlabelledRequest> waiting = store.Unlabelled(_after, MostCandidates);
        if (waiting.Count == MostCandidates)
        {
            // More than a plan looks at: the older half is given up, but for audits, which are owed.
            _after = waiting[MostCandidates / 2].Sequence;
            waiting = [.. waiting.Where((r, i) => i > MostCandidates / 2 || r.Audited)];
        }
        Money cost = EstimatedCost();
        List<TeachingCandidate> candidates = [];
        foreach (UnlabelledRequest request in waiting)
        {
            if (_attempts.GetValueOrDefault(request.RequestId) >= MostAttempts)
            {
                continue;
            }
            if (request.Sequence > _seen)
            {
                _seen = request.Sequence;
                if (request.Embedding.Length > 0)
                {
                    _clusterOf[request.RequestId] = _clusters.Add(request.Embedding.Span).Id;
                }
            }
            candidates.Add(new TeachingCandidate
            {
                Sequence = request.Sequence,
                RequestId = request.RequestId,
                Task = request.Task,
                PCorrect = request.PCorrect,
                Novelty = request.Novelty,
                Audited = request.Audited,
                Failed = request.Failed,
                Cluster = _clusterOf.TryGetValue(request.RequestId, out long cluster) ? cluster : null,
                Cost = cost,
            });
        }
        if (_clusterOf.Count > 4 * MostCandidates)
        {
            HashSet<string> alive = [.. candidates.Select(static c => c.RequestId)];
            foreach (string gone in _clusterOf.Keys.Where(id => !alive.Contains(id)).ToArray())
            {
                _clusterOf.Remove(gone);
            }
        }
        return candidates;
    }

    // False when the teacher can't be asked at the moment; true also for a request that can't be asked at all.
    private async Task<bool> AskAsync(TrafficStore store, string id, LabelReason reason, CancellationToken cancellationToken)
    {
        if (store.Find(id) is not { Erased: false, Request: { Prompt: { } prompt, Kind: RequestKind.Chat } stored })
        {
            _attempts[id] = MostAttempts;
            return true;
        }
        TaskDefinition task = hub.Tasks.Find(stored.Task) ?? hub.Tasks.Resolve(null, null, null);
        try
        {
            RedactionSession session = hub.Redactor.NewSession([prompt]);
            bool redactHere = hub.Redaction is { ForStorage: false, ForFrontier: true };
            ChatRequest request = RequestText.Read(prompt);
            ChatRequest upward = request;
            if (redactHere)
            {
                using JsonDocument body = JsonDocument.Parse(Encoding.UTF8.GetBytes(prompt));
                upward = RequestText.Read(RequestText.Of(body.RootElement, session.Redact));
            }
            if (!FrontierRequests.IsPortable(upward))
            {
                _attempts[id] = MostAttempts;
                return true;
            }
            FrontierAnswer answer = await hub.Frontier.CompleteAsync(FrontierRequests.Of(upward, id), FrontierPurpose.Teaching, cancellationToken);
            string text = answer.Text;
            if (upward.GuidedChoice is { } choices)
            {
                if (FrontierRequests.ChoiceOf(text, choices) is not { } choice)
                {
                    hub.Book(FrontierPurpose.Teaching, answer, id);
                    Failed(id);
                    return true;
                }
                text = choice;
            }
            string whole = RequestText.OfAnswer(text, answer.ToolCalls);
            whole = redactHere ? session.Restore(whole) : session.ForStorage(whole);
            await hub.Labels.RecordAsync(id, task, request, stored.LocalAnswer, whole, answer, reason);
            if (_clusterOf.TryGetValue(id, out long cluster))
            {
                _clusters.AddLabel(cluster);
            }
            NoteTeacher(store, answer);
            return true;
        }
        catch (FrontierException e)
        {
            hub.Metrics.FrontierFailed(e.Kind);
            if (e.Kind is FrontierErrorKind.Rejected or FrontierErrorKind.Nonsense or FrontierErrorKind.CutOff)
            {
                Failed(id);
                return true;
            }
            LogWaiting(_logger, e.Kind, e.Message);
            return false;
        }
        catch (Exception e) when (e is ApiException or RedactionException)
        {
            // Stored by another version of this program, or a rule broke: this one can't be asked.
            LogUnusable(_logger, id, e.Message);
            _attempts[id] = MostAttempts;
            return true;
        }
    }

    private void Failed(string id) => _attempts[id] = _attempts.GetValueOrDefault(id) + 1;

    // A version never seen of an endpoint that has labelled before: the bar has moved.
    private void NoteTeacher(TrafficStore store, FrontierAnswer answer)
    {
        bool known = _teachers.Any(t => t.Endpoint == answer.Endpoint);
        if (!_teachers.Add((answer.Endpoint, answer.Model)) || !known)
        {
            return;
        }
        _relabel.Clear();
        foreach (string task in store.Tasks())
        {
            foreach (string id in RelabelPlan.Make(store.Golden(task), store.RecentLabelled(task, RecentForRelabel), options.RelabelShare))
            {
                _relabel.Enqueue(id);
            }
        }
        LogNewTeacher(_logger, answer.Endpoint, answer.Model, _relabel.Count);
    }

    [LoggerMessage(1461, LogLevel.Information, "The teacher can't be asked now ({Kind}), it is tried again later: {Reason}")]
    private static partial void LogWaiting(ILogger logger, FrontierErrorKind kind, string reason);

    [LoggerMessage(1462, LogLevel.Warning, "Request {Id} can't be asked again: {Reason}")]
    private static partial void LogUnusable(ILogger logger, string id, string reason);

    [LoggerMessage(1463, LogLevel.Information, "'{Endpoint}' answers with a new version, '{Teacher}': {Requests} golden and holdout requests are asked again as the budget allows")]
    private static partial void LogNewTeacher(ILogger logger, string endpoint, string teacher, int requests);

    [LoggerMessage(1464, LogLevel.Warning, "The store could not be read for teaching, it is tried again: {Reason}")]
    private static partial void LogStoreFailed(ILogger logger, string reason);
}
