using System.Net;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

/// <summary>What begins a cycle by itself, and what may not begin or end one.</summary>
[Collection(CycleCollection.Name)]
public sealed class TriggerTests(CycleFixture fixture)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_cycle_that_is_asked_for_at_the_moment_when_one_ends_is_not_lost()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            // There is nothing to learn from, so that each ends as it begins; who asks then is told no, or gets the next one, but always hears of it.
            await using ContinualServer server = await fixture.StartAsync(data);
            int begun = 0;
            for (int i = 0; i < 400; i++)
            {
                using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
                patience.CancelAfter(TimeSpan.FromSeconds(30));
                try
                {
                    CycleRecord cycle = await server.Cycles.BeginAsync(CycleTrigger.Manual, $"{i}", null, patience.Token);
                    begun++;
                    while (server.Signal.Store!.Cycle(cycle.Id)!.IsActive)
                    {
                        await Task.Yield();
                    }
                }
                catch (StoreException e) when (e.Error == StoreError.Conflict)
                {
                    // It was on its last instruction.
                }
                catch (OperationCanceledException)
                {
                    Assert.Fail($"Nobody answered who asked for a cycle for the {i + 1}. time.");
                }
            }
            Assert.InRange(begun, 200, 400);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task Enough_labels_begin_a_cycle_and_it_can_be_cancelled_but_no_second_one_begun()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            // So many epochs that it trains until it is told to stop.
            await using ContinualServer server = await fixture.StartAsync(data, """{"label_count":30,"epochs":1000}""");
            CycleRecord cycle = await server.UntilAsync(1, static c => c.State == CycleState.Training);
            Assert.Equal(CycleTrigger.Labels, cycle.Trigger);
            Assert.EndsWith("new labels", cycle.Cause, StringComparison.Ordinal);
            Reply second = await server.PostAsync("/admin/cycles", "");
            Assert.True(second.Status == 409, second.Body);
            Assert.Equal(HttpStatusCode.NotFound, (await server.Client.DeleteAsync("/admin/cycles/7", Cancelled)).StatusCode);
            using (HttpResponseMessage cancelled = await server.Client.DeleteAsync("/admin/cycles/1", Cancelled))
            {
                Assert.Equal(HttpStatusCode.Accepted, cancelled.StatusCode);
            }
            Assert.Equal(CycleState.Cancelled, (await server.UntilEndedAsync(1)).State);
            await CycleCalls.UntilAsync(() => Task.FromResult(server.Cycles.Progress is null), "the cycle is put away");
            Assert.Equal(HttpStatusCode.Conflict, (await server.Client.DeleteAsync("/admin/cycles/1", Cancelled)).StatusCode);
            Assert.False(Directory.Exists(Path.Combine(data, "cycles", "1")));
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            using JsonDocument list = JsonDocument.Parse(await server.Client.GetStringAsync("/admin/cycles", Cancelled));
            Assert.Equal("cancelled", Assert.Single(list.RootElement.GetProperty("data").EnumerateArray().ToArray()).GetProperty("state").GetString());
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_new_release_of_the_teacher_begins_a_cycle()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            // More examples than there are: what it begins with is what matters here.
            await using ContinualServer server = await fixture.StartAsync(data, """{"on_new_teacher":true,"minimum_examples":1000}""");
            Assert.Equal("frontier", (await server.PostAsync("/v1/chat/completions", CycleCalls.Chat(fixture.Questions(1)[0], "\"route\":\"frontier\""))).Route);
            Assert.Empty(server.Signal.Store!.Cycles(10));
            Assert.True(fixture.Teacher.Choose("sim-2"));
            Assert.Equal("frontier", (await server.PostAsync("/v1/chat/completions", CycleCalls.Chat(fixture.Questions(1)[0], "\"route\":\"frontier\""))).Route);
            CycleRecord cycle = await server.UntilEndedAsync(1);
            Assert.Equal((CycleTrigger.NewTeacher, CycleState.Rejected), (cycle.Trigger, cycle.State));
            Assert.Contains("sim-2", cycle.Cause, StringComparison.Ordinal);
            Assert.Contains("fresh examples to learn from", cycle.Outcome, StringComparison.Ordinal);
        }
        finally
        {
            fixture.Teacher.Choose(null);
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_new_release_that_came_before_a_restart_begins_a_cycle_after_it_and_only_one()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                Assert.True(fixture.Teacher.Choose("sim-2"));
                Assert.Equal("frontier", (await server.PostAsync("/v1/chat/completions", CycleCalls.Chat(fixture.Questions(1)[0], "\"route\":\"frontier\""))).Route);
                await server.AuditedAsync();
                Assert.Empty(server.Signal.Store!.Cycles(10));
            }
            const string Update = """{"on_new_teacher":true,"minimum_examples":1000}""";
            await using (ContinualServer server = await fixture.StartAsync(data, Update))
            {
                CycleRecord cycle = await server.UntilEndedAsync(1);
                Assert.Equal(CycleTrigger.NewTeacher, cycle.Trigger);
                Assert.Contains("sim-2", cycle.Cause, StringComparison.Ordinal);
            }
            await using (ContinualServer server = await fixture.StartAsync(data, Update))
            {
                // Twenty looks at the triggers later.
                await Task.Delay(1000, Cancelled);
                Assert.Single(server.Signal.Store!.Cycles(10));
            }
        }
        finally
        {
            fixture.Teacher.Choose(null);
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task Audits_that_find_more_wrong_answers_than_is_in_order_begin_a_cycle()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data, """{"on_drift":true,"minimum_examples":1000}""");
            // Once the loop that listens is there.
            await CycleCalls.UntilAsync(() =>
            {
                server.Signal.AgreementHasFallen("stock");
                return Task.FromResult(server.Signal.Store!.Cycle(1) is not null);
            }, "a cycle begins");
            CycleRecord cycle = await server.UntilEndedAsync(1);
            Assert.Equal(CycleTrigger.Drift, cycle.Trigger);
            Assert.Contains("'stock'", cycle.Cause, StringComparison.Ordinal);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }
}
