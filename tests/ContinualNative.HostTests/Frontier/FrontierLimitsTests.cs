using ContinualNative.Core.Economics;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Frontier.Simulation;
using Microsoft.AspNetCore.Http;

namespace ContinualNative.HostTests.Frontier;

/// <summary>Budgets, slots and cancellation.</summary>
public sealed class FrontierLimitsTests
{
    [Fact]
    public async Task Over_budget_nothing_is_sent()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        // A call of three tokens that may give ten is reckoned at 86000 billionths; it costs 46000.
        using FrontierClient client = Asking.Client(new FrontierOptions { EscalationPerDay = 0.000150m, TeachingPerDay = 0.01m }, null, null, server.Options());
        FrontierRequest request = Asking.Request("question 5") with { MaxTokens = 10 };
        await client.AskAsync(request, stream: false);
        await client.AskAsync(request, stream: true);
        FrontierException failure = await Assert.ThrowsAsync<FrontierException>(() => client.AskAsync(request, stream: false));
        Assert.Equal(FrontierErrorKind.OverBudget, failure.Kind);
        Assert.Contains("escalation", failure.Message);
        await Assert.ThrowsAsync<FrontierException>(() => client.AskAsync(request, stream: true));
        Assert.Equal(2, server.Model.State().Requests);
        SpendStatus status = client.Spend.Status(LedgerKind.Escalation);
        Assert.Equal((new Money(92_000), Money.Zero, 2L), (status.Spent, status.Reserved, status.Refused));

