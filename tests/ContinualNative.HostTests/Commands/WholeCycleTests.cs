using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Engine.Gguf;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

/// <summary>The commands around a cycle that really trains.</summary>
public sealed class WholeCycleTests : IDisposable
{
    private const int Labels = 24;

    private readonly TestStore _store = new();
    private readonly string _model = TestModel.Get(new TestModelOptions { Layers = 1, FeedForward = 256 });

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task A_candidate_without_evidence_is_refused_shown_exported_and_may_still_be_promoted_by_hand()
    {
        await TeachAsync();
        await using ContinualServer server = await StartAsync("""{"update":{"minimum_examples":5,"epochs":1,"rank":4,"shadow_requests":0,"shadow_least":0,"shadow_hours":0}}""");
        string url = server.BaseAddress.ToString();
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", url);
        Assert.True(code == 1, error);
        Assert.Contains("cycle 1 was rejected: ", error, StringComparison.Ordinal);
        Assert.All((string[])["Cycle 1: rejected", "curated: ", "trained: ", "gate of cycle 1", "check "], part => Assert.Contains(part, output, StringComparison.Ordinal));

        (code, output, error) = await _store.RunAsync("adapters", "show", "c1");
        Assert.True(code == 0, error);
        Assert.All((string[])["rejected", "cycle 1", "rank 4", "learned from ", "gate of cycle 1"], part => Assert.Contains(part, output, StringComparison.Ordinal));
        string copy = Path.Combine(_store.Folder, "copy.gguf");
        Assert.Equal(0, (await _store.RunAsync("adapters", "export", "c1", "--out", copy)).Code);
        Assert.Equal(4, AdapterFile.Read(copy).Rank);

        (code, output, error) = await ContinualProcess.RunAsync("", "adapters", "promote", "c1", "--url", url);
        Assert.True(code == 0, error);
        Assert.Equal(("c1", AdapterStatus.Champion), (server.Engine.Adapters.Champion, server.Signal.Store!.Adapter("c1")!.Status));
    }

    [Fact]
    public async Task A_cycle_that_trains_forbids_another_one_and_can_be_cancelled()
    {
        await TeachAsync();
        // Far longer than the test.
        await using ContinualServer server = await StartAsync("""{"update":{"minimum_examples":5,"epochs":1000,"rank":4}}""");
        string url = server.BaseAddress.ToString();
        Assert.Equal(0, (await ContinualProcess.RunAsync("", "cycle", "run", "--url", url, "--detach")).Code);
        TrafficStore store = server.Signal.Store!;
        await ContinualProcess.UntilAsync(() => store.Cycle(1)!.State == CycleState.Training, "training");
        Reply second = await server.PostAsync("/admin/cycles", "{}");
        Assert.Equal((409, "conflict"), (second.Status, second.Json().GetProperty("error").GetProperty("code").GetString()));
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "cycle", "cancel", "1", "--url", url, "--json");
        Assert.True(code == 0, error);
        Assert.Equal(1, JsonDocument.Parse(output).RootElement.GetProperty("cancelling").GetInt64());
        await ContinualProcess.UntilAsync(() => store.Cycle(1)!.State == CycleState.Cancelled, "the end of the cycle");
        Assert.Null(server.Engine.Adapters.Champion);
        Assert.Empty(store.Promotions(10));
    }

    private Task<ContinualServer> StartAsync(string policy) => ContinualServer.StartAsync(
        _model, "--ctx", "256", "--threads", "1", "--update-labels", "0", "--data", _store.Folder, "--policy", _store.Write("policy.json", policy));

    // Requests that a teacher has answered, each another one.
    private async Task TeachAsync()
    {
        await _store.FillAsync();
        await using TrafficStore store = _store.Open();
        StoredRequest like = store.Find(TestStore.Up)!;
        for (int i = 0; i < Labels; i++)
        {
            string id = TestStore.Id(i);
            await store.RecordAsync(like.Request with { Id = id, Prompt = $$"""{"messages":[{"role":"user","content":"question {{i}}"}]}""" });
            await store.RecordAsync(like.Labels[0] with { RequestId = id, Answer = $"answer {i}" });
        }
        await store.FlushAsync(Cancelled);
    }
}
