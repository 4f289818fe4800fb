using System.Net.Http.Headers;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.HostTests.Signal;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Admin;

public sealed class AdapterEndpointTests : IDisposable
{
    private static readonly TestModelOptions Model = new() { ChatTemplate = TestTemplates.ChatMlTools };

    private readonly ModelFiles _files = new();
    private readonly string _data = Directory.CreateTempSubdirectory("continual-adapters-").FullName;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private string Shelf => Path.Combine(_data, "adapters");

    public void Dispose()
    {
        _files.Dispose();
        Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public async Task Promotions_survive_a_restart_and_a_rollback_brings_the_one_before_back()
    {
        await using (ContinualServer server = await StartAsync())
        {
            Assert.Equal(201, (await LoadAsync(server, "a1", _files.Adapter)).Status);
            Assert.Equal(201, (await UploadAsync(server, "a2", TestAdapter.ToBytes(Model, seed: 2))).Status);
            Assert.Equal(200, (await server.PostAsync("/admin/adapters/a1/promote", "{}")).Status);
            JsonElement second = (await server.PostAsync("/admin/adapters/a2/promote", "{}")).Json();
            Assert.Equal(("a2", "a1", "manual"), (Text(second, "champion"), Text(second, "previous"), Text(second, "reason")));
            // Said twice, done once.
            Assert.Equal(second.GetProperty("number").GetInt64(), (await server.PostAsync("/admin/adapters/a2/promote", "{}")).Json().GetProperty("number").GetInt64());
        }
        Assert.Equal(["a1.gguf", "a2.gguf"], Directory.GetFiles(Shelf).Select(Path.GetFileName).Order());
        await using (ContinualServer server = await StartAsync())
        {
            await UntilAsync(() => server.Engine.Adapters.Champion == "a2");
            JsonElement list = await GetAsync(server, "/admin/adapters");
            Assert.Equal("a2", Text(list, "champion"));
            Assert.Equal(
                ["a1 False retired imported", "a2 True champion imported"],
                list.GetProperty("data").EnumerateArray().Select(static a => $"{Text(a, "id")} {a.GetProperty("loaded")} {Text(a, "status")} {Text(a, "origin")}").Order());
            JsonElement back = (await server.PostAsync("/admin/rollback", "{}")).Json();
            Assert.Equal(("a1", "a2", "manual_rollback"), (Text(back, "champion"), Text(back, "previous"), Text(back, "reason")));
            JsonElement shown = await GetAsync(server, "/admin/adapters/a2");
            Assert.Equal("rolled_back", Text(shown, "status"));
            Assert.Equal(["a1", "a2"], shown.GetProperty("promotions").EnumerateArray().Select(static p => Text(p, "champion")));
        }
        await using (ContinualServer server = await StartAsync())
        {
            await UntilAsync(() => server.Engine.Adapters.Champion == "a1");
            Assert.Equal("base", Text((await server.PostAsync("/admin/rollback", "{}")).Json(), "champion"));
            Assert.Null(server.Engine.Adapters.Champion);
            Assert.Equal(409, (await server.PostAsync("/admin/rollback", "{}")).Status);
        }
    }

    [Fact]
    public async Task A_broken_champion_falls_back_to_the_last_whole_one_at_the_start()
    {
        await using (ContinualServer server = await StartAsync())
        {
            await LoadAsync(server, "a1", _files.Adapter);
            await UploadAsync(server, "a2", TestAdapter.ToBytes(Model, seed: 2));
            await server.PostAsync("/admin/adapters/a1/promote", "{}");
            await server.PostAsync("/admin/adapters/a2/promote", "{}");
        }
        string file = Path.Combine(Shelf, "a2.gguf");
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^5] ^= 0x40;
        File.WriteAllBytes(file, bytes);
        await using (ContinualServer server = await StartAsync())
        {
            await UntilAsync(() => server.Engine.Adapters.Champion == "a1");
            Reply refused = await server.PostAsync("/admin/adapters/a2/promote", "{}");
            Assert.Equal(400, refused.Status);
            Assert.Contains("SHA-256", refused.Body, StringComparison.Ordinal);
            Assert.Equal("a1", server.Engine.Adapters.Champion);
        }
    }

    [Fact]
    public async Task A_recorded_adapter_is_loaded_by_its_id_alone_after_a_restart()
    {
        await using (ContinualServer server = await StartAsync())
        {
            await LoadAsync(server, "a1", _files.Adapter);
        }
        await using (ContinualServer server = await StartAsync())
        {
            Assert.Empty(server.Engine.Adapters.List());
            Reply loaded = await server.PostAsync("/admin/adapters", """{"id":"a1"}""");
            Assert.Equal((201, "imported"), (loaded.Status, Text(loaded.Json(), "origin")));
            Assert.Equal(400, (await server.PostAsync("/admin/adapters", """{"id":"a2"}""")).Status);
        }
    }

