using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Teaching;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Demo.World;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Reporting.Learning;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Demo;

/// <summary>
/// Weeks of a support desk on the real server: customers ask over HTTP, some report what became of the answers, the frontier gets new releases, and each week ends with
/// an update cycle, whose candidate is then tried on the next week's live requests. The frozen snapshot and the frontier answer the same requests beside it.
/// </summary>
internal sealed class DemoRun
{
    private const int Parallel = 8;

    // Requests between two pauses in which the server catches up.
    private const int AtOnce = 20;
    private const int GoldenRequests = 400;
    private const int GoldenMarked = 120;

    private readonly DemoOptions _options;
    private readonly SupportWorld _world;
    private readonly IReadOnlyList<SimulatedRelease> _releases;
    private readonly Action<DemoWeek> _week;
    private readonly Action<string, double?> _now;
    private readonly List<LearningEvent> _events = [];
    private readonly List<DeskRequest> _policyQuestions = [];
    private DemoServer _server = null!;
    private long _promotion;
    private long _cycle;

    /// <summary>Prepares a run.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="week">Told of each week as it ends.</param>
    /// <param name="now">Told what is being done, and how much of it is done.</param>
    public DemoRun(DemoOptions options, Action<DemoWeek> week, Action<string, double?> now)
    {
        _options = options;
        _world = new SupportWorld(options.Seed);
        _releases = ReleasesOf(options.Weeks);
        _week = week;
        _now = now;
    }

    /// <summary>Runs it.</summary>
    public async Task<DemoResult> RunAsync(CancellationToken cancellationToken)
    {
        long begun = Stopwatch.GetTimestamp();
        _now("starting the server and the simulated frontier", null);
        await using DemoServer server = await DemoServer.StartAsync(_options, _releases, cancellationToken);
        _server = server;
        DeskRequest[] golden = [.. _world.Week(0, GoldenRequests, draw: 1).Requests.Where(r => _world.TruthAt(r, _options.Weeks - 1) == r.Answer)];
        const string asksGolden = "asking the first weeks' golden questions";
        string?[] before = await AskAllAsync(golden, ModelAddress.Base, asksGolden, cancellationToken);
        List<DemoWeek> weeks = [];
        for (int week = 0; week < _options.Weeks; week++)
        {
            DemoWeek done = await WeekAsync(week, cancellationToken);
            weeks.Add(done);
            _week(done);
        }
        string?[] after = await AskAllAsync(golden, server.Model.Engine.Adapters.Champion ?? ModelAddress.Base, asksGolden, cancellationToken);
        return new DemoResult
        {
            Options = _options,
            Weeks = weeks,
            Golden = [.. golden.Select((request, i) => new GoldenAnswers(request.Message, request.Answer, before[i], after[i], IsRight(before[i], request), IsRight(after[i], request)))],
            Verdicts = Verdicts(),
            Took = Stopwatch.GetElapsedTime(begun),
        };
    }

    // The bar rises twice: after a third of the weeks, and after two.
    private static IReadOnlyList<SimulatedRelease> ReleasesOf(int weeks) =>
    [
        new SimulatedRelease { Name = "frontier-1", Quality = 0.95, Prices = DemoServer.Prices },
        new SimulatedRelease { Name = "frontier-2", Quality = 0.965, Prices = DemoServer.Prices, After = long.MaxValue - 1 },
        new SimulatedRelease { Name = "frontier-3", Quality = 0.98, Prices = DemoServer.Prices, After = long.MaxValue },
    ];

    private SimulatedRelease ReleaseOf(int week) => _releases[Math.Min(_releases.Count - 1, week * _releases.Count / _options.Weeks)];

