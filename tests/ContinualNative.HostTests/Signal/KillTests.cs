using System.Collections.Concurrent;
using System.Net.Http.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Signal;

/// <summary>
/// The whole server, killed while it answers and takes reports of outcomes: what it has acknowledged is there afterwards, and the file opens clean. Two kills;
/// CONTINUAL_KILLS names another number.
/// </summary>
public sealed class KillTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Acknowledged_outcomes_survive_a_kill_at_any_moment()
    {
        int kills = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_KILLS"), out int asked) ? asked : 2;
        using ModelFiles files = new();
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        Random random = new(20261126);
        ConcurrentDictionary<string, string> acknowledged = new(StringComparer.Ordinal);
        try
        {
            for (int kill = 0; kill < kills; kill++)
            {
                using (ContinualProcess server = new("serve", "--model", files.Llama, "--data", data, "--listen", "http://127.0.0.1:0", "--parallel", "4", "--ctx", "256", "--threads", "1", "--json"))
                {
                    string address = (await server.StartedAsync()).GetProperty("listening").GetString()!;
                    using HttpClient client = new() { BaseAddress = new Uri(address), Timeout = TimeSpan.FromSeconds(30) };
                    Task[] load = [.. Enumerable.Range(0, 4).Select(worker => LoadAsync(client, $"{kill}-{worker}", acknowledged))];
                    int before = acknowledged.Count;
                    await Task.Delay(random.Next(100, 1500), Cancelled);
                    while (kill == 0 && acknowledged.Count == before)
                    {
                        await Task.Delay(20, Cancelled);
                    }
                    server.Kill();
                    await Task.WhenAll(load);
                }
                await using TrafficStore store = TrafficStore.Open(new StoreOptions { Path = Path.Combine(data, "traffic.db") });
                Assert.Empty(store.Check());
                foreach ((string id, string source) in acknowledged)
                {
                    Outcome outcome = Assert.Single(store.Find(id)!.Outcomes);
                    Assert.Equal((OutcomeKind.Accepted, source), (outcome.Kind, outcome.Source));
                }
            }
            Assert.NotEmpty(acknowledged);
            TestContext.Current.TestOutputHelper?.WriteLine($"{kills} kills, {acknowledged.Count} acknowledged outcomes, all there");
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    private static async Task LoadAsync(HttpClient client, string worker, ConcurrentDictionary<string, string> acknowledged)
    {
        try
        {
            for (int i = 0; ; i++)
            {
                using HttpResponseMessage answer = await client.PostAsJsonAsync(
                    "/v1/chat/completions", new { messages = new[] { new { role = "user", content = $"Hello {worker} {i}" } }, max_tokens = 4 }, Cancelled);
                string id = answer.Headers.GetValues("x-continual-request-id").Single();
                string source = $"{worker}-{i}";
                using HttpResponseMessage reported = await client.PostAsJsonAsync("/v1/feedback", new { request_id = id, outcome = "accepted", source }, Cancelled);
                if (reported.IsSuccessStatusCode)
                {
                    acknowledged[id] = source;
                }
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException or InvalidOperationException or TaskCanceledException)
        {
            // The server is gone, as it was meant to be.
        }
    }
}
