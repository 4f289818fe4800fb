using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;

namespace ContinualNative.HostTests;

/// <summary>The executable's exits, its one-line errors and its way to stop.</summary>
public sealed class CommandTests(SharedServer shared) : IClassFixture<SharedServer>
{
    private const string AnyPort = "http://127.0.0.1:0";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("serve")]
    [InlineData("serve", "--model", "no-such-file.gguf")]
    [InlineData("serve", "--model", "x", "--parallel", "many")]
    [InlineData("serve", "--no-such-flag")]
    [InlineData("no-such-command")]
    public async Task Wrong_usage_exits_with_2(params string[] args)
    {
        (int exit, string output, string errors) = await ContinualProcess.RunAsync(args);
        Assert.Equal(2, exit);
        Assert.NotEmpty(errors);
        Assert.DoesNotContain("   at ", errors + output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_bad_model_exits_with_2_and_one_clear_line()
    {
        byte[] whole = File.ReadAllBytes(shared.Files.Llama);
        foreach (string path in (string[])[shared.Files.Write("text.gguf", "this is no model"u8.ToArray()), shared.Files.Write("half.gguf", whole[..(whole.Length / 2)]), shared.Files.Adapter])
        {
            (int exit, _, string errors) = await ContinualProcess.RunAsync("serve", "--model", path, "--listen", AnyPort);
            Assert.True(exit == 2, $"{exit}: {errors}");
            string line = Assert.Single(errors.Split('\n'), l => l.StartsWith("continual serve: ", StringComparison.Ordinal));
            Assert.Contains(Path.GetFileName(path), line, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_port_in_use_exits_with_1_and_one_clear_line()
    {
        (int exit, _, string errors) = await ContinualProcess.RunAsync("serve", "--model", shared.Files.Llama, "--listen", shared.Server.BaseAddress.GetLeftPart(UriPartial.Authority));
        Assert.Equal(1, exit);
        Assert.Contains("in use", Assert.Single(errors.Split('\n')), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_terminated_server_finishes_its_stream_and_exits_with_0()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("skipped: no SIGTERM");
        }
        using ContinualProcess process = new("serve", "--model", shared.Files.Llama, "--listen", AnyPort, "--json", "--no-key", "--threads", "1", "--drain-timeout", "300");
        JsonElement started = await process.StartedAsync();
        Assert.Equal(process.Id, started.GetProperty("pid").GetInt32());
        Assert.Equal("tiny", started.GetProperty("model").GetString());
        using HttpClient client = new() { BaseAddress = new Uri(started.GetProperty("listening").GetString()!) };
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions") { Content = new StringContent("""{"model":"tiny","prompt":"a","max_tokens":300,"ignore_eos":true,"stream":true}""", Encoding.UTF8, "application/json") };
        using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancelled);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        process.Terminate();
        Assert.EndsWith("data: [DONE]\n\n", await response.Content.ReadAsStringAsync(Cancelled), StringComparison.Ordinal);
        Assert.Equal(0, await process.ExitAsync());
    }

    [Fact]
    public async Task A_second_signal_stops_at_once()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("skipped: no SIGTERM");
        }
        using ContinualProcess process = new("serve", "--model", shared.Files.Llama, "--listen", AnyPort, "--json", "--parallel", "16", "--threads", "1", "--queue", "500", "--drain-timeout", "600");
        JsonElement started = await process.StartedAsync();
        using HttpClient client = new() { BaseAddress = new Uri(started.GetProperty("listening").GetString()!), Timeout = TimeSpan.FromMinutes(5) };
        Task<HttpResponseMessage>[] running = [.. Enumerable.Range(0, 400).Select(_ => client.PostAsync("/v1/completions", new StringContent("""{"model":"tiny","prompt":"a","max_tokens":1000,"ignore_eos":true}""", Encoding.UTF8, "application/json"), Cancelled))];
        await Task.Delay(500, Cancelled);
        long start = Stopwatch.GetTimestamp();
        process.Terminate();
        await Task.Delay(200, Cancelled);
        process.Terminate();
        await process.ExitAsync();
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 20);
        await Task.WhenAll(running.Select(async t =>
        {
            try
            {
                (await t).Dispose();
            }
            catch (HttpRequestException)
            {
                // Cut off, as asked for.
            }
        }));
    }

    [Fact]
    public async Task Keys_are_created_listed_and_revoked()
    {
        string data = Path.Combine(Path.GetTempPath(), "continual-" + Guid.NewGuid().ToString("N"));
        try
        {
            (int exit, string output, _) = await ContinualProcess.RunAsync("keys", "create", "--name", "ci", "--admin", "--max-concurrent", "2", "--data", data, "--json");
            Assert.Equal(0, exit);
            using JsonDocument created = JsonDocument.Parse(output);
            string id = created.RootElement.GetProperty("id").GetString()!;
            Assert.StartsWith("cnk_" + id, created.RootElement.GetProperty("key").GetString(), StringComparison.Ordinal);
            (_, string listed, _) = await ContinualProcess.RunAsync("keys", "list", "--data", data, "--json");
            using JsonDocument list = JsonDocument.Parse(listed);
            JsonElement entry = Assert.Single(list.RootElement.GetProperty("keys").EnumerateArray().ToArray());
            Assert.Equal((id, true, 2), (entry.GetProperty("id").GetString(), entry.GetProperty("admin").GetBoolean(), entry.GetProperty("max_concurrent").GetInt32()));
            Assert.False(entry.TryGetProperty("key", out _));
            Assert.Equal(0, (await ContinualProcess.RunAsync("keys", "revoke", id, "--data", data)).Exit);
            Assert.Equal(2, (await ContinualProcess.RunAsync("keys", "revoke", id, "--data", data)).Exit);
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }
}
