using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class RequestStorageTests
{
    [Fact]
    public async Task A_request_comes_back_as_it_was_but_for_its_user()
    {
        await using StoreFixture fixture = Open();
        RequestRecord request = Request(1) with { FinishReason = "length", Streamed = true };
        await fixture.Store.RecordAsync(request);
        await fixture.Store.FlushAsync();
        StoredRequest stored = fixture.Store.Find(request.Id)!;
        Assert.Equal(1, stored.Sequence);
        Assert.Equal(request.Embedding.ToArray(), stored.Request.Embedding.ToArray());
        Assert.Equal(request with { User = null, Embedding = default }, stored.Request with { Embedding = default });
        Assert.False(stored.Erased || stored.Expired || stored.Golden || stored.Contradicted);
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task A_request_without_anything_optional_comes_back_too()
    {
        await using StoreFixture fixture = Open();
        RequestRecord request = new()
        {
            Id = Id(9),
            At = Start,
            Kind = RequestKind.Completion,
            Task = "",
            Model = "m",
            Adapter = "base",
            Decision = new RouteDecision { Route = Route.Frontier, Reason = RouteReason.Uncalibrated },
        };
        await fixture.Store.RecordAsync(request);
        await fixture.Store.FlushAsync();
        Assert.Equal(request, fixture.Store.Find(request.Id)!.Request);
        Assert.Empty(fixture.Store.Unlabelled(0, 10));
    }

    [Theory]
    [InlineData("")]
    [InlineData("abc")]
    [InlineData("ABCDEFABCDEFABCDEFABCDEF")]
    [InlineData("00000000000000000000000g")]
    public async Task An_id_of_another_form_is_refused_and_never_found(string id)
    {
        await using StoreFixture fixture = Open();
        await Assert.ThrowsAsync<ArgumentException>(async () => await fixture.Store.RecordAsync(Request(1) with { Id = id }));
        Assert.Null(fixture.Store.Find(id));
        Assert.Equal(OutcomeVerdict.UnknownRequest, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted) with { RequestId = id }));
    }

    [Fact]
    public async Task A_second_request_of_the_same_id_is_ignored()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.RecordAsync(Request(1));
        await fixture.Store.RecordAsync(Request(1) with { LocalAnswer = "another" });
        await fixture.Store.RecordAsync(Request(2));
        await fixture.Store.FlushAsync();
        Assert.Equal("Answer number 1", fixture.Store.Find(Id(1))!.Request.LocalAnswer);
        Assert.Equal((2, 1), (fixture.Store.Statistics.Requests, fixture.Store.Statistics.Ignored));
        Assert.Equal(2, Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue)).Requests);
    }

    [Fact]
    public async Task Order_is_that_of_arrival_whatever_the_clock_says()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(20, i => Request(i) with { At = Start.AddDays(i % 2 == 0 ? -i : i) });
        Assert.Equal(Enumerable.Range(1, 20).Select(Id), fixture.Store.Unlabelled(0, 100).Select(u => u.RequestId));
        await fixture.ReopenAsync();
        await fixture.Store.RecordAsync(Request(21) with { At = Start.AddYears(-10) });
        await fixture.Store.FlushAsync();
        Assert.Equal(Id(21), fixture.Store.Unlabelled(20, 1).Single().RequestId);
    }

    [Fact]
    public async Task Embeddings_keep_their_numbers_to_a_thousandth_and_beyond_halves_exactly()
    {
        await using StoreFixture fixture = Open();
        Random random = new(5);
        float[] unit = [.. Enumerable.Range(0, 259).Select(_ => (random.NextSingle() - 0.5f) / 8), 6e-8f, -1e-5f, 0];
        float[] large = [1e9f, -3.5f, 1e-9f];
        await fixture.Store.RecordAsync(Request(1) with { Embedding = unit });
        await fixture.Store.RecordAsync(Request(2) with { Embedding = large });
        await fixture.Store.FlushAsync();
        float[] back = fixture.Store.Find(Id(1))!.Request.Embedding.ToArray();
        Assert.Equal(unit.Length, back.Length);
        Assert.All(unit.Zip(back), pair => Assert.Equal((float)(Half)pair.First, pair.Second));
        Assert.Equal(large, fixture.Store.Find(Id(2))!.Request.Embedding.ToArray());
    }

    [Fact]
    public async Task Totals_of_a_day_add_up_by_task_adapter_and_route()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(10);
        RequestRecord frontier = Request(11) with { At = Start.AddDays(1), Decision = new RouteDecision { Route = Route.Frontier, Reason = RouteReason.Uncertain } };
        await fixture.Store.RecordAsync(frontier);
        await fixture.Store.RecordAsync(Request(12));
        await fixture.Store.FlushAsync();
        DateOnly day = DateOnly.FromDateTime(Start.UtcDateTime);
        TrafficTotals local = Assert.Single(fixture.Store.Traffic(day, day));
        Assert.Equal(("support", "base", Route.Local, RouteReason.Confident), (local.Task, local.Adapter, local.Route, local.Reason));
        Assert.Equal((11, 121, 44, 77), (local.Requests, local.PromptTokens, local.CachedTokens, local.CompletionTokens));
        Assert.Equal(11 * 0.25, local.LocalSeconds, 9);
        Assert.Equal(2, fixture.Store.Traffic(day, day.AddDays(1)).Count);
        Assert.Equal(1, Assert.Single(fixture.Store.Traffic(day.AddDays(1), day.AddDays(9))).Requests);
    }

    [Fact]
    public async Task Costs_add_up_by_day_kind_endpoint_and_task_and_stay_with_their_request()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2);
        LedgerEntry serving = new() { At = Start, Kind = LedgerKind.Serving, Amount = new Money(7), RequestId = Id(1), Task = "support", Seconds = 0.5 };
        await fixture.Store.RecordAsync(serving);
        await fixture.Store.RecordAsync(serving with { Amount = new Money(5), RequestId = Id(2) });
        await fixture.Store.RecordAsync(serving with { Amount = new Money(11), RequestId = null, Kind = LedgerKind.Training });
        await fixture.Store.RecordAsync(Label(1, reason: LabelReason.Escalated));
        await fixture.Store.RecordAsync(Label(2));
        await fixture.Store.FlushAsync();
        DateOnly day = DateOnly.FromDateTime(Start.UtcDateTime);
        Assert.Equal(new Money(12), fixture.Store.Spent(LedgerKind.Serving, day));
        Assert.Equal(new Money(12_345), fixture.Store.Spent(LedgerKind.Escalation, day));
        Assert.Equal(new Money(12_345), fixture.Store.Spent(LedgerKind.Teaching, day));
        Assert.Equal(Money.Zero, fixture.Store.Spent(LedgerKind.Serving, day.AddDays(1)));
        LedgerTotals teaching = Assert.Single(fixture.Store.Ledger(day, day), t => t.Kind == LedgerKind.Teaching);
        Assert.Equal(("up", "support", 1, 20, 5, 9), (teaching.Endpoint, teaching.Task, teaching.Calls, teaching.PromptTokens, teaching.CachedTokens, teaching.CompletionTokens));
        IReadOnlyList<LedgerEntry> costs = fixture.Store.Find(Id(1))!.Costs;
        Assert.Equal([LedgerKind.Serving, LedgerKind.Escalation], costs.Select(c => c.Kind));
        Assert.Equal(serving, costs[0]);
    }

    [Fact]
    public async Task Tasks_are_those_that_had_requests()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(3, i => Request(i) with { Task = "task " + (i % 2) });
        await fixture.Store.SaveCalibrationAsync("never asked", "base", "{}");
        Assert.Equal(["task 0", "task 1"], fixture.Store.Tasks().Order());
    }

    [Fact]
    public async Task The_newest_calibration_of_each_task_counts_and_all_stay()
    {
        await using StoreFixture fixture = Open();
        Assert.Equal(1, await fixture.Store.SaveCalibrationAsync("a", "base", "one"));
        Assert.Equal(2, await fixture.Store.SaveCalibrationAsync("b", "base", "two"));
        Assert.Equal(3, await fixture.Store.SaveCalibrationAsync("a", "tuned", "three"));
        Assert.Equal([(3L, "a", "tuned", Start, "three"), (2L, "b", "base", Start, "two")], fixture.Store.Calibrations().Select(c => (c.Id, c.Task, c.Adapter, c.At, c.Calibration)));
        Assert.Equal("one", fixture.Store.Calibration(1));
        Assert.Null(fixture.Store.Calibration(4));
    }

    [Fact]
    public async Task Statistics_survive_a_restart()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(5);
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted));
        await fixture.Store.RecordAsync(Label(2));
        await fixture.ReopenAsync();
        StoreStatistics statistics = fixture.Store.Statistics;
        Assert.Equal((5, 1, 1, 0, 0), (statistics.Requests, statistics.Outcomes, statistics.Labels, statistics.Queued, statistics.Dropped));
        Assert.True(statistics.Bytes > 0);
        Assert.Null(statistics.Failing);
    }
}
