using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.HostTests.Signal;

namespace ContinualNative.HostTests.Cycles;

/// <summary>Update cycles in the running server: real training, real swaps, over HTTP.</summary>
public sealed class UpdateTests(CycleFixture fixture) : IClassFixture<CycleFixture>
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
            Directory.Delete(data, recursive: true);
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
