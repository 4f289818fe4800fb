using System.Net;
using System.Text;
using System.Text.Json;

namespace ContinualNative.HostTests.Admin;

public sealed class ReportEndpointTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_request_is_reported_explained_backed_up_and_erased_while_the_server_runs()
    {
        using ModelFiles files = new();
        await using ContinualServer server = await ContinualServer.StartAsync(files.Llama, "--ctx", "512", "--machine-price", "3600", "--frontier-price-in", "1000", "--frontier-price-out", "1000");
        HttpClient client = server.Client;
        string first = await ChatAsync(client, "ada");
        string second = await ChatAsync(client, "bob");

        JsonElement all = (await GetAsync(client, "/admin/report?days=2")).GetProperty("all");
        Assert.Equal((2, 2, 0), (all.GetProperty("requests").GetInt32(), all.GetProperty("local").GetInt32(), all.GetProperty("frontier").GetInt32()));
        // A second of this machine costs a dollar here, and a thousand tokens of the frontier do.
        Assert.Equal(all.GetProperty("local_seconds").GetDecimal(), all.GetProperty("costs").GetProperty("serving").GetDecimal(), 3);
        decimal tokens = all.GetProperty("prompt_tokens").GetDecimal() + all.GetProperty("completion_tokens").GetDecimal();
        Assert.Equal(tokens / 1000, all.GetProperty("frontier_only").GetDecimal());

        JsonElement explained = await GetAsync(client, $"/admin/requests/{first}");
        Assert.Equal(("local", "no_frontier"), (explained.GetProperty("route").GetString(), explained.GetProperty("reason").GetString()));
        Assert.Contains("It stayed here because no frontier model is configured.", explained.GetProperty("explanation").EnumerateArray().Select(static s => s.GetString()));
        Assert.False(explained.TryGetProperty("prompt", out _));
        Assert.Contains("Hello there", (await GetAsync(client, $"/admin/requests/{first}?texts=true")).GetProperty("prompt").GetString(), StringComparison.Ordinal);

        // The command line sees the same, from another process.
        (int code, string output, string error) = await Commands.ContinualProcess.RunAsync("", "report", "--json", "--data", server.DataDirectory);
        Assert.True(code == 0, error);
        Assert.Equal(2, JsonDocument.Parse(output).RootElement.GetProperty("all").GetProperty("requests").GetInt32());

        (HttpStatusCode status, JsonElement backup) = await PostAsync(client, "/admin/backup", "{}");
        Assert.Equal(HttpStatusCode.Created, status);
        string copy = backup.GetProperty("path").GetString()!;
        Assert.StartsWith(Path.Combine(server.DataDirectory, "backups"), copy, StringComparison.Ordinal);
        Assert.Equal(new FileInfo(copy).Length, backup.GetProperty("bytes").GetInt64());

        (status, JsonElement erased) = await PostAsync(client, "/admin/erase", """{"user":"ada"}""");
        Assert.Equal((HttpStatusCode.OK, 1), (status, erased.GetProperty("requests").GetInt32()));
        Assert.True((await GetAsync(client, $"/admin/requests/{first}")).GetProperty("erased").GetBoolean());
        Assert.False((await GetAsync(client, $"/admin/requests/{second}")).GetProperty("erased").GetBoolean());
        (status, _) = await PostAsync(client, "/v1/feedback", $$"""{"request_id":"{{first}}","outcome":"accepted"}""");
        Assert.Equal(HttpStatusCode.Gone, status);
        (status, erased) = await PostAsync(client, "/admin/erase", $$"""{"request":"{{second}}"}""");
        Assert.Equal((HttpStatusCode.OK, 1), (status, erased.GetProperty("requests").GetInt32()));
    }

    [Fact]
    public async Task Wrong_questions_are_refused_by_name()
    {
        using ModelFiles files = new();
        await using ContinualServer server = await ContinualServer.StartAsync(files.Llama, "--ctx", "512");
        HttpClient client = server.Client;
        foreach ((string path, string param) in ((string, string)[])[("/admin/report?days=0", "days"), ("/admin/report?days=x", "days"), ("/admin/report?colour=red", "colour"), ("/admin/requests/0000000000000000000000ff?texts=maybe", "texts")])
        {
            using HttpResponseMessage response = await client.GetAsync(path, Cancelled);
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            Assert.Equal(param, Json(await response.Content.ReadAsStringAsync(Cancelled)).GetProperty("error").GetProperty("param").GetString());
        }
        foreach (string unknown in (string[])["0000000000000000000000ff", "nonsense"])
        {
            using HttpResponseMessage response = await client.GetAsync($"/admin/requests/{unknown}", Cancelled);
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        }
        foreach ((string path, string body) in ((string, string)[])[("/admin/erase", "{}"), ("/admin/erase", """{"user":"a","key":"b"}"""), ("/admin/erase", """{"request":"x"}"""), ("/admin/erase", """{"user":1}"""), ("/admin/erase", """{"all":true}"""), ("/admin/backup", """{"path":"/tmp/x"}""")])
        {
            (HttpStatusCode status, _) = await PostAsync(client, path, body);
            Assert.True(status == HttpStatusCode.BadRequest, $"{path} {body}: {status}");
        }
    }

    [Fact]
    public async Task A_server_that_records_nothing_says_so()
    {
        using ModelFiles files = new();
        await using ContinualServer server = await ContinualServer.StartAsync(files.Llama, "--ctx", "512", "--record", "off");
        using HttpResponseMessage report = await server.Client.GetAsync("/admin/report", Cancelled);
        Assert.Equal(HttpStatusCode.BadRequest, report.StatusCode);
        Assert.Contains("--record off", await report.Content.ReadAsStringAsync(Cancelled), StringComparison.Ordinal);
        (HttpStatusCode status, _) = await PostAsync(server.Client, "/admin/erase", """{"user":"ada"}""");
        Assert.Equal(HttpStatusCode.BadRequest, status);
    }

    private static async Task<string> ChatAsync(HttpClient client, string user)
    {
        using HttpResponseMessage response = await client.PostAsync("/v1/chat/completions", Body($$"""{"messages":[{"role":"user","content":"Hello there"}],"max_tokens":8,"user":"{{user}}"}"""), Cancelled);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return Assert.Single(response.Headers.GetValues("x-continual-request-id"));
    }

    private static async Task<JsonElement> GetAsync(HttpClient client, string path)
    {
        using HttpResponseMessage response = await client.GetAsync(path, Cancelled);
        string text = await response.Content.ReadAsStringAsync(Cancelled);
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        return Json(text);
    }

    private static async Task<(HttpStatusCode Status, JsonElement Body)> PostAsync(HttpClient client, string path, string body)
    {
        using HttpResponseMessage response = await client.PostAsync(path, Body(body), Cancelled);
        return (response.StatusCode, Json(await response.Content.ReadAsStringAsync(Cancelled)));
    }

    private static StringContent Body(string json) => new(json, Encoding.UTF8, "application/json");

    private static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;
}
