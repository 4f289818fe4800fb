using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

/// <summary>Update cycles in the running server: real training, real swaps, over HTTP.</summary>
[Collection(CycleCollection.Name)]
public sealed class UpdateTests(CycleFixture fixture)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Traffic_becomes_a_better_champion_while_requests_go_on()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                Assert.NotEqual(CycleFixture.Right, (await server.AskNewAsync(fixture)).Answer);
                await using ChatLoad load = new(server.BaseAddress, fixture.Questions(100));
                long id = await server.BeginCycleAsync();
                CycleRecord cycle = await server.UntilEndedAsync(id);
                Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
                await server.UntilChampionAsync("c1");
                await Task.Delay(300, Cancelled);
                await load.EndAsync();
                // Sticky: nobody goes back to the champion once the candidate has answered him.
                Assert.All(load.Adapters.Values, static answered => Assert.Equal(answered.OrderBy(static a => a == "base" ? 0 : 1), answered));
                Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
                await CheckEvidenceAsync(server, id);
            }
            // What the store says is what a restart finds; and the one before is one call away.
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
                Reply back = await server.PostAsync("/admin/rollback", "");
                Assert.True(back.Status == 200, back.Body);
                Assert.Equal(("base", "manual_rollback"), (back.Json().GetProperty("champion").GetString(), back.Json().GetProperty("reason").GetString()));
                Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
                Assert.Equal(409, (await server.PostAsync("/admin/rollback", "")).Status);
            }
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
                Assert.Equal(AdapterStatus.RolledBack, server.Signal.Store!.Adapter("c1")!.Status);
            }
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task With_200_examples_a_cycle_tries_learning_rates_and_goes_on_with_the_best_on_what_was_held_back()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            string[] flags = fixture.Flags("""{"learning_rate":null,"epochs":2,"shadow_least":0,"canary_requests":0,"watch_requests":0}""");
            string policy = flags[Array.IndexOf(flags, "--policy") + 1];
            string more = (await File.ReadAllTextAsync(policy, Cancelled)).Replace("\"max_examples\":24", "\"max_examples\":400", StringComparison.Ordinal).Replace("\"learning_rate\":null,", "", StringComparison.Ordinal);
            await using ContinualServer server = await fixture.StartAsync(data, "{}", "--policy", fixture.Files.Write("policy-rates.json", System.Text.Encoding.UTF8.GetBytes(more)));
            await server.TeachAsync(fixture, train: 210);
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
            JsonElement trained = JsonDocument.Parse(cycle.Detail).RootElement.GetProperty("train");
            (double Rate, double Loss)[] tried = [.. trained.GetProperty("tried").EnumerateArray().Select(static t => (t.GetProperty("learning_rate").GetDouble(), t.GetProperty("loss").GetDouble()))];
            Assert.Equal([1, 0.5, 2], tried.Select(t => t.Rate / tried[0].Rate));
            Assert.Equal(3, tried.Select(static t => t.Loss).Distinct().Count());
            Assert.Equal(tried.MinBy(static t => t.Loss).Rate, trained.GetProperty("learning_rate").GetDouble());
            Assert.InRange(trained.GetProperty("examples").GetInt32(), 180, 210);
            await server.UntilChampionAsync("c1");
            Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
            // Of the trials nothing is left but the one that was chosen.
            Assert.Equal(["c1.gguf"], Directory.EnumerateFiles(data, "*.gguf*", SearchOption.AllDirectories).Select(Path.GetFileName));
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_candidate_that_learned_nothing_is_refused()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data, """{"learning_rate":1e-9,"epochs":1,"gate":{"minimum_fresh":16,"most_fresh":20,"latency_limit":1000}}""");
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.Equal(CycleState.Rejected, cycle.State);
            Assert.Contains("was not shown in 20 requests", cycle.Outcome, StringComparison.Ordinal);
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            Assert.Empty(server.Signal.Store!.Promotions(10));
            Assert.Equal(AdapterStatus.Rejected, server.Signal.Store!.Adapter("c1")!.Status);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_candidate_of_poisoned_labels_is_refused_and_the_reason_names_what_it_broke()
    {
        string data = await fixture.ChampionAsync();
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data);
            Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
            TrafficStore store = server.Signal.Store!;
            string[] golden = [.. store.WindowKeys(0, store.LastSequence(), 100).Where(static k => k.Audited).Take(8).Select(static k => k.RequestId)];
            foreach (string id in golden)
            {
                Assert.True(await store.SetGoldenAsync(id, true, Cancelled));
            }
            await server.TeachAsync(fixture, train: 20, answer: CycleFixture.Wrong);
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.Equal(CycleState.Rejected, cycle.State);
            GateVerdict verdict = GateVerdictJson.Read(Assert.Single(store.Evaluations("c2")).Json);
            Assert.Equal(GateDecision.Reject, verdict.Decision);
            GateCheck suite = Assert.Single(verdict.Checks, static c => c.Name == "golden");
            Assert.Equal((GateDecision.Reject, "stock"), (suite.Decision, suite.Slice));
            Assert.NotEmpty(suite.Examples);
            Assert.Subset(golden.ToHashSet(), suite.Examples.ToHashSet());
            Assert.Equal(golden.Order(), verdict.GoldenRight!.Keys.Select(static k => k[..k.IndexOf(':')]).Order());
            Assert.Contains(verdict.Checks, static c => c is { Name: "backward", Decision: GateDecision.Reject, Slice: not null, Examples.Count: > 0 });
            Assert.NotEmpty(cycle.Outcome);
            Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
            Assert.Single(store.Promotions(10));
            using JsonDocument shown = JsonDocument.Parse(await server.Client.GetStringAsync("/admin/adapters/c2", Cancelled));
            Assert.Equal("rejected", shown.RootElement.GetProperty("status").GetString());
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_champion_that_answers_badly_is_taken_back_by_itself()
    {
        string data = await fixture.ChampionAsync();
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data);
            Reply loaded = await server.PostAsync("/admin/adapters", JsonSerializer.Serialize(new { id = "bad", path = fixture.Files.Adapter }));
            Assert.True(loaded.Status == 201, loaded.Body);
            Assert.Equal(200, (await server.PostAsync("/admin/adapters/bad/promote", "{}")).Status);
            int asked = 0;
            foreach (string question in fixture.Questions(60))
            {
                Reply reply = await server.PostAsync("/v1/chat/completions", CycleCalls.Chat(question));
                Assert.Equal(200, reply.Status);
                await server.AuditedAsync();
                await server.ReportAsync(reply.RequestId, "\"outcome\":\"rejected\"");
                asked++;
                if (server.Engine.Adapters.Champion != "bad")
                {
                    break;
                }
            }
            await server.UntilChampionAsync("c1");
            TestContext.Current.TestOutputHelper?.WriteLine($"taken back after {asked} requests");
            PromotionRecord back = server.Signal.Store!.LastPromotion()!;
            Assert.Equal(("c1", "bad", PromotionReason.Rollback), (back.Adapter, back.Previous, back.Reason));
            using JsonDocument evidence = JsonDocument.Parse(back.Evidence);
            Assert.Contains("wrong that the old one had right", evidence.RootElement.GetProperty("reason").GetString(), StringComparison.Ordinal);
            Assert.Equal(AdapterStatus.RolledBack, server.Signal.Store!.Adapter("bad")!.Status);
            Assert.Equal(("c1", CycleFixture.Right), await server.AskNewAsync(fixture));
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    private static async Task CheckEvidenceAsync(ContinualServer server, long id)
    {
        CycleCalls.CheckPromotions(server.Signal.Store!);
        using JsonDocument promotions = JsonDocument.Parse(await server.Client.GetStringAsync("/admin/promotions", Cancelled));
        JsonElement promotion = Assert.Single(promotions.RootElement.GetProperty("data").EnumerateArray().ToArray());
        Assert.Equal(("c1", "base", "gate", id), (promotion.GetProperty("champion").GetString(), promotion.GetProperty("previous").GetString(), promotion.GetProperty("reason").GetString(), promotion.GetProperty("cycle").GetInt64()));
        JsonElement canary = promotion.GetProperty("evidence").GetProperty("canary");
        Assert.True(canary.GetProperty("candidate").GetInt32() >= 6, canary.GetRawText());
        Assert.True(promotion.GetProperty("evidence").GetProperty("gate").GetProperty("fresh").GetInt32() >= 16);
        // The answers that it gave before it was champion.
        long before = promotion.GetProperty("evidence").GetProperty("sequence").GetInt64();
        Assert.Contains(server.Signal.Store!.LiveOutcomes(canary.GetProperty("since").GetInt64(), 1000), o => o.Adapter == "c1" && o.Sequence <= before);
        using JsonDocument cycle = JsonDocument.Parse(await server.Client.GetStringAsync($"/admin/cycles/{id}", Cancelled));
        Assert.Equal("promoted", cycle.RootElement.GetProperty("state").GetString());
        Assert.Equal(["canary", "curate", "evaluate", "shadow", "train"], cycle.RootElement.GetProperty("detail").EnumerateObject().Select(static p => p.Name).Order());
        Assert.Equal(["gate", "shadow"], server.Signal.Store!.Evaluations("c1").Select(static e => e.Kind));
        using JsonDocument adapter = JsonDocument.Parse(await server.Client.GetStringAsync("/admin/adapters/c1", Cancelled));
        Assert.Equal(2, adapter.RootElement.GetProperty("evaluations").GetArrayLength());
    }
}