        // The other purse is its own.
        await client.CompleteAsync(request, FrontierPurpose.Teaching, Asking.Token);
        Assert.Equal(new Money(46_000), client.Spend.Status(LedgerKind.Teaching).Spent);
    }

    [Fact]
    public async Task A_new_day_has_a_new_budget_and_a_clock_set_back_has_none()
    {
        JumpingTime time = new();
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        SpendMeter meter = new(new Dictionary<LedgerKind, Money> { [LedgerKind.Escalation] = new(60_000) }, time);
        using FrontierClient client = new(new FrontierOptions { Endpoints = [server.Options()], ExpectedTokens = 5 }, new MessageLog(), meter, time);
        await client.AskAsync("question 5");
        await client.FailAsync(FrontierErrorKind.OverBudget);
        time.Jump(TimeSpan.FromDays(-3));
        await client.FailAsync(FrontierErrorKind.OverBudget);
        time.Jump(TimeSpan.FromDays(4));
        await client.AskAsync("question 5");
        await client.FailAsync(FrontierErrorKind.OverBudget);
    }

    [Fact]
    public async Task A_cheaper_endpoint_may_still_be_within_the_budget()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(new FrontierOptions { EscalationPerDay = 0.000150m }, null, null, server.Options(), server.Options("b") with { Prices = new TokenPrices(0, 0, 0) });
        Assert.Equal("b", (await client.AskAsync("question 5")).Endpoint);
    }

    [Fact]
    public async Task No_more_calls_run_at_once_than_may()
    {
        Gate gate = new();
        await using TestEndpoint server = await TestEndpoint.ServeAsync(gate.AnswerAsync);
        using FrontierClient client = Asking.Client(new FrontierOptions { SlotWait = TimeSpan.FromMinutes(1) }, null, null, server.Options() with { MaxConcurrent = 3 });
        Task<FrontierAnswer>[] calls = [.. Enumerable.Range(0, 20).Select(i => client.AskAsync(Asking.Request("q"), stream: i % 2 == 1))];
        await gate.ReachedAsync(3);
        Assert.Equal((3, 17), (client.Health()[0].Running, client.Health()[0].Waiting));
        gate.Open();
        await Task.WhenAll(calls);
        Assert.Equal((3, 20), (gate.Most, server.Requests));
        Assert.Equal((0, 0), (client.Health()[0].Running, client.Health()[0].Waiting));
    }

    [Fact]
    public async Task Whoever_finds_no_slot_is_told_that_it_is_busy_or_goes_to_the_next()
    {
        Gate gate = new();
        await using TestEndpoint full = await TestEndpoint.ServeAsync(gate.AnswerAsync);
        await using TestEndpoint free = await TestEndpoint.SimulateAsync();
        using FrontierClient alone = Asking.Client(new FrontierOptions { SlotWait = TimeSpan.FromMilliseconds(10) }, null, null, full.Options() with { MaxConcurrent = 1 });
        using FrontierClient two = Asking.Client(full.Options() with { MaxConcurrent = 1 }, free.Options("b"));
        Task<FrontierAnswer> first = alone.AskAsync("q");
        Task<FrontierAnswer> second = two.AskAsync("q");
        await gate.ReachedAsync(2);
        Assert.Contains("'max_concurrent', 1", (await alone.FailAsync(FrontierErrorKind.Busy)).Message);
        await alone.FailAsync(FrontierErrorKind.Busy, stream: true);
        Assert.Equal("b", (await two.AskAsync("question 5")).Endpoint);
        gate.Open();
        await Task.WhenAll(first, second);
        Assert.Equal(2, full.Requests);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_cancelled_call_frees_its_slot_and_books_the_prompt(bool stream)
    {
        Gate gate = new();
        await using TestEndpoint server = await TestEndpoint.ServeAsync(gate.AnswerAsync);
        using FrontierClient client = Asking.Client(server.Options() with { MaxConcurrent = 1 });
        List<FrontierCharge> charges = [];
        client.Charged = charges.Add;
        using CancellationTokenSource cancel = CancellationTokenSource.CreateLinkedTokenSource(Asking.Token);
        Task<FrontierAnswer> call = stream
            ? Task.Run(async () =>
            {
                await foreach (FrontierChunk chunk in client.StreamAsync(Asking.Request("12345678"), FrontierPurpose.Escalation, cancel.Token))
                {
                    Assert.Fail("Nothing was sent.");
                }
                return (FrontierAnswer)null!;
            })
            : client.CompleteAsync(Asking.Request("12345678"), FrontierPurpose.Escalation, cancel.Token);
        await gate.ReachedAsync(1);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        Assert.Equal(0, client.Health()[0].Running);
        Assert.Empty(client.Health()[0].Failures);
        FrontierCharge charge = Assert.Single(charges);
        Assert.Equal((FrontierChargeReason.Abandoned, 2, 0, new Money(2 * 2000)), (charge.Reason, charge.PromptTokens, charge.CompletionTokens, charge.Cost));
        gate.Open();
        await client.AskAsync("q");
    }

    [Fact]
    public async Task A_stream_that_its_reader_leaves_ends_the_call_and_books_what_came()
    {
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            http.Response.ContentType = "text/event-stream";
            await TestEndpoint.SendAsync(http, $"data: {TestEndpoint.Chunk("""{"content":"12345678"}""")}\n\n");
            await Task.Delay(Timeout.Infinite, http.RequestAborted);
        });
        using FrontierClient client = Asking.Client(server.Options() with { MaxConcurrent = 1 });
        List<FrontierCharge> charges = [];
        client.Charged = charges.Add;
        await foreach (FrontierChunk chunk in client.StreamAsync(Asking.Request("12345678"), FrontierPurpose.Escalation, Asking.Token))
        {
            Assert.Equal(1, client.Health()[0].Running);
            break;
        }
        Assert.Equal(0, client.Health()[0].Running);
        FrontierCharge charge = Assert.Single(charges);
        Assert.Equal((FrontierChargeReason.Abandoned, 2, 2, new Money((2 * 2000) + (2 * 8000))), (charge.Reason, charge.PromptTokens, charge.CompletionTokens, charge.Cost));
        Assert.Equal(charge.Cost, client.Spend.Status(LedgerKind.Escalation).Spent);
    }

    [Fact]
    public async Task Teaching_leaves_a_slot_for_those_who_wait()
    {
        Gate gate = new();
        await using TestEndpoint server = await TestEndpoint.ServeAsync(gate.AnswerAsync);
        using FrontierClient client = Asking.Client(new FrontierOptions { SlotWait = TimeSpan.FromMilliseconds(10) }, null, null, server.Options() with { MaxConcurrent = 2 });
        Task<FrontierAnswer> lesson = client.AskAsync("q", FrontierPurpose.Teaching);
        await gate.ReachedAsync(1);
        await client.FailAsync(FrontierErrorKind.Busy, purpose: FrontierPurpose.Teaching);
        Task<FrontierAnswer> escalation = client.AskAsync("q");
        await gate.ReachedAsync(2);
        gate.Open();
        await Task.WhenAll(lesson, escalation);
    }

    [Fact]
    public async Task Slots_go_to_escalations_first_and_then_to_lessons_in_order()
    {
        CallSlots slots = new(2, TimeProvider.System);
        TimeSpan wait = TimeSpan.FromMinutes(1);
        Assert.True(await slots.EnterAsync(FrontierPurpose.Escalation, wait, Asking.Token));
        Assert.True(await slots.EnterAsync(FrontierPurpose.Escalation, wait, Asking.Token));
        Task<bool> lesson = slots.EnterAsync(FrontierPurpose.Teaching, wait, Asking.Token);
        using CancellationTokenSource cancel = new();
        Task<bool> goes = slots.EnterAsync(FrontierPurpose.Escalation, wait, cancel.Token);
        Task<bool> third = slots.EnterAsync(FrontierPurpose.Escalation, wait, Asking.Token);
        Assert.Equal((2, 3), (slots.Running, slots.Waiting));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => goes);
        slots.Leave();
        Assert.True(await third);
        Assert.False(lesson.IsCompleted);
        slots.Leave();
        // One runs, one is free: the last free one is not for lessons.
        Assert.False(lesson.IsCompleted);
        slots.Leave();
        Assert.True(await lesson);
        slots.Leave();
        Assert.Equal((0, 0), (slots.Running, slots.Waiting));
        Assert.False(await slots.EnterAsync(FrontierPurpose.Teaching, TimeSpan.Zero, Asking.Token) && await slots.EnterAsync(FrontierPurpose.Teaching, TimeSpan.Zero, Asking.Token));
    }

    [Fact]
    public async Task Slots_are_never_lost_nor_doubled_under_load()
    {
        CallSlots slots = new(4, TimeProvider.System);
        int running = 0;
        int most = 0;
        await Parallel.ForEachAsync(Enumerable.Range(0, 3000), new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = Asking.Token }, async (i, cancel) =>
        {
            using CancellationTokenSource own = new();
            if (i % 5 == 0)
            {
                own.CancelAfter(TimeSpan.FromMilliseconds(i % 3));
            }
            try
            {
                if (!await slots.EnterAsync(i % 3 == 0 ? FrontierPurpose.Teaching : FrontierPurpose.Escalation, TimeSpan.FromMilliseconds(i % 4), own.Token))
                {
                    return;
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }
            int now = Interlocked.Increment(ref running);
            InterlockedMax(ref most, now);
            await Task.Yield();
            Interlocked.Decrement(ref running);
            slots.Leave();
        });
        Assert.InRange(most, 1, 4);
        Assert.Equal((0, 0), (slots.Running, slots.Waiting));

        static void InterlockedMax(ref int place, int value)
        {
            int before;
            while ((before = Volatile.Read(ref place)) < value && Interlocked.CompareExchange(ref place, value, before) != before)
            {
            }
        }
    }

    [Fact]
    public async Task The_seeded_simulation_charges_what_the_client_books()
    {
        TokenPrices prices = new(2, 1, 8);
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedRelease { Name = "s", Quality = 0.5, Prices = prices, Failures = new SimulatedFailures { RefuseRate = 0.3 } });
        using FrontierClient client = Asking.Client(server.Options(retries: 10));
        Money sum = Money.Zero;
        for (int i = 0; i < 40; i++)
        {
            sum += (await client.AskAsync(Asking.Request($"question {i % 8}", "same system"), stream: i % 2 == 0)).Cost;
        }
        Assert.Equal(server.Model.State().Charged, sum);
        Assert.Equal(sum, client.Spend.Status(LedgerKind.Escalation).Spent);
        Assert.Equal(server.Model.State().Count(SimulatedFate.Refused), client.Health()[0].Retries);
    }

    /// <summary>Holds requests until it is opened, and counts how many it held at once.</summary>
    private sealed class Gate
    {
        private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _lock = new();
        private readonly List<(int Count, TaskCompletionSource Reached)> _watchers = [];
        private int _running;
        private int _came;

        public int Most { get; private set; }

        public void Open() => _open.SetResult();

        public Task ReachedAsync(int count)
        {
            lock (_lock)
            {
                if (_came >= count)
                {
                    return Task.CompletedTask;
                }
                TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
                _watchers.Add((count, reached));
                return reached.Task.WaitAsync(TimeSpan.FromMinutes(1), Asking.Token);
            }
        }

        public async Task AnswerAsync(HttpContext http)
        {
            string body = await new StreamReader(http.Request.Body).ReadToEndAsync();
            lock (_lock)
            {
                _came++;
                Most = Math.Max(Most, ++_running);
                foreach ((int count, TaskCompletionSource reached) in _watchers)
                {
                    if (_came >= count)
                    {
                        reached.TrySetResult();
                    }
                }
            }
            try
            {
                await _open.Task.WaitAsync(http.RequestAborted);
            }
            finally
            {
                lock (_lock)
                {
                    _running--;
                }
            }
            bool stream = body.Contains("\"stream\":true", StringComparison.Ordinal);
            http.Response.ContentType = stream ? "text/event-stream" : "application/json";
            await http.Response.WriteAsync(stream ? $"data: {TestEndpoint.Chunk("""{"content":"hi"}""")}\n\ndata: {TestEndpoint.Chunk("{}", "\"stop\"")}\n\ndata: [DONE]\n\n" : TestEndpoint.Saying("hi"));
        }
    }
}