    [Fact]
    public async Task An_id_means_one_file_until_it_is_deleted()
    {
        await using ContinualServer server = await StartAsync();
        byte[] other = TestAdapter.ToBytes(Model, seed: 2);
        await LoadAsync(server, "a1", _files.Adapter);
        Assert.Equal(409, (await UploadAsync(server, "a1", other)).Status);
        server.Engine.Adapters.Unload("a1");
        // Not loaded, but recorded.
        Assert.Equal(409, (await UploadAsync(server, "a1", other)).Status);
        Assert.Equal(201, (await LoadAsync(server, "a1", _files.Adapter)).Status);
        Assert.Equal(200, await DeleteAsync(server, "a1"));
        Assert.Equal(404, await DeleteAsync(server, "a1"));
        Assert.Equal(404, (int)(await server.Client.GetAsync("/admin/adapters/a1", Cancelled)).StatusCode);
        Assert.Empty((await GetAsync(server, "/admin/adapters")).GetProperty("data").EnumerateArray());
        Assert.Empty(Directory.GetFiles(Shelf));
        Assert.Equal(201, (await UploadAsync(server, "a1", other)).Status);
        // One that has answered keeps its file: a rollback may need it.
        await server.PostAsync("/admin/adapters/a1/promote", "{}");
        Assert.Equal(409, await DeleteAsync(server, "a1"));
        await server.PostAsync("/admin/adapters/base/promote", "{}");
        Assert.Equal(200, await DeleteAsync(server, "a1"));
        Assert.Equal(other, File.ReadAllBytes(Path.Combine(Shelf, "a1.gguf")));
        Assert.Equal(409, await DeleteAsync(server, "a1"));
        Assert.Equal(200, (await server.PostAsync("/admin/adapters/a1/promote", "{}")).Status);
    }

    [Fact]
    public async Task What_is_no_adapter_of_this_model_leaves_nothing_behind()
    {
        await using ContinualServer server = await StartAsync();
        byte[] whole = TestAdapter.ToBytes(Model);
        byte[][] bad = [[], [1, 2, 3], whole[..(whole.Length / 2)], whole[..^1], TestAdapter.ToBytes(Model with { Width = 512 }), File.ReadAllBytes(_files.Llama)];
        foreach (byte[] upload in bad)
        {
            Assert.Equal(400, (await UploadAsync(server, "a1", upload)).Status);
            Assert.Equal(400, (await LoadAsync(server, "a1", _files.Write("bad.gguf", upload))).Status);
        }
        Assert.Empty(Directory.GetFiles(Shelf));
        Assert.Empty(server.Signal.Store!.Adapters());
        Assert.Equal(201, (await UploadAsync(server, "a1", whole)).Status);
    }

    [Fact]
    public async Task While_a_cycle_runs_no_other_begins_and_its_candidate_s_id_is_taken()
    {
        await using ContinualServer server = await StartAsync();
        CycleRecord cycle = await server.BeginIdleCycleAsync();
        Reply second = await server.PostAsync("/admin/cycles", "{}");
        Assert.Equal((409, "conflict"), (second.Status, Text(second.Json().GetProperty("error"), "code")));
        Assert.Equal(409, (await UploadAsync(server, cycle.Candidate, TestAdapter.ToBytes(Model))).Status);
    }

    [Fact]
    public async Task A_cycle_s_candidate_never_gets_the_id_of_an_import()
    {
        await using ContinualServer server = await StartAsync();
        Assert.Equal(201, (await UploadAsync(server, "c1", TestAdapter.ToBytes(Model))).Status);
        Assert.Equal(200, await DeleteAsync(server, "c1"));
        JsonElement cycle = (await server.PostAsync("/admin/cycles", "{}")).Json();
        Assert.Equal(1, cycle.GetProperty("id").GetInt64());
        Assert.StartsWith("c1-", Text(cycle, "candidate"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_without_a_store_serves_adapters_as_long_as_it_runs()
    {
        await using ContinualServer server = await StartAsync("--record", "off");
        Assert.Equal(201, (await UploadAsync(server, "a1", TestAdapter.ToBytes(Model))).Status);
        Assert.Equal("a1", Text((await server.PostAsync("/admin/adapters/a1/promote", "{}")).Json(), "champion"));
        Assert.Equal("a1", server.Engine.Adapters.Champion);
        Assert.True((await GetAsync(server, "/admin/adapters/a1")).GetProperty("champion").GetBoolean());
    }

    private Task<ContinualServer> StartAsync(params string[] flags) => ContinualServer.StartAsync(_files.Llama, ["--ctx", "256", "--data", _data, .. flags]);

    private static Task<Reply> LoadAsync(ContinualServer server, string id, string path) => server.PostAsync("/admin/adapters", JsonSerializer.Serialize(new { id, path }));

    private static async Task<Reply> UploadAsync(ContinualServer server, string id, byte[] bytes)
    {
        using ByteArrayContent upload = new(bytes);
        upload.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        using HttpResponseMessage answer = await server.Client.PostAsync($"/admin/adapters?id={id}", upload, Cancelled);
        return await Reply.OfAsync(answer);
    }

    private static async Task<int> DeleteAsync(ContinualServer server, string id)
    {
        using HttpResponseMessage answer = await server.Client.DeleteAsync($"/admin/adapters/{id}", Cancelled);
        return (int)answer.StatusCode;
    }

    private static async Task<JsonElement> GetAsync(ContinualServer server, string path) => JsonDocument.Parse(await server.Client.GetStringAsync(path, Cancelled)).RootElement;

    private static string? Text(JsonElement of, string name) => of.GetProperty(name).GetString();

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (int i = 0; !holds(); i++)
        {
            Assert.True(i < 1200, "waited in vain");
            await Task.Delay(50, Cancelled);
        }
    }
}
