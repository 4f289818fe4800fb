using ContinualNative.Core.Access;

namespace ContinualNative.HostTests.Clients;

/// <summary>The official JavaScript client against real servers, and what they answer against OpenAI's own description of its API.</summary>
public sealed class NodeClientTests(SharedServer shared) : IClassFixture<SharedServer>
{
    [Fact]
    public async Task The_official_client_for_javascript_works()
    {
        await using KeyedServer keyed = await KeyedServer.StartAsync(shared.Files.Llama);
        await using ContinualServer full = await ContinualServer.StartAsync(shared.Files.Llama, "--parallel", "1", "--queue", "1", "--ctx", "512");
        await NodeProject.RunCasesAsync("openai-client.mjs", new { @base = shared.Server.BaseAddress, full = full.BaseAddress, keyed = keyed.Server.BaseAddress, key = keyed.Key });
    }

    [Fact]
    public async Task Answers_are_valid_by_openai_s_description()
    {
        string spec = Repository.Shared("openapi/openapi.yaml");
        await using KeyedServer keyed = await KeyedServer.StartAsync(shared.Files.Llama);
        // One sequence at a time, so that eight long answers cannot be ready in time on any machine.
        await using ContinualServer hasty = await ContinualServer.StartAsync(shared.Files.Llama, "--parallel", "1", "--ctx", "1024", "--timeout", "0.4");
        await using ContinualServer embedder = await ContinualServer.StartAsync(shared.Files.Bert);
        await NodeProject.RunCasesAsync("openapi.mjs", new { spec, @base = shared.Server.BaseAddress, keyed = keyed.Server.BaseAddress, hasty = hasty.BaseAddress, embedder = embedder.BaseAddress });
    }

    /// <summary>A server that requires a key, and one that it takes.</summary>
    private sealed class KeyedServer(ContinualServer server, string key, string data) : IAsyncDisposable
    {
        public ContinualServer Server => server;

        public string Key => key;

        public static async Task<KeyedServer> StartAsync(string model)
        {
            string data = Directory.CreateTempSubdirectory("continual-keys-").FullName;
            (string key, _) = new ApiKeyStore(data).Create();
            return new KeyedServer(await ContinualServer.StartAsync(model, "--require-key", "--data", data, "--ctx", "256"), key, data);
        }

        public async ValueTask DisposeAsync()
        {
            await server.DisposeAsync();
            Directory.Delete(data, recursive: true);
        }
    }
}
