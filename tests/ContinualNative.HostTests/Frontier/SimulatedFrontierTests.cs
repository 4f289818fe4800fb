using System.ClientModel;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using OpenAI;
using OpenAI.Chat;

namespace ContinualNative.HostTests.Frontier;

public sealed class SimulatedFrontierTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("continual-frontier-").FullName;
    private readonly HttpClient _http = new();

    public void Dispose()
    {
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Releases_follow_the_schedule_until_one_is_chosen()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedRelease { Name = "sim-1" }, new SimulatedRelease { Name = "sim-2", After = 2 }, new SimulatedRelease { Name = "sim-3", After = 4 });
        List<string?> models = [];
        for (int i = 0; i < 5; i++)
        {
            models.Add((await AskAsync(server, "question 1")).GetProperty("model").GetString());
        }
        Assert.Equal(["sim-1", "sim-1", "sim-2", "sim-2", "sim-3"], models);
        Assert.Equal("sim-1", (await PostAsync(server, "/sim/release", """{"name":"sim-1"}""")).GetProperty("release").GetString());
        Assert.Equal("sim-1", (await AskAsync(server, "question 1")).GetProperty("model").GetString());
        Assert.Equal("sim-3", (await PostAsync(server, "/sim/release", """{"name":null}""")).GetProperty("release").GetString());
        Assert.Contains("sim-1, sim-2, sim-3", (await PostAsync(server, "/sim/release", """{"name":"sim-9"}""", 400)).GetProperty("error").GetProperty("message").GetString());
        JsonElement models2 = JsonDocument.Parse(await _http.GetStringAsync(server.Url + "/models", Asking.Token)).RootElement;
        Assert.Equal(["sim-1", "sim-2", "sim-3"], models2.GetProperty("data").EnumerateArray().Select(static m => m.GetProperty("id").GetString()));
    }

    [Fact]
    public async Task Failures_are_switched_on_for_a_while_counted_and_switched_off()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedRelease { Name = "s", Failures = new SimulatedFailures { RefuseRate = 1, RefuseStatus = 503 } });
        await PostAsync(server, "/v1/chat/completions", Body("question 1"), 503);
        await PostAsync(server, "/sim/failures", """{"refuse_rate":1,"refuse_status":429,"retry_after":1.5,"for_requests":1}""");
        using (HttpResponseMessage refused = await _http.PostAsync(server.Url + "/chat/completions", Json(Body("question 1")), Asking.Token))
        {
            Assert.Equal(("2", "1500"), (refused.Headers.GetValues("Retry-After").Single(), refused.Headers.GetValues("retry-after-ms").Single()));
        }
        await PostAsync(server, "/v1/chat/completions", Body("question 1"), 503);
        await PostAsync(server, "/sim/failures", "{}");
        await AskAsync(server, "question 1");
        JsonElement state = await PostAsync(server, "/sim/failures", """{"reset":true}""");
        Assert.Equal((4, 3, 1, 0), (state.GetProperty("requests").GetInt32(), state.GetProperty("refused").GetInt32(), state.GetProperty("answered").GetInt32(), state.GetProperty("cut").GetInt32()));
        foreach (string wrong in (string[])["""{"refuse_rate":2}""", """{"refuse_rat":1}""", """{"refuse_rate":0.6,"cut_rate":0.6}""", """{"for_requests":0}""", """{"refuse_status":200}""", "[]"])
        {
            await PostAsync(server, "/sim/failures", wrong, 400);
        }
    }

    [Fact]
    public async Task The_same_seed_and_requests_give_the_same_answers_failures_and_counts()
    {
        List<string> runs = [];
        foreach (ulong seed in (ulong[])[5, 5, 6])
        {
            await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedFrontierOptions
            {
                Knowledge = TestEndpoint.Knowledge(30),
                Seed = seed,
                Releases = [new SimulatedRelease { Name = "s", Quality = 0.5, Failures = new SimulatedFailures { RefuseRate = 0.2, EmptyRate = 0.2 } }],
            });
            StringBuilder run = new();
            for (int i = 0; i < 30; i++)
            {
                using HttpResponseMessage response = await _http.PostAsync(server.Url + "/chat/completions", Json(Body($"question {i}")), Asking.Token);
                JsonElement json = await response.Content.ReadFromJsonAsync<JsonElement>(Asking.Token);
                run.Append((int)response.StatusCode).Append(json.TryGetProperty("choices", out JsonElement choices) ? choices[0].GetProperty("message").GetProperty("content").GetString() : "").Append('\n');
            }
            runs.Add(run.Append(await _http.GetStringAsync(server.Url.Replace("/v1", "/sim/state", StringComparison.Ordinal), Asking.Token)).ToString());
        }
        Assert.Equal(runs[0], runs[1]);
        Assert.NotEqual(runs[0], runs[2]);
    }

    [Fact]
    public async Task Wrong_answers_are_their_own_a_listed_choice_or_another_prompts()
    {
        SimulatedKnowledge knowledge = TestEndpoint.Knowledge(5);
        knowledge.Add("Two plus two", "4", ["5"]);
        knowledge.Add("Sort this", "b", []);
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedFrontierOptions { Knowledge = knowledge, UnknownAnswer = "no idea", Releases = [new SimulatedRelease { Name = "s", Quality = 0 }] });
        Assert.Equal("5", await TextAsync("two plus TWO?"));
        Assert.Contains(await TextAsync("Sort this.\nAnswer with exactly one of: a | b | c"), (string[])["a", "c"]);
        string other = await TextAsync("question 3");
        Assert.NotEqual("the answer is 3", other);
        Assert.NotEqual("no idea", other);
        Assert.Equal("no idea", await TextAsync("what is this"));
        Assert.Contains(await TextAsync("what is this\nAnswer with exactly one of: a | b | c"), (string[])["a", "b", "c"]);

        async Task<string> TextAsync(string prompt) => (await AskAsync(server, prompt)).GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;
    }

    [Fact]
    public async Task The_OpenAI_package_talks_to_it()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedFrontierOptions { Knowledge = TestEndpoint.Knowledge(5), Key = "k" });
        ChatClient client = new("any", new ApiKeyCredential("k"), new OpenAIClientOptions { Endpoint = new Uri(server.Url) });
        ChatCompletion answer = await client.CompleteChatAsync([new UserChatMessage("question 2")], new ChatCompletionOptions { MaxOutputTokenCount = 3, Tools = { ChatTool.CreateFunctionTool("f") } }, Asking.Token);
        Assert.Equal(("the answer", ChatFinishReason.Length), (answer.Content[0].Text, answer.FinishReason));
        StringBuilder text = new();
        int? tokens = null;
        await foreach (StreamingChatCompletionUpdate update in client.CompleteChatStreamingAsync([new UserChatMessage(ChatMessageContentPart.CreateTextPart("question 2"))], new ChatCompletionOptions { StopSequences = { " is" } }, Asking.Token))
        {
            text.Append(string.Concat(update.ContentUpdate.Select(static p => p.Text)));
            tokens = update.Usage?.OutputTokenCount ?? tokens;
        }
        Assert.Equal(("the answer", 3), (text.ToString(), tokens));
        await PostAsync(server, "/v1/chat/completions", Body("question 1"), 401);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"messages":[]}""")]
    [InlineData("""{"messages":[{"content":"x"}]}""")]
    [InlineData("""{"messages":[{"role":"user","content":5}]}""")]
    [InlineData("""{"messages":"x"}""")]
    [InlineData("""{"messages":[{"role":"user","content":"x"}],"max_tokens":0}""")]
    [InlineData("not json")]
    public async Task A_bad_request_is_answered_as_OpenAI_does(string body)
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        JsonElement error = (await PostAsync(server, "/v1/chat/completions", body, 400)).GetProperty("error");
        Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
        Assert.Equal(0, server.Model.State().Requests);
    }

    [Fact]
    public async Task Latency_is_log_normal_about_the_median()
    {
        SimulatedModel model = new(new SimulatedFrontierOptions { Knowledge = TestEndpoint.Knowledge(1), Seed = 3 });
        SimulatedRelease release = new() { Name = "s", Latency = TimeSpan.FromMilliseconds(200), LatencySpread = 0.5 };
        double[] logs = [.. Enumerable.Range(0, 4000).Select(i => Math.Log(model.Latency(release, i).TotalMilliseconds / 200))];
        double mean = logs.Average();
        // Four standard errors of mean and deviation.
        Assert.InRange(mean, -0.032, 0.032);
        Assert.InRange(Math.Sqrt(logs.Average(l => (l - mean) * (l - mean))), 0.477, 0.523);
        await Task.CompletedTask;
    }

    [Fact]
    public void Knowledge_is_read_from_its_own_lines_and_from_examples()
    {
        SimulatedKnowledge own = SimulatedKnowledge.ReadFile(Write("own.jsonl", """
            {"prompt":"What's up?","answer":"the sky","wrong":["the ground"]}

            {"prompt":"Two","answer":"2"}
            """));
        Assert.Equal((2, "the sky", "the ground"), (own.Count, own.RightAnswer("whats UP"), own.WrongAnswer("what's up", [], 9)));
        SimulatedKnowledge examples = SimulatedKnowledge.ReadFile(Write("examples.jsonl", """
            {"messages":[{"role":"system","content":"s"},{"role":"user","content":"Hello, you!"},{"role":"assistant","content":"hi"}]}
            {"prompt":"raw","completion":"text"}
            """));
        Assert.Equal(("hi", "text", null), (examples.RightAnswer("hello you"), examples.RightAnswer("raw"), examples.RightAnswer("s")));
        Assert.Contains("line 2", Assert.Throws<ExampleFormatException>(() => SimulatedKnowledge.ReadFile(Write("bad.jsonl", "{\"prompt\":\"a\",\"answer\":\"b\"}\n{\"prompt\":\"a\"}\n"))).Message);
        Assert.Contains("line 1", Assert.Throws<ExampleFormatException>(() => SimulatedKnowledge.ReadFile(Write("wrong.jsonl", "{\"prompt\":\"a\",\"answer\":\"b\",\"wrong\":\"c\"}\n"))).Message);
        Assert.Contains("no such file", Assert.Throws<ExampleFormatException>(() => SimulatedKnowledge.ReadFile(Path.Combine(_folder, "none"))).Message);
    }

    [Fact]
    public void Releases_are_read_from_a_file_and_wrong_ones_named()
    {
        IReadOnlyList<SimulatedRelease> releases = SimulatedRelease.ReadFile(Write("r.json", """
            {"releases":[{"name":"a","quality":0.5,"after":0,"latency_ms":20,"latency_spread":0.3,"tokens_per_second":50,"prices":{"prompt":1,"completion":2},"refuse_rate":0.1,"slow_rate":0.1,"slow_seconds":2},{"name":"b","after":100}]}
            """));
        Assert.Equal(("a", 0.5, 20.0, 0.1, 2.0, 100L), (releases[0].Name, releases[0].Quality, releases[0].Latency.TotalMilliseconds, releases[0].Failures.RefuseRate, releases[0].Failures.SlowDelay.TotalSeconds, releases[1].After));
        foreach ((string json, string message) in (ReadOnlySpan<(string, string)>)
            [("[]", "at least one"), ("[{}]", "[0].name: it is missing"), ("""[{"name":"a","quality":2}]""", "[0].quality"), ("""[{"name":"a"},{"name":"a"}]""", "two releases"), ("""[{"name":"a","speed":1}]""", "[0].speed: there is no such setting"), ("[", "not valid JSON")])
        {
            Assert.Contains(message, Assert.Throws<SettingException>(() => SimulatedRelease.ReadFile(Write("w.json", json))).Message);
        }
    }

    [Fact]
    public async Task The_command_simulates_and_checks()
    {
        string data = Write("k.jsonl", "{\"prompt\":\"Say yes.\",\"answer\":\"yes\"}\n");
        using ContinualProcess server = new("frontier", "simulate", "--data", data, "--listen", "http://127.0.0.1:0", "--json");
        JsonElement started = await server.StartedAsync();
        Assert.Equal("sim-1", started.GetProperty("release").GetString());
        (int exit, string output, string errors) = await ContinualProcess.RunAsync("frontier", "check", "--url", started.GetProperty("url").GetString()!, "--model", "m", "--price-in", "1", "--price-out", "2", "--json");
        Assert.True(exit == 0, errors);
        JsonElement check = JsonDocument.Parse(output).RootElement;
        Assert.Equal(("sim-1", 3, 1, 0.000005m), (check.GetProperty("model").GetString(), check.GetProperty("prompt_tokens").GetInt32(), check.GetProperty("completion_tokens").GetInt32(), check.GetProperty("cost_usd").GetDecimal()));
        server.Terminate();
        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal(1, (await ContinualProcess.RunAsync("frontier", "check", "--url", "http://127.0.0.1:1/v1", "--model", "m")).Exit);
        Assert.Equal(2, (await ContinualProcess.RunAsync("frontier", "check", "--url", "nowhere", "--model", "m")).Exit);
    }

    private static string Body(string prompt) => JsonSerializer.Serialize(new { model = "m", messages = new[] { new { role = "user", content = prompt } } });

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    private async Task<JsonElement> AskAsync(TestEndpoint server, string prompt) => await PostAsync(server, "/v1/chat/completions", Body(prompt));

    private async Task<JsonElement> PostAsync(TestEndpoint server, string path, string body, int status = 200)
    {
        using HttpResponseMessage response = await _http.PostAsync(server.Url[..^3] + path, Json(body), Asking.Token);
        Assert.Equal((HttpStatusCode)status, response.StatusCode);
        return await response.Content.ReadFromJsonAsync<JsonElement>(Asking.Token);
    }

    private string Write(string name, string text)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
