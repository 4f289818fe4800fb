using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

/// <summary>What the tests of cycles do over HTTP, and how they wait.</summary>
internal static class CycleCalls
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>The fields of a chat beside its messages.</summary>
    public const string Fields = "\"max_tokens\":12,\"temperature\":0,\"metadata\":{\"task\":\"stock\"}";

    /// <summary>A chat of one message, as JSON.</summary>
    public static string Chat(string question, string more = "") =>
        $$"""{"messages":[{"role":"user","content":{{JsonSerializer.Serialize(question)}}}],{{Fields}}{{(more.Length > 0 ? "," + more : "")}}}""";

    /// <summary>Traffic to learn from, which the frontier answers, and traffic to be judged on, which the local model answers and the frontier audits.</summary>
    public static async Task TeachAsync(this ContinualServer server, CycleFixture fixture, string answer = CycleFixture.Right, string heldOut = CycleFixture.Right, int train = 20, int judged = 24)
    {
        foreach (string question in fixture.Questions(train, answer))
        {
            Assert.Equal("frontier", (await server.PostAsync("/v1/chat/completions", Chat(question, "\"route\":\"frontier\""))).Route);
        }
        await Parallel.ForEachAsync(fixture.Questions(judged, heldOut), new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = Cancelled }, async (question, _) =>
            Assert.Equal("local", (await server.PostAsync("/v1/chat/completions", Chat(question))).Route));
        await server.AuditedAsync();
    }

    /// <summary>Waits until all requests are stored, and all audits answered.</summary>
    public static async Task AuditedAsync(this ContinualServer server)
    {
        TrafficStore store = server.Signal.Store!;
        await UntilAsync(async () =>
        {
            await Task.WhenAll(server.Signal.Pending.Values);
            await store.FlushAsync(Cancelled);
            server.Signal.AuditWaits();
            return !store.Unlabelled(0, 10_000).Any(static u => u.Audited);
        }, "audits are answered");
    }

    /// <summary>Begins a cycle; gives its number.</summary>
    public static async Task<long> BeginCycleAsync(this ContinualServer server)
    {
        Reply begun = await server.PostAsync("/admin/cycles", "");
        Assert.True(begun.Status == 201, begun.Body);
        Assert.Equal("curating", begun.Json().GetProperty("state").GetString());
        return begun.Json().GetProperty("id").GetInt64();
    }

    public static Task<CycleRecord> UntilEndedAsync(this ContinualServer server, long cycle) => server.UntilAsync(cycle, static c => !c.IsActive);

    /// <summary>Waits until an adapter answers; the engine follows the store a moment later.</summary>
    public static Task UntilChampionAsync(this ContinualServer server, string adapter) => UntilAsync(
        () => Task.FromResult((server.Engine.Adapters.Champion ?? ModelAddress.Base) == adapter),
        () => $"champion {adapter}; it is {server.Engine.Adapters.Champion}, promotions: {string.Join('\n', server.Signal.Store!.Promotions(10))}");

    /// <summary>Waits for a state or an end.</summary>
    public static async Task<CycleRecord> UntilAsync(this ContinualServer server, long cycle, Func<CycleRecord, bool> until)
    {
        CycleRecord? found = null;
        await UntilAsync(() => Task.FromResult((found = server.Signal.Store!.Cycle(cycle)) is { } c && until(c)), () => $"cycle: {found}, {server.Cycles.Progress}");
        return found!;
    }

    public static Task UntilAsync(Func<Task<bool>> condition, string what) => UntilAsync(condition, () => what);

    /// <summary>Waits for a condition; fails with what it waited for.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, Func<string> what, TimeSpan? patience = null)
    {
        long begun = System.Diagnostics.Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(begun) < (patience ?? Patience), $"Waited in vain: {what()}");
            await Task.Delay(10, Cancelled);
        }
    }

    /// <summary>The adapter that answers a new question now, and what it says.</summary>
    public static async Task<(string Adapter, string Answer)> AskNewAsync(this ContinualServer server, CycleFixture fixture)
    {
        using StringContent content = new(Chat(fixture.Questions(1)[0]), System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await server.Client.PostAsync("/v1/chat/completions", content, Cancelled);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(Cancelled));
        return (string.Concat(answer.Headers.GetValues("x-continual-adapter")), (await Reply.OfAsync(answer)).Text());
    }

    /// <summary>Every promotion by a gate has a verdict that passed for its own adapter; the file is sound.</summary>
    public static void CheckPromotions(TrafficStore store)
    {
        Assert.Empty(store.Check());
        foreach (PromotionRecord promotion in store.Promotions(100).Where(static p => p.Reason == PromotionReason.Gate))
        {
            using JsonDocument evidence = JsonDocument.Parse(promotion.Evidence);
            Assert.Equal(GateDecision.Pass, GateVerdictJson.Read(evidence.RootElement.GetProperty("gate").GetRawText()).Decision);
            CycleRecord cycle = store.Cycle(promotion.Cycle!.Value)!;
            Assert.Equal((CycleState.Promoted, promotion.Adapter), (cycle.State, cycle.Candidate));
        }
    }
}
