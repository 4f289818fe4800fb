using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;
using Microsoft.AspNetCore.Builder;

namespace ContinualNative.HostTests.Signal;

/// <summary>A simulated frontier, and servers that route to it.</summary>
public sealed class FrontierFixture : IAsyncLifetime
{
    private WebApplication _frontier = null!;

    public ModelFiles Files { get; } = new();

    public Uri Frontier { get; private set; } = null!;

    public HttpClient Control { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        SimulatedKnowledge knowledge = new();
        knowledge.Add("What is the capital of France?", "Paris", []);
        knowledge.Add("What is the capital of Italy?", "Rome", []);
        knowledge.Add("Write to [EMAIL_1]", "I wrote to [EMAIL_1] as you asked.", []);
        for (int i = 0; i < 60; i++)
        {
            knowledge.Add($"Question number {i}?", $"Answer number {i}", []);
        }
        _frontier = SimulatedFrontier.Build(new SimulatedFrontierOptions
        {
            Knowledge = knowledge,
            Releases = [new SimulatedRelease { Name = "sim-1" }, new SimulatedRelease { Name = "sim-2", After = long.MaxValue }],
        });
        await _frontier.StartAsync();
        Frontier = ServerBuilder.AddressOf(_frontier);
        Control = new HttpClient { BaseAddress = Frontier };
    }

    /// <summary>Starts a server that knows the frontier; of equal flags the later one counts.</summary>
    public Task<ContinualServer> StartAsync(params string[] flags)
    {
        Dictionary<string, string?> all = new(StringComparer.Ordinal)
        {
            ["--parallel"] = "4",
            ["--ctx"] = "512",
            ["--frontier-url"] = new Uri(Frontier, "v1").ToString(),
            ["--frontier-model"] = "sim",
            ["--frontier-price-in"] = "3",
            ["--frontier-price-out"] = "15",
            ["--frontier-training-allowed"] = null,
            ["--max-escalation"] = "1",
            ["--audit"] = "0",
        };
        for (int i = 0; i < flags.Length; i++)
        {
            all[flags[i]] = i + 1 < flags.Length && !flags[i + 1].StartsWith("--", StringComparison.Ordinal) ? flags[++i] : null;
        }
        return ContinualServer.StartAsync(Files.Llama, [.. all.SelectMany(static f => f.Value is null ? (string[])[f.Key] : [f.Key, f.Value])]);
    }

    /// <summary>Switches failures of the frontier on; an empty object switches them off.</summary>
    public async Task FailAsync(object failures)
    {
        using HttpResponseMessage answer = await Control.PostAsJsonAsync("/sim/failures", failures, TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    public Task HealAsync() => FailAsync(new { refuse_rate = 0, cut_rate = 0, nonsense_rate = 0, empty_rate = 0, slow_rate = 0 });

    public async ValueTask DisposeAsync()
    {
        Control.Dispose();
        await _frontier.StopAsync();
        await _frontier.DisposeAsync();
        Files.Dispose();
    }
}

/// <summary>One answer over HTTP.</summary>
internal sealed record Reply(int Status, string Route, string Reason, string RequestId, string Body)
{
    public JsonElement Json() => JsonDocument.Parse(Body).RootElement;

    public string Text() => Json().GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;

    public static async Task<Reply> OfAsync(HttpResponseMessage answer) => new(
        (int)answer.StatusCode,
        Header(answer, "x-continual-route"),
        Header(answer, "x-continual-reason"),
        Header(answer, "x-continual-request-id"),
        await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));

    private static string Header(HttpResponseMessage answer, string name) => answer.Headers.TryGetValues(name, out IEnumerable<string>? values) ? string.Concat(values) : "";
}

internal static class SignalCalls
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static async Task<Reply> PostAsync(this ContinualServer server, string path, string body)
    {
        using StringContent content = new(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage answer = await server.Client.PostAsync(path, content, Cancelled);
        return await Reply.OfAsync(answer);
    }

    /// <summary>A chat of one message; <paramref name="more"/> are further fields as JSON.</summary>
    public static Task<Reply> AskAsync(this ContinualServer server, string text, string more = "") =>
        server.PostAsync("/v1/chat/completions", $$"""{"messages":[{"role":"user","content":{{JsonSerializer.Serialize(text)}}}],"max_tokens":16,"temperature":0{{(more.Length > 0 ? "," + more : "")}}}""");

    public static Task<Reply> ReportAsync(this ContinualServer server, string id, string fields) =>
        server.PostAsync("/v1/feedback", $$"""{"request_id":"{{id}}",{{fields}}}""");

    /// <summary>What the store has of a request, once what is on its way has arrived.</summary>
    public static async Task<StoredRequest> StoredAsync(this ContinualServer server, string id, Func<StoredRequest, bool>? until = null)
    {
        TrafficStore store = server.Signal.Store!;
        for (int i = 0; ; i++)
        {
            if (server.Signal.Pending.TryGetValue(id, out Task? pending))
            {
                await pending.WaitAsync(TimeSpan.FromSeconds(60), Cancelled);
            }
            await store.FlushAsync(Cancelled);
            StoredRequest? found = store.Find(id);
            if (found is not null && (until is null || until(found)))
            {
                return found;
            }
            Assert.True(i < 600, $"Request {id} did not become what was awaited.");
            await Task.Delay(100, Cancelled);
        }
    }
}
