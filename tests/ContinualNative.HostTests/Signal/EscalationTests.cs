using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using OpenAI;
using OpenAI.Chat;
using ChatMessage = OpenAI.Chat.ChatMessage;

namespace ContinualNative.HostTests.Signal;

/// <summary>Requests that go up in the same call, over HTTP, with a frontier that works and one that does not.</summary>
public sealed class EscalationTests(FrontierFixture fixture) : IClassFixture<FrontierFixture>
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_request_for_the_local_model_stays_and_one_for_the_frontier_goes_up()
    {
        await using ContinualServer server = await fixture.StartAsync();
        Reply local = await server.AskAsync("What is the capital of France?", "\"route\":\"local\"");
        Assert.Equal((200, "local", "requested"), (local.Status, local.Route, local.Reason));
        Reply up = await server.AskAsync("What is the capital of France?", "\"route\":\"frontier\"");
        Assert.Equal((200, "frontier", "requested", "Paris"), (up.Status, up.Route, up.Reason, up.Text()));
        Assert.Equal("sim-1", up.Json().GetProperty("model").GetString());
        Assert.Equal("frontier", up.Json().GetProperty("continual").GetProperty("route").GetString());
        StoredRequest stored = await server.StoredAsync(up.RequestId);
        TeacherLabel label = Assert.Single(stored.Labels);
        Assert.Equal(("Paris", "sim-1", LabelReason.Escalated, true), (label.Answer, label.Teacher, label.Reason, label.TrainingAllowed));
        Assert.True(label.Cost > Money.Zero);
        Assert.Null(label.Correct);
        DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow);
        Assert.Equal(label.Cost, server.Signal.Store!.Spent(LedgerKind.Escalation, today));
    }

    [Fact]
    public async Task An_uncalibrated_request_is_answered_by_both_and_labelled()
    {
        await using ContinualServer server = await fixture.StartAsync();
        Reply up = await server.AskAsync("What is the capital of Italy?");
        Assert.Equal((200, "frontier", "uncalibrated", "Rome"), (up.Status, up.Route, up.Reason, up.Text()));
        StoredRequest stored = await server.StoredAsync(up.RequestId);
        Assert.NotNull(stored.Request.LocalAnswer);
        Assert.NotNull(stored.Request.Decision.Features);
        Assert.True(stored.Request.LocalTime > TimeSpan.Zero);
        TeacherLabel label = Assert.Single(stored.Labels);
        // The test model babbles: it does not agree with anything.
        Assert.Equal((false, 0.0), (label.Correct, label.Agreement));
    }

    [Fact]
    public async Task The_official_client_sees_escalations_whole_and_streamed()
    {
        await using ContinualServer server = await fixture.StartAsync();
        ChatClient chat = new("tiny", new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.BaseAddress, "v1"), RetryPolicy = new ClientRetryPolicy(0) });
        ChatMessage[] messages = [new SystemChatMessage("Be brief."), new UserChatMessage("What is the capital of France?")];
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 8 };
        ChatCompletion whole = await chat.CompleteChatAsync(messages, options, Cancelled);
        Assert.Equal(("Paris", "sim-1", ChatFinishReason.Stop), (whole.Content[0].Text, whole.Model, whole.FinishReason));
        Assert.True(whole.Usage.OutputTokenCount > 0);
        string text = "";
        int tokens = 0;
        ChatFinishReason? finish = null;
        await foreach (StreamingChatCompletionUpdate update in chat.CompleteChatStreamingAsync(messages, options, Cancelled))
        {
            text += string.Concat(update.ContentUpdate.Select(static p => p.Text));
            tokens = update.Usage?.OutputTokenCount ?? tokens;
            finish ??= update.FinishReason;
        }
        Assert.Equal(("Paris", ChatFinishReason.Stop), (text, finish));
        Assert.Equal(whole.Usage.OutputTokenCount, tokens);
    }

    [Fact]
    public async Task A_stream_is_judged_by_its_beginning_and_the_local_answer_is_finished_for_the_label()
    {
        await using ContinualServer server = await fixture.StartAsync("--hold-back", "2");
        Reply up = await server.AskAsync("What is the capital of Italy?", "\"stream\":true");
        Assert.Equal(("frontier", "uncalibrated"), (up.Route, up.Reason));
        Assert.Contains("Rome", up.Body, StringComparison.Ordinal);
        Assert.EndsWith("data: [DONE]\n\n", up.Body, StringComparison.Ordinal);
        StoredRequest stored = await server.StoredAsync(up.RequestId, static s => s.Labels.Count > 0);
        Assert.True(stored.Request.Decision.Features!.Value.Early);
        Assert.Equal(2, stored.Request.Decision.Features!.Value.Tokens);
        Assert.True(stored.Request.CompletionTokens > 2);
        Assert.NotNull(stored.Request.LocalAnswer);
        Assert.False(stored.Labels[0].Correct);
    }

    [Fact]
    public async Task A_stream_that_stays_is_local_from_its_first_byte_and_stored_whole()
    {
        await using ContinualServer server = await fixture.StartAsync("--uncalibrated", "local");
        Reply whole = await server.AskAsync("Question number 1?");
        Reply stream = await server.AskAsync("Question number 1?", "\"stream\":true");
        Assert.Equal(("local", "uncalibrated"), (stream.Route, stream.Reason));
        StoredRequest stored = await server.StoredAsync(stream.RequestId);
        Assert.Equal(whole.Text(), stored.Request.LocalAnswer);
    }

    [Fact]
    public async Task A_frontier_that_refuses_leaves_a_marked_local_answer()
    {
        await using ContinualServer server = await fixture.StartAsync();
        await fixture.FailAsync(new { refuse_rate = 1, refuse_status = 401 });
        try
        {
            foreach (string more in (string[])["\"stream\":false", "\"stream\":true", "\"route\":\"frontier\""])
            {
                Reply reply = await server.AskAsync("What is the capital of France?", more);
                Assert.Equal((200, "local", "frontier_down"), (reply.Status, reply.Route, reply.Reason));
                StoredRequest stored = await server.StoredAsync(reply.RequestId);
                Assert.Equal((Route.Local, RouteReason.FrontierDown), (stored.Request.Decision.Route, stored.Request.Decision.Reason));
                Assert.NotNull(stored.Request.LocalAnswer);
                Assert.Empty(stored.Labels);
            }
        }
        finally
        {
            await fixture.HealAsync();
        }
    }

    [Fact]
    public async Task A_frontier_that_talks_nonsense_or_says_nothing_leaves_a_local_answer()
    {
        await using ContinualServer server = await fixture.StartAsync();
        try
        {
            foreach (object failure in (object[])[new { nonsense_rate = 1, empty_rate = 0 }, new { nonsense_rate = 0, empty_rate = 1 }])
            {
                await fixture.FailAsync(failure);
                Reply reply = await server.AskAsync("What is the capital of France?");
                Assert.Equal((200, "local", "frontier_down"), (reply.Status, reply.Route, reply.Reason));
            }
        }
        finally
        {
            await fixture.HealAsync();
        }
    }

    [Fact]
    public async Task A_frontier_that_is_too_slow_leaves_a_local_answer()
    {
        await using ContinualServer server = await fixture.StartAsync("--frontier-timeout", "0.5");
        await fixture.FailAsync(new { slow_rate = 1, slow_seconds = 30 });
        try
        {
            Reply reply = await server.AskAsync("What is the capital of France?");
            Assert.Equal((200, "local", "frontier_down"), (reply.Status, reply.Route, reply.Reason));
        }
        finally
        {
            await fixture.HealAsync();
        }
    }

    [Fact]
    public async Task A_stream_that_is_cut_off_says_so_and_is_recorded()
    {
        await using ContinualServer server = await fixture.StartAsync();
        await fixture.FailAsync(new { cut_rate = 1 });
        try
        {
            Reply reply = await server.AskAsync("Write to [EMAIL_1]", "\"route\":\"frontier\",\"stream\":true");
            Assert.Equal("frontier", reply.Route);
            Assert.Contains("frontier_cut_off", reply.Body, StringComparison.Ordinal);
            Assert.DoesNotContain("[DONE]", reply.Body, StringComparison.Ordinal);
            Assert.Equal("error", (await server.StoredAsync(reply.RequestId)).Request.FinishReason);
        }
        finally
        {
            await fixture.HealAsync();
        }
    }

    [Fact]
    public async Task A_dead_frontier_loses_nothing()
    {
        await using ContinualServer server = await fixture.StartAsync("--frontier-url", "http://127.0.0.1:9/v1");
        Reply reply = await server.AskAsync("What is the capital of France?");
        Assert.Equal((200, "local", "frontier_down"), (reply.Status, reply.Route, reply.Reason));
        Assert.NotNull((await server.StoredAsync(reply.RequestId)).Request.LocalAnswer);
    }

    [Fact]
    public async Task Beyond_the_budget_answers_are_local_and_marked()
    {
        await using ContinualServer money = await fixture.StartAsync("--spend-per-day", "0.0000001");
        Reply reply = await money.AskAsync("What is the capital of France?");
        Assert.Equal((200, "local", "over_budget"), (reply.Status, reply.Route, reply.Reason));
        await using ContinualServer share = await fixture.StartAsync("--max-escalation", "0");
        reply = await share.AskAsync("What is the capital of France?");
        Assert.Equal((200, "local", "over_budget"), (reply.Status, reply.Route, reply.Reason));
    }

    [Fact]
    public async Task Guided_choices_come_back_in_the_client_s_spelling_or_from_the_local_model()
    {
        await using ContinualServer server = await fixture.StartAsync();
        Reply right = await server.AskAsync("What is the capital of France?", "\"guided_choice\":[\"paris\",\"rome\"]");
        Assert.Equal(("frontier", "paris"), (right.Route, right.Text()));
        Reply streamed = await server.AskAsync("What is the capital of France?", "\"guided_choice\":[\"paris\",\"rome\"],\"stream\":true");
        Assert.Contains("\"content\":\"paris\"", streamed.Body, StringComparison.Ordinal);
        Reply other = await server.AskAsync("Nobody has asked this before", "\"guided_choice\":[\"yes\",\"no\"]");
        Assert.Contains(other.Text(), (string[])["yes", "no"]);
    }

    [Fact]
    public async Task What_a_frontier_cannot_do_stays_local_and_is_refused_by_name_when_demanded()
    {
        await using ContinualServer server = await fixture.StartAsync();
        foreach (string more in (string[])["\"n\":2", "\"grammar\":\"root ::= \\\"a\\\"\"", "\"logit_bias\":{\"5\":-1}", "\"top_k\":5", "\"model\":\"tiny@base\"", "\"stream\":true,\"logprobs\":true"])
        {
            Reply reply = await server.AskAsync("What is the capital of France?", more);
            Assert.True(reply is { Status: 200, Route: "local" }, $"{more}: {reply}");
        }
        Reply refused = await server.AskAsync("What is the capital of France?", "\"route\":\"frontier\",\"n\":2");
        Assert.Equal((400, "route"), (refused.Status, refused.Json().GetProperty("error").GetProperty("param").GetString()));
        Reply text = await server.PostAsync("/v1/completions", """{"prompt":"Once","max_tokens":4}""");
        Assert.Equal((200, "local", "not_portable"), (text.Status, text.Route, text.Reason));
        Assert.Equal(RequestKind.Completion, (await server.StoredAsync(text.RequestId)).Request.Kind);
    }

    [Fact]
    public async Task Log_probabilities_of_the_frontier_come_through()
    {
        await using ContinualServer server = await fixture.StartAsync();
        Reply reply = await server.AskAsync("What is the capital of France?", "\"logprobs\":true,\"top_logprobs\":2");
        Assert.Equal("frontier", reply.Route);
        JsonElement content = reply.Json().GetProperty("choices")[0].GetProperty("logprobs").GetProperty("content");
        Assert.True(content.GetArrayLength() > 0);
        Assert.Equal(2, content[0].GetProperty("top_logprobs").GetArrayLength());
    }

    [Fact]
    public async Task A_prompt_beyond_the_local_context_goes_up()
    {
        await using ContinualServer server = await fixture.StartAsync("--ctx", "128", "--max-escalation", "1");
        string padding = string.Concat(Enumerable.Repeat("word ", 400));
        Reply reply = await server.PostAsync("/v1/chat/completions", JsonSerializer.Serialize(new
        {
            messages = new[] { new { role = "system", content = padding }, new { role = "user", content = "What is the capital of France?" } },
            max_tokens = 8,
        }));
        Assert.Equal((200, "frontier", "local_failed", "Paris"), (reply.Status, reply.Route, reply.Reason, reply.Text()));
        Assert.Null((await server.StoredAsync(reply.RequestId)).Request.LocalAnswer);
    }
}
