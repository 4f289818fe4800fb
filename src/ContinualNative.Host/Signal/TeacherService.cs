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

    // Answers from whose mean price the next one's is told.
    private const int LeastPriced = 20;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(5);

    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private readonly ILogger _logger = loggers.CreateLogger("ContinualNative.Teacher");
    private readonly Dictionary<string, int> _attempts = new(StringComparer.Ordinal);
    // What the newest version has labelled; null until it is asked for.
    private HashSet<string>? _relabelled;
    // One question at a time; it also guards what is remembered of requests.
    private readonly SemaphoreSlim _asking = new(1, 1);
    private readonly ClusterIndex _clusters = new();
    private readonly Dictionary<string, long> _clusterOf = new(StringComparer.Ordinal);
    private TeacherVersions _teachers = new([]);
    private volatile Version? _newTeacher;
    private Version? _relabelling;
    private long _after;
    private long _seen;

    // The store, where there is something to learn and somebody to ask.
    private TrafficStore? Store => hub.KeepsTexts && hub.Frontier.IsConfigured ? hub.Store : null;

    // Before the server answers anything: whose version the first answer shows is noted too.
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        if (Store is { } store)
        {
            hub.AuditWaits = () => _wake.Writer.TryWrite(true);
            try
            {
                (string Endpoint, string Teacher)[] seen = [.. store.Teachers().Select(static t => (t.Endpoint, t.Teacher))];
                _teachers = new TeacherVersions(seen);
                // What a restart cut off goes on.
                _newTeacher = seen.Length > 0 && seen.Count(t => t.Endpoint == seen[^1].Endpoint) > 1 ? new Version(seen[^1].Endpoint, seen[^1].Teacher) : null;
            }
            catch (StoreException e)
            {
                // A teacher that is taken for an endpoint's first is not compared with the one before: nothing is asked again.
                LogStoreFailed(_logger, e.Message);
            }
            hub.TeacherAnswered = NoteTeacher;
            hub.AskTeacher = (id, cancel) => AskAsync(store, id, LabelReason.Gate, cancel);
        }
        return base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (Store is not { } store)
        {
            return;
        }
        TeachingPlanner planner = new(hub.Teaching);
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
            catch (Exception e)
            {
                // Decision: a fault in teaching must not end the server, as it would if this escaped.
                LogFailed(_logger, e);
                pause = LongestPause;
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
        List<TeachingCandidate> candidates;
        await _asking.WaitAsync(cancellationToken);
        try
        {
            candidates = Candidates(store);
        }
        finally
        {
            _asking.Release();
        }
        // Decision: audits are asked whatever the budget for teaching says, oldest first. Every figure of quality and every threshold rests on them, and --audit is
        // how their number is set. What they cost counts, so that less is left for the rest.
        foreach (TeachingCandidate audit in candidates.Where(static c => c.Audited).OrderBy(static c => c.Sequence))
        {
            if (!await AskAsync(store, audit.RequestId, LabelReason.Audit, cancellationToken))
            {
                return false;
            }
        }
        if (options.TeachPerDay <= 0)
        {
            // No budget means none, also where the endpoint's answers have no price.
            return true;
        }
        candidates.RemoveAll(static c => c.Audited);
        foreach (TeachingPick pick in planner.Plan(candidates, Budget(store)))
        {
            if (!await AskAsync(store, pick.Candidate.RequestId, pick.Reason, cancellationToken))
            {
                return false;
            }
        }
        if (Interlocked.Exchange(ref _newTeacher, null) is { } version)
        {
            _relabelling = version;
            _relabelled = null;
        }
        return _relabelling is null || await RelabelAsync(store, _relabelling, cancellationToken);
    }

    // Golden requests and recent holdout, as far as today's budget reaches; the rest on another day.
    private async Task<bool> RelabelAsync(TrafficStore store, Version version, CancellationToken cancellationToken)
    {
        _relabelled ??= store.LabelledBy(version.Endpoint, version.Teacher);
        TeachingBudget budget = Budget(store);
        Money cost = EstimatedCost(store);
        List<TeachingCandidate> golden = [];
        List<TeachingCandidate> recent = [];
        foreach (string task in store.Tasks())
        {
            golden.AddRange(store.Golden(task).Select(id => Candidate(id, task, 0)));
            // The store gives the newest first, and the plan takes the largest first.
            long next = -recent.Count;
            recent.AddRange(store.RecentLabelled(task, RecentForRelabel).Select(id => Candidate(id, task, next--)));
        }
        RelabelPlan plan = RelabelPlan.Make(golden, recent, options.Holdout, hub.Teaching.DailyBudget - budget.Spent, hub.Teaching.DailyLabels - budget.Labels, _relabelled);
        foreach (TeachingPick pick in plan.Picks)
        {
            if (!await AskAsync(store, pick.Candidate.RequestId, LabelReason.Relabel, cancellationToken))
            {
                return false;
            }
            _relabelled.Add(pick.Candidate.RequestId);
        }
        _relabelling = plan.Left > 0 ? version : null;
        return true;

        TeachingCandidate Candidate(string id, string task, long sequence) => new() { Sequence = sequence, RequestId = id, Task = task, EstimatedCost = cost };
    }

    private TeachingBudget Budget(TrafficStore store)
    {
        DateTimeOffset now = hub.Time.GetUtcNow();
        DateOnly today = DateOnly.FromDateTime(now.UtcDateTime);
        LedgerTotals[] taught = [.. store.Ledger(today, today).Where(static l => l.Kind == LedgerKind.Teaching)];
        return new TeachingBudget
        {
            Now = now,
            Spent = hub.Frontier.Spend.Status(LedgerKind.Teaching).Spent,
            Labels = (int)Math.Min(int.MaxValue, taught.Sum(static l => l.Calls)),
            LabelsByTask = taught.GroupBy(static l => l.Task).ToDictionary(static g => g.Key, static g => (int)Math.Min(int.MaxValue, g.Sum(static l => l.Calls)), StringComparer.Ordinal),
            AllLabelsByCluster = _clusters.LeastLabelled().ToDictionary(static c => c.Id, static c => (int)Math.Min(int.MaxValue, c.Labels)),
        };
    }

    // What labels have cost of late; before there are enough, a request of middle length at the preferred endpoint's prices. What one really costs is booked afterwards.
    private Money EstimatedCost(TrafficStore store)
    {
        DateOnly today = DateOnly.FromDateTime(hub.Time.GetUtcNow().UtcDateTime);
        LedgerTotals[] recent = [.. store.Ledger(today.AddDays(-7), today).Where(static l => l.Kind is LedgerKind.Teaching or LedgerKind.Escalation)];
        long calls = recent.Sum(static l => l.Calls);
        return calls >= LeastPriced ? new Money(recent.Sum(static l => l.Amount.Nanos) / calls) : hub.Frontier.Prices?.Of(500, 0, 200) ?? Money.Zero;
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
        Money cost = EstimatedCost(store);
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
                EstimatedCost = cost,
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

    // False when the teacher can't be asked at the moment; true also for a request that can't be asked at all. The gate asks from a thread of its own.
    private async Task<bool> AskAsync(TrafficStore store, string id, LabelReason reason, CancellationToken cancellationToken)
    {
        await _asking.WaitAsync(cancellationToken);
        try
        {
            return await AskOneAsync(store, id, reason, cancellationToken);
        }
        finally
        {
            _asking.Release();
        }
    }

    private async Task<bool> AskOneAsync(TrafficStore store, string id, LabelReason reason, CancellationToken cancellationToken)
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
            await hub.Labels.RecordAsync(id, task, request, request.Question, stored.LocalAnswer, whole, answer, reason);
            if (_clusterOf.TryGetValue(id, out long cluster))
            {
                _clusters.AddLabel(cluster);
            }
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
    private void NoteTeacher(string endpoint, string teacher)
    {
        if (_teachers.Observe(endpoint, teacher) == TeacherChange.New)
        {
            _newTeacher = new Version(endpoint, teacher);
            hub.TeacherChanged(endpoint, teacher);
            _wake.Writer.TryWrite(true);
            LogNewTeacher(_logger, endpoint, teacher);
        }
    }

    private sealed record Version(string Endpoint, string Teacher);

    [LoggerMessage(1461, LogLevel.Information, "The teacher can't be asked now ({Kind}), it is tried again later: {Reason}")]
    private static partial void LogWaiting(ILogger logger, FrontierErrorKind kind, string reason);

    [LoggerMessage(1462, LogLevel.Warning, "Request {Id} can't be asked again: {Reason}")]
    private static partial void LogUnusable(ILogger logger, string id, string reason);

    [LoggerMessage(1463, LogLevel.Information, "'{Endpoint}' answers with a new version, '{Teacher}': golden and holdout requests are asked again as the budget allows")]
    private static partial void LogNewTeacher(ILogger logger, string endpoint, string teacher);

    [LoggerMessage(1465, LogLevel.Error, "Teaching failed, it is tried again later")]
    private static partial void LogFailed(ILogger logger, Exception failure);

    [LoggerMessage(1464, LogLevel.Warning, "The store could not be read for teaching, it is tried again: {Reason}")]
    private static partial void LogStoreFailed(ILogger logger, string reason);
}
