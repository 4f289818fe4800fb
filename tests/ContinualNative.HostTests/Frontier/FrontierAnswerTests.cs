using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Frontier.Simulation;
using Microsoft.AspNetCore.Http;

namespace ContinualNative.HostTests.Frontier;

/// <summary>The client against servers that answer.</summary>
public sealed class FrontierAnswerTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_has_text_version_usage_and_the_exact_price(bool stream)
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options());

        FrontierAnswer answer = await client.AskAsync(Asking.Request("question 3"), stream);

        Assert.Equal("the answer is 3", answer.Text);
        Assert.Equal(("stop", "a", "sim-1"), (answer.FinishReason, answer.Endpoint, answer.Model));
        // Two words and four words, at 1.3 tokens each.
        Assert.Equal((3, 0, 5), (answer.PromptTokens, answer.CachedTokens, answer.CompletionTokens));
        Assert.Equal(new Money((3 * 2000) + (5 * 8000)), answer.Cost);
        Assert.False(answer.UsageEstimated);
        Assert.True(answer.TrainingAllowed);
        Assert.True(answer.Latency > TimeSpan.Zero);
        Assert.Equal(answer.Cost, client.Spend.Status(LedgerKind.Escalation).Spent);
        Assert.Equal(Money.Zero, client.Spend.Status(LedgerKind.Escalation).Reserved);
        FrontierHealth health = Assert.Single(client.Health());
        Assert.Equal(("a", "some-model", "sim-1", "closed", 1L, 0), (health.Name, health.Model, health.AnsweredBy, health.Circuit, health.Calls, health.Running));
        Assert.Empty(health.Failures);
        Assert.Equal(answer.Latency, health.MedianLatency);
    }

    [Fact]
    public async Task A_stream_comes_in_pieces_and_ends_with_the_totals()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options());
        List<FrontierChunk> chunks = await client.CollectAsync(Asking.Request("question 3"));
        Assert.Equal(["the", " answer", " is", " 3", ""], chunks.Select(static c => c.Text));
        Assert.Equal("the answer is 3", chunks[^1].Answer!.Text);
    }

    [Fact]
    public async Task The_same_system_prompt_is_cheaper_the_second_time()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options());
        FrontierRequest request = Asking.Request("question 3", "Be as brief as you can be");

        FrontierAnswer first = await client.AskAsync(request, stream: false);
        FrontierAnswer second = await client.AskAsync(request, stream: true);

        Assert.Equal((12, 0), (first.PromptTokens, first.CachedTokens));
        // Seven words of nine are the system's.
        Assert.Equal((12, 9), (second.PromptTokens, second.CachedTokens));
        Assert.Equal(new Money((12 * 2000) + (5 * 8000)), first.Cost);
        Assert.Equal(new Money((3 * 2000) + (9 * 1000) + (5 * 8000)), second.Cost);
        Assert.Equal(first.Cost + second.Cost, client.Spend.Status(LedgerKind.Escalation).Spent);
    }

    [Fact]
    public async Task Better_releases_keep_what_lower_ones_knew_and_know_their_share()
    {
        const int Prompts = 150;
        await using TestEndpoint server = await TestEndpoint.SimulateAsync(new SimulatedFrontierOptions
        {
            Knowledge = TestEndpoint.Knowledge(Prompts),
            Seed = 7,
            Releases = [new SimulatedRelease { Name = "sim-1", Quality = 0.4 }, new SimulatedRelease { Name = "sim-2", Quality = 0.7 }, new SimulatedRelease { Name = "sim-3", Quality = 0.9 }],
        });
        using FrontierClient client = Asking.Client(server.Options());
        List<HashSet<int>> known = [];
        foreach (string release in (string[])["sim-1", "sim-2", "sim-3"])
        {
            Assert.True(server.Model.Choose(release));
            HashSet<int> right = [];
            for (int i = 0; i < Prompts; i++)
            {
                FrontierAnswer answer = await client.AskAsync($"Question {i}?");
                FrontierAnswer again = await client.AskAsync($"question   {i}");
                Assert.Equal(release, answer.Model);
                Assert.Equal(answer.Text, again.Text);
                Assert.StartsWith("the answer is ", answer.Text);
                if (answer.Text == $"the answer is {i}")
                {
                    right.Add(i);
                }
            }
            known.Add(right);
        }
        Assert.True(known[0].IsProperSubsetOf(known[1]) && known[1].IsProperSubsetOf(known[2]));
        // Three standard deviations of a share of 150 are at most 0.12.
        Assert.InRange(known[0].Count / (double)Prompts, 0.28, 0.52);
        Assert.InRange(known[1].Count / (double)Prompts, 0.58, 0.82);
        Assert.InRange(known[2].Count / (double)Prompts, 0.82, 0.98);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Log_probabilities_come_through_as_OpenAI_writes_them(bool stream)
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options());
        FrontierAnswer answer = await client.AskAsync(Asking.Request("question 3") with { TopLogProbs = 2 }, stream);
        JsonElement content = JsonDocument.Parse(answer.LogProbs!).RootElement;
        Assert.Equal(["the", " answer", " is", " 3"], content.EnumerateArray().Select(static t => t.GetProperty("token").GetString()));
        Assert.All(content.EnumerateArray(), static token =>
        {
            Assert.InRange(token.GetProperty("logprob").GetDouble(), -0.22, -0.001);
            Assert.Equal(2, token.GetProperty("top_logprobs").GetArrayLength());
            Assert.Equal(token.GetProperty("token").GetString()!.Length, token.GetProperty("bytes").GetArrayLength());
        });
        Assert.Null((await client.AskAsync("question 3")).LogProbs);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_request_goes_out_with_every_field_and_its_texts_untouched(bool stream)
    {
        JsonElement sent = default;
        string? authorization = null;
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            authorization = http.Request.Headers.Authorization;
            using (JsonDocument body = await JsonDocument.ParseAsync(http.Request.Body))
            {
                sent = body.RootElement.Clone();
            }
            http.Response.ContentType = stream ? "text/event-stream" : "application/json";
            await http.Response.WriteAsync(stream ? $"data: {TestEndpoint.Chunk("""{"content":"{\"a\":1}"}""")}\n\ndata: {TestEndpoint.Chunk("{}", "\"stop\"")}\n\ndata: [DONE]\n\n" : TestEndpoint.Saying("{\"a\":1}"));
        });
        using FrontierClient client = Asking.Client(server.Options() with { KeyEnv = "THE_KEY", Extra = new Dictionary<string, JsonElement> { ["reasoning_effort"] = JsonDocument.Parse("\"low\"").RootElement } });
        FrontierRequest request = new()
        {
            Messages =
            [
                new ChatMessage { Role = "system", Content = "s" },
                new ChatMessage { Role = "developer", Content = "d" },
                new ChatMessage { Role = "user", Content = "ü\n\"u\"", Name = "ann" },
                new ChatMessage { Role = "assistant", ToolCalls = [new ToolCall("c1", "add", "{ \"a\":  1.0 }")] },
                new ChatMessage { Role = "tool", Content = "2", ToolCallId = "c1" },
                new ChatMessage { Role = "assistant", Content = "two" },
                new ChatMessage { Role = "user", Content = "and?" },
            ],
            Tools = [new ToolDefinition("add", "adds", JsonDocument.Parse("""{"type":"object","properties":{"a":{"type":"number"}}}""").RootElement), new ToolDefinition("now", null, default)],
            ToolChoice = FrontierToolChoice.Named,
            NamedTool = "add",
            ParallelToolCalls = false,
            MaxTokens = 77,
            Temperature = 0.5f,
            TopP = 0.25f,
            Stop = ["x", "y"],
            Seed = -9_000_000_000,
            PresencePenalty = 1,
            FrequencyPenalty = -1,
            Format = FrontierFormat.JsonSchema,
            Schema = JsonDocument.Parse("""{"type":"object"}""").RootElement,
            TopLogProbs = 3,
            Reference = "never-sent",
        };

        await client.AskAsync(request, stream);

        Assert.Equal("Bearer sk-secret-key", authorization);
        Assert.Equal("some-model", sent.GetProperty("model").GetString());
        JsonElement messages = sent.GetProperty("messages");
        Assert.Equal(["system", "developer", "user", "assistant", "tool", "assistant", "user"], messages.EnumerateArray().Select(static m => m.GetProperty("role").GetString()));
        Assert.Equal(("ü\n\"u\"", "ann"), (messages[2].GetProperty("content").GetString(), messages[2].GetProperty("name").GetString()));
        Assert.Equal("{ \"a\":  1.0 }", messages[3].GetProperty("tool_calls")[0].GetProperty("function").GetProperty("arguments").GetString());
        Assert.Equal(("2", "c1"), (messages[4].GetProperty("content").GetString(), messages[4].GetProperty("tool_call_id").GetString()));
        Assert.Equal(["add", "now"], sent.GetProperty("tools").EnumerateArray().Select(static t => t.GetProperty("function").GetProperty("name").GetString()));
        Assert.Equal("number", sent.GetProperty("tools")[0].GetProperty("function").GetProperty("parameters").GetProperty("properties").GetProperty("a").GetProperty("type").GetString());
        Assert.Equal("add", sent.GetProperty("tool_choice").GetProperty("function").GetProperty("name").GetString());
        Assert.False(sent.GetProperty("parallel_tool_calls").GetBoolean());
        Assert.Equal(77, sent.GetProperty("max_completion_tokens").GetInt32());
        Assert.Equal((0.5f, 0.25f, 1f, -1f), (sent.GetProperty("temperature").GetSingle(), sent.GetProperty("top_p").GetSingle(), sent.GetProperty("presence_penalty").GetSingle(), sent.GetProperty("frequency_penalty").GetSingle()));
        Assert.Equal(["x", "y"], sent.GetProperty("stop").EnumerateArray().Select(static s => s.GetString()));
        Assert.Equal(-9_000_000_000, sent.GetProperty("seed").GetInt64());
        Assert.Equal("json_schema", sent.GetProperty("response_format").GetProperty("type").GetString());
        Assert.Equal("object", sent.GetProperty("response_format").GetProperty("json_schema").GetProperty("schema").GetProperty("type").GetString());
        Assert.True(sent.GetProperty("logprobs").GetBoolean());
        Assert.Equal(3, sent.GetProperty("top_logprobs").GetInt32());
        Assert.Equal("low", sent.GetProperty("reasoning_effort").GetString());
        Assert.DoesNotContain("never-sent", sent.GetRawText());
        Assert.Equal(stream, sent.TryGetProperty("stream_options", out JsonElement options) && options.GetProperty("include_usage").GetBoolean());
    }

    [Fact]
    public async Task Without_a_key_none_is_sent_and_older_servers_get_max_tokens()
    {
        bool authorized = true;
        string sent = "";
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            authorized = http.Request.Headers.ContainsKey("Authorization");
            sent = await new StreamReader(http.Request.Body).ReadToEndAsync();
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync(TestEndpoint.Saying("hi"));
        });
        using FrontierClient client = Asking.Client(server.Options() with { MaxTokensField = "max_tokens" });
        await client.AskAsync(Asking.Request("q") with { MaxTokens = 9 }, stream: false);
        Assert.False(authorized);
        JsonElement body = JsonDocument.Parse(sent).RootElement;
        Assert.Equal(9, body.GetProperty("max_tokens").GetInt32());
        // What nobody asked for is not sent.
        Assert.Equal(["max_tokens", "messages", "model"], body.EnumerateObject().Select(static p => p.Name).Order());
    }

    [Fact]
    public async Task Tool_calls_are_gathered_from_their_pieces()
    {
        await using TestEndpoint server = await TestEndpoint.EventsAsync(
            TestEndpoint.Chunk("""{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"add","arguments":""}}]}"""),
            TestEndpoint.Chunk("""{"tool_calls":[{"index":0,"function":{"arguments":"{ \"a\""}}]}"""),
            TestEndpoint.Chunk("""{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"now","arguments":"{}"}}]}"""),
            TestEndpoint.Chunk("""{"tool_calls":[{"index":0,"function":{"arguments":":1 }"}}]}"""),
            TestEndpoint.Chunk("{}", "\"tool_calls\""),
            "[DONE]");
        using FrontierClient client = Asking.Client(server.Options());
        FrontierAnswer answer = await client.AskAsync(Asking.Request("q"), stream: true);
        Assert.Equal([new ToolCall("c1", "add", "{ \"a\":1 }"), new ToolCall("c2", "now", "{}")], answer.ToolCalls);
        Assert.Equal(("tool_calls", "", "m-7"), (answer.FinishReason, answer.Text, answer.Model));
    }

    [Fact]
    public async Task A_whole_answer_may_be_tool_calls()
    {
        await using TestEndpoint server = await TestEndpoint.JsonAsync(TestEndpoint.Completion("""{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{ \"a\": 1 }"}}]}""", "tool_calls"));
        using FrontierClient client = Asking.Client(server.Options());
        FrontierAnswer answer = await client.AskAsync("q");
        Assert.Equal([new ToolCall("c1", "add", "{ \"a\": 1 }")], answer.ToolCalls);
        Assert.Equal("tool_calls", answer.FinishReason);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Tokens_that_the_endpoint_does_not_count_are_estimated_and_flagged(bool stream)
    {
        await using TestEndpoint server = stream
            ? await TestEndpoint.EventsAsync(TestEndpoint.Chunk("""{"content":"12345"}"""), TestEndpoint.Chunk("{}", "\"stop\""), "[DONE]")
            : await TestEndpoint.JsonAsync(TestEndpoint.Completion("""{"role":"assistant","content":"12345"}""", usage: ""));
        using FrontierClient client = Asking.Client(server.Options());
        FrontierAnswer answer = await client.AskAsync(Asking.Request("123456789"), stream);
        Assert.True(answer.UsageEstimated);
        Assert.Equal((3, 0, 2), (answer.PromptTokens, answer.CachedTokens, answer.CompletionTokens));
        Assert.Equal(new Money((3 * 2000) + (2 * 8000)), answer.Cost);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_refusal_is_an_answer(bool stream)
    {
        await using TestEndpoint server = stream
            ? await TestEndpoint.EventsAsync(TestEndpoint.Chunk("""{"refusal":"I "}"""), TestEndpoint.Chunk("""{"refusal":"won't."}"""), TestEndpoint.Chunk("{}", "\"stop\""), "[DONE]")
            : await TestEndpoint.JsonAsync(TestEndpoint.Completion("""{"role":"assistant","content":null,"refusal":"I won't."}"""));
        using FrontierClient client = Asking.Client(server.Options());
        FrontierAnswer answer = await client.AskAsync(Asking.Request("q") with { Format = FrontierFormat.JsonObject }, stream);
        Assert.Equal(("I won't.", "content_filter"), (answer.Text, answer.FinishReason));
    }

    [Fact]
    public async Task A_filtered_answer_may_be_empty()
    {
        await using TestEndpoint server = await TestEndpoint.JsonAsync(TestEndpoint.Completion("""{"role":"assistant","content":""}""", "content_filter"));
        using FrontierClient client = Asking.Client(server.Options());
        Assert.Equal("content_filter", (await client.AskAsync("q")).FinishReason);
    }
}
