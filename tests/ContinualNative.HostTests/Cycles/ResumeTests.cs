using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

/// <summary>Cycles whose server ends in the middle: killed in each state, and stopped in training.</summary>
[Collection(LongCycleCollection.Name)]
public sealed class ResumeTests(CycleFixture fixture)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_cycle_whose_server_is_killed_in_every_state_ends_as_if_it_was_not()
    {
        string data = await fixture.TaughtAsync();
        string[] flags = ["serve", "--model", fixture.Files.Llama, "--listen", "http://127.0.0.1:0", "--json", "--threads", "1", .. fixture.Flags(), "--data", data];
        try
        {
            foreach (CycleState state in (CycleState[])[CycleState.Curating, CycleState.Training, CycleState.Evaluating, CycleState.Shadow, CycleState.Canary])
            {
                using (ContinualProcess process = new(flags))
                {
                    using HttpClient client = await ClientOfAsync(process);
                    await ReachAsync(client, state);
                    process.Kill();
                }
                await using TrafficStore store = TrafficStore.Open(new StoreOptions { Path = Path.Combine(data, "traffic.db") });
                Assert.Empty(store.Check());
                Assert.Empty(store.Promotions(10));
                CycleRecord cycle = Assert.Single(store.Cycles(10));
                // A step may end in the moment between the look and the kill.
                Assert.InRange(cycle.State, state, state < CycleState.Shadow ? state + 1 : state);
                TestContext.Current.TestOutputHelper?.WriteLine($"killed in {cycle.State}");
            }
            using (ContinualProcess process = new(flags))
            {
                using HttpClient client = await ClientOfAsync(process);
                await using ChatLoad load = new(client.BaseAddress!, fixture.Questions(100));
                await CycleCalls.UntilAsync(async () => await StateAsync(client) >= CycleState.Promoted, () => $"promoted; {process.Errors}");
                await load.EndAsync();
                process.Kill();
            }
            await using TrafficStore after = TrafficStore.Open(new StoreOptions { Path = Path.Combine(data, "traffic.db") });
            Assert.Equal(CycleState.Promoted, after.Cycle(1)!.State);
            Assert.Single(after.Promotions(10));
            CycleCalls.CheckPromotions(after);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task Training_goes_on_from_its_checkpoint_after_a_stop()
    {
        string data = await fixture.TaughtAsync();
        // So many epochs that it does not end by itself.
        const string Long = """{"epochs":1000}""";
        try
        {
            int reached = 0;
            await using (ContinualServer server = await fixture.StartAsync(data, Long))
            {
                await server.BeginCycleAsync();
                await CycleCalls.UntilAsync(() => Task.FromResult((reached = StepOf(server.Cycles.Progress)) >= 5), () => $"five steps; {server.Cycles.Progress}");
            }
            Assert.True(File.Exists(Path.Combine(data, "cycles", "1", "train", "state.ckpt")));
            await using (ContinualServer server = await fixture.StartAsync(data, Long))
            {
                int first = 0;
                await CycleCalls.UntilAsync(() => Task.FromResult((first = StepOf(server.Cycles.Progress)) > 0), () => $"a step; {server.Cycles.Progress}");
                Assert.True(first > reached, $"step {first} after the restart, step {reached} before it");
                Assert.True(server.Cycles.Cancel(1));
                Assert.Equal(CycleState.Cancelled, (await server.UntilEndedAsync(1)).State);
            }
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    // Begins the cycle if there is none, and comes back as soon as it is in a state or beyond; meanwhile requests are answered by the champion.
    private async Task ReachAsync(HttpClient client, CycleState state)
    {
        if (state == CycleState.Curating)
        {
            using HttpResponseMessage begun = await client.PostAsync("/admin/cycles", null, Cancelled);
            Assert.True(begun.IsSuccessStatusCode, await begun.Content.ReadAsStringAsync(Cancelled));
            return;
        }
        Assert.Equal("base", await AskAsync(client, CycleCalls.Chat(fixture.Questions(1)[0])));
        if (state < CycleState.Canary)
        {
            await CycleCalls.UntilAsync(async () => await StateAsync(client) >= state, $"{state}");
            return;
        }
        await using ChatLoad load = new(client.BaseAddress!, fixture.Questions(100));
        await CycleCalls.UntilAsync(async () => await StateAsync(client) >= state, $"{state}");
        await load.EndAsync();
    }

    private static async Task<string> AskAsync(HttpClient client, string body)
    {
        using StringContent content = new(body, System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await client.PostAsync("/v1/chat/completions", content, Cancelled);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(Cancelled));
        return string.Concat(answer.Headers.GetValues("x-continual-adapter"));
    }

    private static async Task<CycleState> StateAsync(HttpClient client)
    {
        JsonElement cycle = await client.GetFromJsonAsync<JsonElement>("/admin/cycles/1", Cancelled);
        return Enum.Parse<CycleState>(cycle.GetProperty("state").GetString()!, ignoreCase: true);
    }

    private static async Task<HttpClient> ClientOfAsync(ContinualProcess process) =>
        new() { BaseAddress = new Uri((await process.StartedAsync()).GetProperty("listening").GetString()!), Timeout = TimeSpan.FromMinutes(1) };

    // From "step 3 of 20, …"; 0 before the first.
    private static int StepOf(CycleProgress? progress) =>
        progress is { State: CycleState.Training, Activity: ['s', 't', 'e', 'p', ' ', .. string rest] } ? int.Parse(rest[..rest.IndexOf(' ', StringComparison.Ordinal)], CultureInfo.InvariantCulture) : 0;
}
