using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.HostTests.Admin;
using ContinualNative.HostTests.Frontier;
using ContinualNative.Storage;
using ContinualNative.TestModels;
using Microsoft.AspNetCore.Http;

namespace ContinualNative.HostTests.Commands;

public sealed class CycleCommandTests : IDisposable
{
    private const string Nobody = "http://127.0.0.1:1";

    private readonly TestStore _store = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task A_cycle_with_nothing_to_learn_is_rejected_with_its_reason_and_stays_in_the_store()
    {
        await using (ContinualServer server = await ContinualServer.StartAsync(TestModel.Get(), "--ctx", "256", "--data", _store.Folder))
        {
            (int code, string output, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", server.BaseAddress.ToString(), "--cause", "a \"test\"", "--json");
            Assert.True(code == 1, error);
            Assert.Contains("cycle 1 was rejected: There are 0 fresh examples", error, StringComparison.Ordinal);
            JsonElement cycle = JsonDocument.Parse(output).RootElement.GetProperty("cycle");
            Assert.Equal(("rejected", "a \"test\"", "manual"), (Text(cycle, "state"), Text(cycle, "cause"), Text(cycle, "trigger")));
            // It has ended: there is nothing to cancel.
            Assert.Equal(1, (await ContinualProcess.RunAsync("", "cycle", "cancel", "1", "--url", server.BaseAddress.ToString())).Code);
            Assert.Equal(2, (await ContinualProcess.RunAsync("", "cycle", "cancel", "99", "--url", server.BaseAddress.ToString())).Code);
            (code, output, error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", server.BaseAddress + "v1", "--detach");
            Assert.True(code == 0, error);
            Assert.StartsWith("Cycle 2 has begun.", output, StringComparison.Ordinal);
        }
        (int listed, string list, _) = await _store.RunAsync("cycle", "status");
        Assert.Equal((0, 2), (listed, list.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length));
        (_, string shown, _) = await _store.RunAsync("cycle", "status", "1");
        Assert.StartsWith("Cycle 1: rejected\n", shown, StringComparison.Ordinal);
        Assert.Contains("There are 0 fresh examples", shown, StringComparison.Ordinal);
        Assert.Equal(2, (await _store.RunAsync("cycle", "status", "99")).Code);
    }

    [Fact]
    public async Task While_a_cycle_runs_another_one_is_refused()
    {
        await using ContinualServer server = await ContinualServer.StartAsync(TestModel.Get(), "--ctx", "256", "--data", _store.Folder);
        await server.BeginIdleCycleAsync();
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", server.BaseAddress.ToString());
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("runs already", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_can_run_no_cycles_says_why()
    {
        await using ContinualServer server = await ContinualServer.StartAsync(TestModel.Get(), "--ctx", "256", "--record", "features");
        (int code, _, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", server.BaseAddress.ToString());
        Assert.Equal(1, code);
        Assert.Contains("--record", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_key_is_asked_for_and_heeded()
    {
        (string key, _) = new ApiKeyStore(_store.Folder).Create(admin: true);
        (string user, _) = new ApiKeyStore(_store.Folder).Create();
        await using ContinualServer server = await ContinualServer.StartAsync(TestModel.Get(), "--ctx", "256", "--data", _store.Folder, "--require-key");
        string url = server.BaseAddress.ToString();
        foreach (string[] wrong in (string[][])[[], ["--key", user], ["--key", " "], ["--key-env", "CONTINUAL_TEST_KEY"]])
        {
            (int code, _, string error) = await ContinualProcess.RunAsync("", ["cycle", "run", "--url", url, .. wrong]);
            Assert.Equal(2, code);
            Assert.Contains("key", error, StringComparison.Ordinal);
        }
        Assert.Equal(0, (await ContinualProcess.RunAsync("", "cycle", "run", "--url", url, "--key", key, "--detach")).Code);
    }

    [Theory]
    [InlineData("continual serve", "cycle", "run", "--url", Nobody)]
    [InlineData("continual serve", "cycle", "cancel", "1", "--url", Nobody)]
    [InlineData("--url", "cycle", "run", "--url", "nonsense")]
    [InlineData("--url", "cycle", "run", "--url", "http://127.0.0.1:1/elsewhere")]
    [InlineData("x", "cycle", "cancel", "x")]
    [InlineData("--data", "cycle", "status", "--data", "/nowhere/at/all")]
    [InlineData("--data", "cycle", "preview", "--data", "/nowhere/at/all")]
    public async Task Without_a_server_or_a_store_it_says_what_to_do(string part, params string[] arguments)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", arguments);
        Assert.Equal(2, code);
        Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output + error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_answers_and_is_no_server_of_this_kind_is_told_so()
    {
        await using TestEndpoint other = await TestEndpoint.JsonAsync("<html>");
        (int code, _, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", other.Url);
        Assert.Equal(2, code);
        Assert.Contains("no server of continual", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_promoted_cycle_exits_with_0_and_shows_its_progress_and_verdict()
    {
        int asked = 0;
        await using TestEndpoint server = await ServeAsync(() => Interlocked.Increment(ref asked) > 3 ? Cycle("promoted", "'c7' is champion.") : Cycle("training"));
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "cycle", "run", "--url", server.Url);
        Assert.True(code == 0, error);
        Assert.Contains("cycle 7, training: step 3 of 9, 33 %, 12 s left", error, StringComparison.Ordinal);
        Assert.All((string[])["Cycle 7: promoted", "'c7' is champion.", "gate of cycle 7", "It is better.", "gain "], part => Assert.Contains(part, output, StringComparison.Ordinal));
        // An evaluation within another cycle is not this one's.
        Assert.DoesNotContain("other", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_interrupt_leaves_the_cycle_running_and_says_how_to_cancel_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "skipped: signals");
        int deleted = 0;
        await using TestEndpoint server = await ServeAsync(static () => Cycle("training"), () => Interlocked.Increment(ref deleted));
        using ContinualProcess process = new("cycle", "run", "--url", server.Url);
        await ContinualProcess.UntilAsync(() => process.Error.Contains("training", StringComparison.Ordinal), "progress");
        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(Cancelled);
        }
        (int code, string output, string error) = await process.EndAsync();
        Assert.Equal((1, "", 0), (code, output, deleted));
        Assert.Contains("'continual cycle cancel 7'", error, StringComparison.Ordinal);
        Assert.Equal(0, (await ContinualProcess.RunAsync("", "cycle", "cancel", "7", "--url", server.Url)).Code);
        Assert.Equal(1, deleted);
    }

    [Fact]
    public async Task Preview_tells_what_would_be_learned_and_shows_examples()
    {
        await _store.FillAsync(further: 3);
        string taught = TestStore.Id(99);
        await using (TrafficStore store = _store.Open())
        {
            // All prompts of the others are one, and it is evaluated on.
            StoredRequest like = store.Find(TestStore.Up)!;
            await store.RecordAsync(like.Request with { Id = taught, Prompt = """{"messages":[{"role":"user","content":"where is my other-word parcel"}]}""" });
            await store.RecordAsync(like.Labels[0] with { RequestId = taught });
            await store.FlushAsync(Cancelled);
        }
        (int code, string output, string error) = await _store.RunAsync("cycle", "preview", "--holdout", "0", "--examples", "5", "--json");
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal((1, false), (json.GetProperty("report").GetProperty("fresh").GetInt32(), json.GetProperty("enough").GetBoolean()));
        JsonElement example = Assert.Single(json.GetProperty("examples").EnumerateArray().ToArray());
        Assert.Equal((taught, "teacher", "a frontier's answer"), (Text(example, "request_id"), Text(example, "source"), Text(example, "answer")));
        (_, output, _) = await _store.RunAsync("cycle", "preview", "--holdout", "0");
        Assert.Contains("1 example to train on: 1 fresh", output, StringComparison.Ordinal);
        Assert.Contains("Not trained on: 1, the prompt is evaluated on.", output, StringComparison.Ordinal);
        Assert.Contains("A cycle would end at once: it wants 50", output, StringComparison.Ordinal);
        Assert.DoesNotContain("other-word", output, StringComparison.Ordinal);
        (_, output, _) = await _store.RunAsync("cycle", "preview", "--holdout", "0", "--examples", "1");
        Assert.Contains("other-word", output, StringComparison.Ordinal);
        string policy = _store.Write("policy.json", """{"update":{"minimum_examples":1}}""");
        (_, output, _) = await _store.RunAsync("cycle", "preview", "--holdout", "0", "--policy", policy, "--json");
        Assert.True(JsonDocument.Parse(output).RootElement.GetProperty("enough").GetBoolean());
    }

    [Theory]
    [InlineData("--examples", "--examples", "-1")]
    [InlineData("--holdout", "--holdout", "2")]
    [InlineData("nothing.json", "--policy", "/nowhere/nothing.json")]
    public async Task Preview_refuses_what_it_can_not_do(string part, params string[] arguments)
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync(["cycle", "preview", .. arguments]);
        Assert.Equal((2, ""), (code, output));
        Assert.Contains(part, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Texts_of_clients_can_not_move_the_cursor()
    {
        await using (TrafficStore store = _store.Open())
        {
            await store.BeginCycleAsync(CycleTrigger.Manual, "\u001b[2Jcleared\r\nand more", ModelAddress.Base, static id => $"c{id}", Cancelled);
        }
        foreach (string[] arguments in (string[][])[["cycle", "status"], ["cycle", "status", "1"]])
        {
            (int code, string output, string error) = await _store.RunAsync(arguments);
            Assert.True(code == 0, error);
            Assert.DoesNotContain('\u001b', output);
            Assert.Contains("cleared and more", output, StringComparison.Ordinal);
        }
    }

    private static string Cycle(string state, string outcome = "") => $$"""
        {"id":7,"object":"cycle","state":"{{state}}","active":{{(outcome.Length == 0 ? "true" : "false")}},"trigger":"manual","cause":"asked for","champion":"base","candidate":"c7",
        "started_at":"2026-11-01T10:00:00+00:00","changed_at":"2026-11-01T10:01:00+00:00","outcome":"{{outcome}}",
        "progress":{"activity":"step 3 of 9","share":0.3333,"seconds_left":12},"detail":{} }
        """;

    // A server whose cycle is as the test wants it.
    private static Task<TestEndpoint> ServeAsync(Func<string> cycle, Action? cancel = null) => TestEndpoint.ServeAsync(http =>
    {
        http.Response.ContentType = "application/json";
        string path = http.Request.Path.Value!;
        if (path.StartsWith("/admin/adapters/", StringComparison.Ordinal))
        {
            GateVerdict verdict = new()
            {
                Decision = GateDecision.Pass,
                Checks = [new GateCheck("gain", GateDecision.Pass, null, 0.1, 0, 80, "It is right more often.", [])],
                ChampionRight = 0.5,
                CandidateRight = 0.6,
                Fresh = 80,
                Evidence = 40,
                Summary = "It is better.",
            };
            return http.Response.WriteAsync($$"""
                {"id":"c7","evaluations":[{"cycle":6,"kind":"other","at":"2026-11-01T10:00:00+00:00","result":{} },{"cycle":7,"kind":"gate","at":"2026-11-01T10:00:30+00:00","result":{{GateVerdictJson.Write(verdict)}} }]}
                """);
        }
        if (http.Request.Method == "DELETE")
        {
            cancel?.Invoke();
            http.Response.StatusCode = 202;
            return http.Response.WriteAsync("""{"id":7,"cancelling":true}""");
        }
        return http.Response.WriteAsync(http.Request.Method == "POST" ? Cycle("curating") : cycle());
    });

    private static string? Text(JsonElement of, string name) => of.GetProperty(name).GetString();
}