    private async Task<DemoWeek> WeekAsync(int week, CancellationToken cancellationToken)
    {
        long begun = Stopwatch.GetTimestamp();
        _server.Clock.Turn(week, 0);
        SimulatedRelease release = ReleaseOf(week);
        if (week > 0 && release != ReleaseOf(week - 1))
        {
            _events.Add(new LearningEvent(LearningEventKind.Release, $"the frontier releases {release.Name}", release.Name));
        }
        _server.Frontier.Choose(release.Name);
        _events.AddRange(_world.Changes.Where(c => c.Week == week).Select(static c => new LearningEvent(LearningEventKind.Drift, c.Text, MarkOf(c.Kind))));
        if (week == _options.PoisonedWeek)
        {
            _events.Add(new LearningEvent(LearningEventKind.Note, "a partner's system sends false corrections for all of its requests", "poison"));
        }
        IReadOnlyList<DeskRequest> requests = _world.Week(week, _options.Requests).Requests;
        Teach(week, requests);
        Asked[] asked = new Asked[requests.Count];
        int done = 0;
        for (int begin = 0; begin < requests.Count; begin += AtOnce)
        {
            await System.Threading.Tasks.Parallel.ForAsync(begin, Math.Min(begin + AtOnce, requests.Count), new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken }, async (i, cancel) =>
            {
                _server.Clock.Turn(week, 0.9 * i / requests.Count);
                asked[i] = await AskAsync(requests[i], week, release, cancel);
                _now($"week {week + 1}: customers ask", (double)Interlocked.Increment(ref done) / requests.Count);
            });
            // A week passes in seconds here; what the server would have done in between, it does.
            await _server.Cycles.CatchUpAsync(cancellationToken);
        }
        await SettleAsync(cancellationToken);
        // Not beside them: the engine computes one batch per adapter, and here customers would wait for the comparison's.
        string?[] frozen = await AskAllAsync(requests, ModelAddress.Base, $"week {week + 1}: asking the frozen snapshot the same", cancellationToken);
        asked = [.. asked.Zip(frozen, static (a, answer) => a with { Frozen = IsRight(answer, a.Request) })];
        double serving = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        if (week <= 1)
        {
            await MarkGoldenAsync(asked, cancellationToken);
        }
        _server.Clock.Turn(week, 0.95);
        begun = Stopwatch.GetTimestamp();
        await UpdateAsync(week, cancellationToken);
        NotePromotions();
        DemoWeek result = Sum(week, asked, release.Name, serving, Stopwatch.GetElapsedTime(begun).TotalSeconds);
        _events.Clear();
        return result;
    }

    // The frontier knows the world as it is now, also where it is asked about an old message again.
    private void Teach(int week, IReadOnlyList<DeskRequest> requests)
    {
        foreach (DeskRequest old in _policyQuestions)
        {
            string now = _world.TruthAt(old, week);
            _server.Knowledge.Add(old.Message, now, [.. old.WrongAnswers.Append(old.Answer).Where(a => a != now)]);
        }
        foreach (DeskRequest request in requests)
        {
            _server.Knowledge.Add(request.Message, request.Answer, request.WrongAnswers);
        }
        _policyQuestions.AddRange(requests.Where(static r => r.Task == DeskTask.Policy));
    }

    private async Task<Asked> AskAsync(DeskRequest request, int week, SimulatedRelease release, CancellationToken cancellationToken)
    {
        bool partner = IsPartner(request);
        HttpClient client = _server.Clients[partner ? DemoServer.Partner : DemoServer.Shop];
        string body = BodyOf(request);
        using StringContent content = new(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await client.PostAsync("/v1/chat/completions", content, cancellationToken);
        response.EnsureSuccessStatusCode();
        using JsonDocument json = JsonDocument.Parse(await response.Content.ReadAsStringAsync(cancellationToken));
        string answer = json.RootElement.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString() ?? "";
        string id = response.Headers.GetValues("x-continual-request-id").Single();
        bool up = response.Headers.GetValues("x-continual-route").Single() == "frontier";
        bool right = IsRight(answer, request);
        await ReportAsync(client, request, week, id, right, partner, cancellationToken);
        using JsonDocument parsed = JsonDocument.Parse(body);
        SimulatedAnswer frontier = _server.Frontier.Answer(SimulatedChat.Parse(parsed.RootElement), release, request.Number, empty: false);
        return new Asked(request, id, up, right, IsRight(string.Concat(frontier.Pieces), request),
            DemoServer.Prices.Of(frontier.PromptTokens, frontier.CachedTokens, frontier.CompletionTokens));
    }

    private static string BodyOf(DeskRequest request) => JsonSerializer.Serialize(new
    {
        messages = new[] { new { role = "system", content = request.SystemPrompt }, new { role = "user", content = request.Message } },
        temperature = 0,
        max_tokens = 48,
        user = request.Customer,
        metadata = new { task = request.Task == DeskTask.Triage ? "triage" : "policy" },
    });

    // One customer in four comes through the partner.
    private static bool IsPartner(DeskRequest request) => request.Customer[^1] is '0' or '4' or '8';

    private static bool IsRight(string? answer, DeskRequest request) => answer is not null && Agreement.Score(AgreementMeasure.Normalized, answer, request.Answer) >= 1;

    // Customers report on a part of their requests, and now and then say what would have been right. In the poisoned week the partner's system reports
    // on everything, and every report is a false correction.
    private async Task ReportAsync(HttpClient client, DeskRequest request, int week, string id, bool right, bool partner, CancellationToken cancellationToken)
    {
        if (_options.Without.HasFlag(DemoAblation.NoOutcomes))
        {
            return;
        }
        double draw = SeededHash.Share(_options.Seed, "report", $"{request.Number}");
        object? report = partner && week == _options.PoisonedWeek
            ? new { request_id = id, outcome = "corrected", correction = request.WrongAnswers[0], source = "partner" }
            : draw >= _options.FeedbackShare ? null
            : right ? new { request_id = id, outcome = "accepted", source = "customer" }
            : draw < _options.FeedbackShare / 2 ? new { request_id = id, outcome = "corrected", correction = request.Answer, source = "customer" }
            : new { request_id = id, outcome = "rejected", source = "customer" };
        if (report is not null)
        {
            using HttpResponseMessage response = await client.PostAsJsonAsync("/v1/feedback", report, cancellationToken);
            response.EnsureSuccessStatusCode();
        }
    }

    // Until what customers asked is stored and the teacher has answered what it is to answer.
    private async Task SettleAsync(CancellationToken cancellationToken)
    {
        TrafficStore store = _server.Signal.Store!;
        for (int tries = 0; tries < 100; tries++)
        {
            await Task.WhenAll(_server.Signal.Pending.Values).WaitAsync(cancellationToken);
            await store.FlushAsync(cancellationToken);
            if (!store.Unlabelled(0, 10_000).Any(static u => u.Audited))
            {
                return;
            }
            _server.Signal.AuditWaits();
            await Task.Delay(50, cancellationToken);
        }
    }

    // What the first weeks asked and a teacher answered: later adapters must not forget it.
    private async Task MarkGoldenAsync(Asked[] asked, CancellationToken cancellationToken)
    {
        TrafficStore store = _server.Signal.Store!;
        int marked = store.Tasks().Sum(t => store.Golden(t).Count);
        foreach (SignalRequest request in store.SignalRequests([.. asked.Select(static a => a.Id)]))
        {
            if (marked < GoldenMarked && request.Labels.Count > 0 && Holdout.IsHoldout(request.Key.RequestId, 0.5) && await store.SetGoldenAsync(request.Key.RequestId, true, cancellationToken))
            {
                marked++;
            }
        }
    }

    // Begins the week's cycle and waits until it has to be tried on live requests, or has ended.
    private async Task UpdateAsync(int week, CancellationToken cancellationToken)
    {
        if (week == _options.Weeks - 1)
        {
            return;
        }
        CycleRecord? last = _server.Signal.Store!.ActiveCycle();
        if (last is not null)
        {
            // Last week's candidate could not show its gain in a week: what it was taught goes into the new one.
            _server.Cycles.Cancel(last.Id);
            last = await WaitAsync(last.Id, static c => !c.IsActive, cancellationToken);
        }
        if (week == _options.PoisonedWeek && !_options.Without.HasFlag(DemoAblation.NoOutcomes))
        {
            // What the gate is for: a candidate that takes every report at its word, and more than a teacher's, with nothing old beside it, as training on whatever came in last would. The one after it is made by the policy, which knows whom not to believe.
            CurationOptions believing = _server.Signal.Curation with { BelieveReports = true, MaxPerKey = 1, CorrectionWeight = 5, ReplayRatio = 0 };
            CycleRecord poisoned = await _server.Cycles.BeginAsync(CycleTrigger.Manual, $"week {week + 1}, every report believed", believing, cancellationToken);
            poisoned = await WaitAsync(poisoned.Id, static c => c.State >= CycleState.Shadow, cancellationToken);
            if (poisoned.IsActive)
            {
                _server.Cycles.Cancel(poisoned.Id);
                await WaitAsync(poisoned.Id, static c => !c.IsActive, cancellationToken);
            }
        }
        CycleRecord cycle = await _server.Cycles.BeginAsync(CycleTrigger.Manual, $"week {week + 1}", null, cancellationToken);
        await WaitAsync(cycle.Id, static c => c.State >= CycleState.Shadow, cancellationToken);
    }

    private async Task<CycleRecord> WaitAsync(long id, Func<CycleRecord, bool> until, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_server.Signal.Store!.Cycle(id) is { } cycle && until(cycle))
            {
                return cycle;
            }
            if (_server.Cycles.Progress is { } progress)
            {
                _now($"update {progress.Cycle}: {CycleText.Name(progress.State)}, {progress.Activity}", progress.Share);
            }
            await Task.Delay(20, cancellationToken);
        }
    }

    private void NotePromotions()
    {
        TrafficStore store = _server.Signal.Store!;
        foreach (PromotionRecord promotion in store.Promotions(50).Where(p => p.Number > _promotion).Reverse())
        {
            _promotion = promotion.Number;
            bool rollback = promotion.Reason is PromotionReason.Rollback or PromotionReason.ManualRollback;
            _events.Add(rollback
                ? new LearningEvent(LearningEventKind.Rollback, $"{promotion.Previous} is taken back for {promotion.Adapter}", promotion.Previous)
                : new LearningEvent(LearningEventKind.Promotion, $"{promotion.Adapter} becomes champion", promotion.Adapter));
        }
        foreach (CycleRecord cycle in store.Cycles(50).Where(c => c.Id > _cycle && !c.IsActive).Reverse())
        {
            _cycle = cycle.Id;
            if (cycle.State is CycleState.Rejected or CycleState.Failed)
            {
                _events.Add(new LearningEvent(LearningEventKind.Rejection, $"{cycle.Candidate} is refused: {cycle.Outcome}", cycle.Candidate));
            }
        }
    }

    private static string MarkOf(World.RequestKind kind) => kind switch
    {
        World.RequestKind.NewProduct => "product",
        World.RequestKind.NewIntent => "intent",
        World.RequestKind.ChangedPolicy => "policy",
        _ => "wording",
    };

    private List<AdapterVerdict> Verdicts()
    {
        List<AdapterVerdict> verdicts = [];
        foreach (CycleRecord cycle in _server.Signal.Store!.Cycles(1000).Reverse())
        {
            if (_server.Signal.Store!.Evaluations(cycle.Candidate) is [.., { } last])
            {
                verdicts.Add(new AdapterVerdict(cycle.Candidate, GateVerdictJson.Read(last.Json)));
            }
        }
        return verdicts;
    }

    // What an adapter answers to each by itself; null where it could not.
    private async Task<string?[]> AskAllAsync(IReadOnlyList<DeskRequest> requests, string adapter, string what, CancellationToken cancellationToken)
    {
        string?[] answers = new string?[requests.Count];
        int done = 0;
        Replayer replayer = new(_server.Signal, _server.Model);
        await System.Threading.Tasks.Parallel.ForAsync(0, requests.Count, new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken }, async (i, cancel) =>
        {
            answers[i] = (await replayer.AskAsync(BodyOf(requests[i]), adapter, early: false, seed: 1, timed: false, cancel))?.Answer;
            _now(what, (double)Interlocked.Increment(ref done) / requests.Count);
        });
        return answers;
    }

    private DemoWeek Sum(int week, Asked[] asked, string release, double servingSeconds, double updateSeconds)
    {
        DateOnly from = DateOnly.FromDateTime(DemoClock.Start.AddDays(7 * week).UtcDateTime);
        Dictionary<LedgerKind, Money> spent = _server.Signal.Store!.Ledger(from, from.AddDays(6)).GroupBy(static l => l.Kind)
            .ToDictionary(static g => g.Key, static g => new Money(g.Sum(static l => l.Amount.Nanos)));
        double localSeconds = _server.Signal.Store!.Traffic(from, from.AddDays(6)).Sum(static t => t.LocalSeconds);
        Money serving = Money.FromDollars(_server.Signal.Options.MachinePrice * (decimal)(localSeconds / 3600));
        Money escalation = spent.GetValueOrDefault(LedgerKind.Escalation);
        Money teaching = spent.GetValueOrDefault(LedgerKind.Teaching);
        Money training = spent.GetValueOrDefault(LedgerKind.Training);
        return new DemoWeek
        {
            Week = week,
            Frozen = TallyOf(asked, static a => a.Frozen),
            Continual = TallyOf(asked, static a => a.Right),
            Frontier = TallyOf(asked, static a => a.Frontier),
            Local = TallyOf([.. asked.Where(static a => !a.Up)], static a => a.Right),
            RoutedUp = asked.Count(static a => a.Up),
            RoutedUpByQuarter = [.. asked.Chunk((asked.Length + 3) / 4).Select(static q => (double)q.Count(static a => a.Up) / q.Length)],
            ByKind = asked.GroupBy(static a => a.Request.Kind).ToDictionary(static g => g.Key, static g => (TallyOf([.. g], static a => a.Right), TallyOf([.. g], static a => a.Frozen), g.Count(static a => a.Up))),
            ByChange = asked.Where(static a => a.Request.Change >= 0).GroupBy(a => _world.Changes[a.Request.Change].Week)
                .ToDictionary(static g => g.Key, static g => (TallyOf([.. g], static a => a.Right), g.Count(static a => a.Up))),
            Cost = escalation + teaching + training + serving,
            Escalation = escalation,
            Teaching = teaching,
            Training = training,
            Serving = serving,
            FrontierOnly = new Money(asked.Sum(static a => a.FrontierPrice.Nanos)),
            Release = release,
            Champion = _server.Model.Engine.Adapters.Champion ?? ModelAddress.Base,
            Events = [.. _events],
            ServingSeconds = servingSeconds,
            UpdateSeconds = updateSeconds,
        };
    }

    private static Tally TallyOf(Asked[] asked, Func<Asked, bool> right) => new(asked.Count(right), asked.Length);

    private sealed record Asked(DeskRequest Request, string Id, bool Up, bool Right, bool Frontier, Money FrontierPrice)
    {
        public bool Frozen { get; init; }
    }
}
