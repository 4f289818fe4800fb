using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Signal;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

/// <summary>A server that is started with somebody's own adapter goes on from it.</summary>
[Collection(CycleCollection.Name)]
public sealed class StartAdapterTests(CycleFixture fixture)
{
    [Fact]
    public async Task An_update_begins_with_the_adapter_that_the_server_was_started_with_and_can_be_taken_back_to_it()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName, mine = await TunedAsync();
        try
        {
            await using (ContinualServer server = await fixture.StartAsync(data, """{"from_base_every":1,"shadow_least":0,"canary_requests":0,"watch_requests":0}""", "--adapter", mine))
            {
                TrafficStore store = server.Signal.Store!;
                Assert.Equal(("mine", CycleFixture.Right), await server.AskNewAsync(fixture));
                Assert.Equal((AdapterOrigin.Imported, AdapterStatus.Champion), (store.Adapter("mine")!.Origin, store.Adapter("mine")!.Status));
                // What it says is right no longer: there is something to learn.
                await server.TeachAsync(fixture, CycleFixture.Wrong, heldOut: CycleFixture.Wrong, train: 24);
                CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
                Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
                Assert.Equal("mine", cycle.Champion);
                // Also where it is to begin anew: what that adapter knows stands in no store.
                Assert.Equal("mine", JsonDocument.Parse(cycle.Detail).RootElement.GetProperty("train").GetProperty("parent").GetString());
                await server.UntilChampionAsync("c1");
                Reply back = await server.PostAsync("/admin/rollback", "");
                Assert.True(back.Status == 200, back.Body);
                Assert.Equal(("mine", CycleFixture.Right), await server.AskNewAsync(fixture));
            }
            // An update has spoken: the flag decides no longer, also where another file has the adapter's name.
            File.Copy(fixture.Files.Adapter, mine, overwrite: true);
            await using (ContinualServer server = await fixture.StartAsync(data, "{}", "--adapter", mine))
            {
                Assert.Equal(("mine", CycleFixture.Right), await server.AskNewAsync(fixture));
                Assert.Equal(3, server.Signal.Store!.Promotions(9).Count);
            }
        }
        finally
        {
            CycleFixture.Delete(data);
            CycleFixture.Delete(Path.GetDirectoryName(mine)!);
        }
    }

    [Fact]
    public async Task Until_an_update_has_chosen_a_champion_the_flag_says_who_answers()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName, mine = await TunedAsync();
        try
        {
            for (int i = 0; i < 2; i++)
            {
                await StartedAsync("mine", 1, "--adapter", mine);
            }
            // Another file of the same name is another adapter.
            File.Copy(fixture.Files.Adapter, mine, overwrite: true);
            string other = await StartedAsync(null, 2, "--adapter", mine);
            Assert.Matches("^mine-[0-9a-f]{8}$", other);
            await StartedAsync("base", 3);
            await using (TrafficStore store = TrafficStore.Open(new StoreOptions { Path = SignalParts.DatabaseOf(data) }))
            {
                // As retention does; and a file may be lost.
                await new AdapterShelf(data, store).DeleteAsync(other, TestContext.Current.CancellationToken);
            }
            await StartedAsync(other, 4, "--adapter", mine);
            File.Delete(Path.Combine(data, "adapters", other + ".gguf"));
            await StartedAsync(other, 4, "--adapter", mine);
            Assert.Equal(new HashSet<string?> { other + ".gguf", "mine.gguf" }, Directory.EnumerateFiles(Path.Combine(data, "adapters")).Select(Path.GetFileName).ToHashSet());
            // Said by a person, it stays without the flag; and there is nothing but the bare model before it.
            await using (ContinualServer server = await fixture.StartAsync(data, "{}", "--adapter", mine))
            {
                Reply kept = await server.PostAsync($"/admin/adapters/{other}/promote", "{}");
                Assert.True(kept.Status == 200, kept.Body);
                Assert.Equal("manual", kept.Json().GetProperty("reason").GetString());
            }
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                Assert.Equal(other, (await server.AskNewAsync(fixture)).Adapter);
                Assert.Equal("base", (await server.PostAsync("/admin/rollback", "")).Json().GetProperty("champion").GetString());
            }
        }
        finally
        {
            CycleFixture.Delete(data);
            CycleFixture.Delete(Path.GetDirectoryName(mine)!);
        }

        // Starts a server, and tells who answers.
        async Task<string> StartedAsync(string? adapter, int promotions, params string[] flags)
        {
            await using ContinualServer server = await fixture.StartAsync(data, "{}", flags);
            string answers = (await server.AskNewAsync(fixture)).Adapter;
            Assert.Equal(adapter ?? answers, answers);
            PromotionRecord[] all = [.. server.Signal.Store!.Promotions(9)];
            Assert.Equal((promotions, answers), (all.Length, all[0].Adapter));
            Assert.All(all, static p => Assert.Equal(PromotionReason.Start, p.Reason));
            Assert.Equal(answers == "base" ? [] : [answers], server.Signal.Store!.Adapters().Where(static a => a.Status == AdapterStatus.Champion).Select(static a => a.Id));
            return answers;
        }
    }

    [Fact]
    public async Task An_adapter_that_cannot_be_taken_in_answers_nevertheless()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            // Where its folder would be there is a file.
            await File.WriteAllTextAsync(Path.Combine(data, "adapters"), "", TestContext.Current.CancellationToken);
            await using ContinualServer server = await fixture.StartAsync(data, "{}", "--adapter", fixture.Files.Adapter);
            Assert.Equal(Path.GetFileNameWithoutExtension(fixture.Files.Adapter), (await server.AskNewAsync(fixture)).Adapter);
            Assert.Equal(PromotionReason.Start, Assert.Single(server.Signal.Store!.Promotions(9)).Reason);
            Assert.Empty(server.Signal.Store!.Adapters());
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    // The file of an adapter that knows the answer, in a folder of its own that is to be deleted.
    private async Task<string> TunedAsync()
    {
        string folder = await fixture.ChampionAsync(), mine = Path.Combine(folder, "mine.gguf");
        File.Copy(Path.Combine(folder, "adapters", "c1.gguf"), mine);
        return mine;
    }
}
