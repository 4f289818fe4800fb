using System.Diagnostics;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Frontier.Simulation;
using Microsoft.AspNetCore.Http;

namespace ContinualNative.HostTests.Frontier;

/// <summary>The client against servers that fail.</summary>
public sealed class FrontierFailureTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(300);

    [Fact]
    public async Task Without_an_endpoint_there_is_nothing_to_ask()
    {
        using FrontierClient client = Asking.Client();
        Assert.False(client.IsConfigured);
        Assert.Contains("--frontier-url", (await client.FailAsync(FrontierErrorKind.NotConfigured)).Message);
        await client.FailAsync(FrontierErrorKind.NotConfigured, stream: true);
    }

    [Theory]
    [InlineData(429, nameof(FrontierErrorKind.RateLimited))]
    [InlineData(500, nameof(FrontierErrorKind.Unavailable))]
    [InlineData(503, nameof(FrontierErrorKind.Unavailable))]
    [InlineData(408, nameof(FrontierErrorKind.TimedOut))]
    [InlineData(401, nameof(FrontierErrorKind.Rejected))]
    [InlineData(404, nameof(FrontierErrorKind.Rejected))]
    public async Task The_next_endpoint_answers_when_one_refuses(int status, string expected)
    {
        FrontierErrorKind kind = Enum.Parse<FrontierErrorKind>(expected);
        await using TestEndpoint bad = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        bad.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = status });
        using FrontierClient client = Asking.Client(bad.Options(), good.Options("b"));
        foreach (bool stream in (bool[])[false, true])
        {
            FrontierAnswer answer = await client.AskAsync(Asking.Request("question 5"), stream);
            Assert.Equal(("b", "the answer is 5"), (answer.Endpoint, answer.Text));
        }
        Assert.Equal((2, 2), (bad.Model.State().Requests, good.Model.State().Requests));
        Assert.Equal(2, client.Health()[0].Failures[kind]);

        using FrontierClient alone = Asking.Client(bad.Options());
        FrontierException failure = await alone.FailAsync(kind);
        Assert.Contains("'a'", failure.Message);
        Assert.Contains($"{status}", failure.Message);
        Assert.Equal(Money.Zero, failure.Cost);
    }

    [Fact]
    public async Task When_all_fail_the_message_names_them_all()
    {
        await using TestEndpoint bad = await TestEndpoint.SimulateAsync(new SimulatedRelease { Name = "s", Failures = new SimulatedFailures { RefuseRate = 1, RefuseStatus = 503 } });
        using FrontierClient client = Asking.Client(TestEndpoint.At("http://127.0.0.1:1/v1"), bad.Options("b"));
        FrontierException failure = await client.FailAsync(FrontierErrorKind.Unavailable);
        Assert.Contains("'a' gave no answer: it cannot be reached", failure.Message);
        Assert.Contains("'b' gave no answer: it failed by itself (503, simulated_failure)", failure.Message);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(422)]
    public async Task A_bad_request_goes_nowhere_else(int status)
    {
        await using TestEndpoint bad = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        bad.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = status });
        using FrontierClient client = Asking.Client(bad.Options(retries: 2), good.Options("b"));
        Assert.Contains("simulated_refusal", (await client.FailAsync(FrontierErrorKind.Rejected)).Message);
        await client.FailAsync(FrontierErrorKind.Rejected, stream: true);
        Assert.Equal((2, 0), (bad.Model.State().Requests, good.Model.State().Requests));
    }

    [Fact]
    public async Task What_fails_for_a_moment_is_tried_again()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options(retries: 2));
        foreach (bool stream in (bool[])[false, true])
        {
            server.Model.Fail(new SimulatedFailures { RefuseRate = 1 }, requests: 2);
            Assert.Equal("the answer is 5", (await client.AskAsync(Asking.Request("question 5"), stream)).Text);
        }
        Assert.Equal(6, server.Model.State().Requests);
        Assert.Equal((2, 4), (client.Health()[0].Calls, client.Health()[0].Retries));
        Assert.Empty(client.Health()[0].Failures);
    }

    [Fact]
    public async Task Retries_end()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        server.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 500 });
        using FrontierClient client = Asking.Client(server.Options(retries: 3));
        await client.FailAsync(FrontierErrorKind.Unavailable);
        Assert.Equal(4, server.Model.State().Requests);
    }

    [Fact]
    public async Task A_retry_comes_no_earlier_than_the_endpoint_said()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(server.Options(retries: 1));
        server.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 429, RetryAfter = Short }, requests: 1);
        long start = Stopwatch.GetTimestamp();
        await client.AskAsync("question 5");
        Assert.True(Stopwatch.GetElapsedTime(start) >= Short - TimeSpan.FromMilliseconds(20));
        Assert.Equal(2, server.Model.State().Requests);
    }

    [Fact]
    public async Task Whoever_says_to_come_back_much_later_is_passed_over_at_once()
    {
        await using TestEndpoint bad = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        bad.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 429, RetryAfter = TimeSpan.FromHours(1) });
        using FrontierClient client = Asking.Client(bad.Options(retries: 5), good.Options("b"));
        Assert.Equal("b", (await client.AskAsync("question 5")).Endpoint);
        Assert.Equal(1, bad.Model.State().Requests);
    }

    [Theory]
    [InlineData("1", 1000)]
    [InlineData("120", 120_000)]
    [InlineData("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
    [InlineData("soon", -1)]
    public void Retry_After_is_understood_in_all_its_forms(string value, double milliseconds)
    {
        using HttpResponseMessage response = new();
        response.Headers.TryAddWithoutValidation("Retry-After", value);
        Assert.Equal(milliseconds < 0 ? null : TimeSpan.FromMilliseconds(milliseconds), FrontierPipeline.RetryAfter(response, TimeProvider.System));
        response.Headers.TryAddWithoutValidation("retry-after-ms", "250");
        Assert.Equal(TimeSpan.FromMilliseconds(250), FrontierPipeline.RetryAfter(response, TimeProvider.System));
    }

    [Fact]
    public async Task The_circuit_opens_after_failures_and_closes_when_the_endpoint_is_well_again()
    {
        JumpingTime time = new();
        MessageLog log = new();
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        FrontierOptions options = new() { Breaker = new FrontierBreakerOptions { MinimumCalls = 3, Window = TimeSpan.FromMinutes(10), Break = TimeSpan.FromMinutes(5) } };
        using FrontierClient client = Asking.Client(options, log, time, server.Options());
        server.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 503 });
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal("closed", client.Health()[0].Circuit);
            await client.FailAsync(FrontierErrorKind.Unavailable);
        }
        Assert.Equal("open", client.Health()[0].Circuit);
        server.Model.Fail(null);
        Assert.Contains("left alone", (await client.FailAsync(FrontierErrorKind.Unavailable)).Message);
        await client.FailAsync(FrontierErrorKind.Unavailable, stream: true);
        Assert.Equal(3, server.Model.State().Requests);

        time.Jump(TimeSpan.FromMinutes(6));
        Assert.Equal("the answer is 5", (await client.AskAsync("question 5")).Text);
        Assert.Equal("closed", client.Health()[0].Circuit);
        Assert.Contains(log.Messages, static m => m.StartsWith("1302 ", StringComparison.Ordinal));
        Assert.Contains(log.Messages, static m => m.StartsWith("1303 ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Nobody_waits_for_an_endpoint_whose_circuit_is_open()
    {
        await using TestEndpoint bad = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        bad.Model.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 503 });
        using FrontierClient client = Asking.Client(new FrontierOptions { Breaker = new FrontierBreakerOptions { MinimumCalls = 2 } }, null, null, bad.Options(), good.Options("b"));
        for (int i = 0; i < 6; i++)
        {
            Assert.Equal("b", (await client.AskAsync("question 5")).Endpoint);
        }
        Assert.Equal((2, 6), (bad.Model.State().Requests, good.Model.State().Requests));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Nonsense_of_every_sort_is_told_as_such(bool stream)
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        server.Model.Fail(new SimulatedFailures { NonsenseRate = 1 });
        using FrontierClient client = Asking.Client(server.Options(retries: 2), good.Options("b"));
        for (int i = 0; i < 3; i++)
        {
            await client.FailAsync(FrontierErrorKind.Nonsense, stream);
        }
        Assert.Equal((3, 0), (server.Model.State().Requests, good.Model.State().Requests));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_empty_answer_is_none_and_costs_what_the_endpoint_counted(bool stream)
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        server.Model.Fail(new SimulatedFailures { EmptyRate = 1 });
        using FrontierClient client = Asking.Client(server.Options());
        FrontierException failure = await client.FailAsync(FrontierErrorKind.Nonsense, stream);
        Assert.Contains("empty", failure.Message);
        Assert.Equal(new Money(3 * 2000), failure.Cost);
        Assert.Equal(failure.Cost, client.Spend.Status(LedgerKind.Escalation).Spent);
    }

    [Theory]
    [InlineData(false, "[1]", false)]
    [InlineData(false, "Sure! {}", false)]
    [InlineData(false, "{\"a\":1}", true)]
    [InlineData(true, "[1]", true)]
    [InlineData(true, "{\"a\":", false)]
    public async Task An_answer_that_is_not_the_JSON_asked_for_is_nonsense(bool schema, string text, bool good)
    {
        FrontierFormat format = schema ? FrontierFormat.JsonSchema : FrontierFormat.JsonObject;
        await using TestEndpoint server = await TestEndpoint.JsonAsync(TestEndpoint.Saying(text));
        using FrontierClient client = Asking.Client(server.Options());
        FrontierRequest request = Asking.Request("q") with { Format = format, Schema = format == FrontierFormat.JsonSchema ? System.Text.Json.JsonDocument.Parse("{}").RootElement : default };
        if (good)
        {
            Assert.Equal(text, (await client.AskAsync(request, stream: false)).Text);
        }
        else
        {
            FrontierException failure = await Assert.ThrowsAsync<FrontierException>(() => client.AskAsync(request, stream: false));
            Assert.Equal(FrontierErrorKind.Nonsense, failure.Kind);
            Assert.Contains("JSON", failure.Message);
        }
    }

    [Fact]
    public async Task A_stream_cut_midway_gives_what_came_and_then_says_so()
    {
        await using TestEndpoint server = await TestEndpoint.SimulateAsync();
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        server.Model.Fail(new SimulatedFailures { CutRate = 1 });
        using FrontierClient client = Asking.Client(server.Options(retries: 2), good.Options("b"));
        List<FrontierCharge> charges = [];
        client.Charged = charges.Add;
        string text = "";
        FrontierException failure = await Assert.ThrowsAsync<FrontierException>(async () =>
        {
            await foreach (FrontierChunk chunk in client.StreamAsync(Asking.Request("question 5") with { Reference = "r1" }, FrontierPurpose.Escalation, Asking.Token))
            {
                text += chunk.Text;
            }
        });
        Assert.Equal(FrontierErrorKind.CutOff, failure.Kind);
        Assert.Equal("the answer", text);
        Assert.Equal(0, good.Model.State().Requests);
        // Ten characters of the prompt and ten that came: three tokens each.
        Assert.Equal(new Money((3 * 2000) + (3 * 8000)), failure.Cost);
        FrontierCharge charge = Assert.Single(charges);
        Assert.Equal((FrontierChargeReason.Failed, "r1", true, failure.Cost), (charge.Reason, charge.Reference, charge.Estimated, charge.Cost));
    }

    [Fact]
    public async Task A_stream_whose_connection_breaks_is_cut_off_too()
    {
        TaskCompletionSource read = new();
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            http.Response.ContentType = "text/event-stream";
            await TestEndpoint.SendAsync(http, $"data: {TestEndpoint.Chunk("""{"content":"half"}""")}\n\n");
            await read.Task;
            http.Abort();
        });
        using FrontierClient client = Asking.Client(server.Options());
        FrontierException failure = await Assert.ThrowsAsync<FrontierException>(async () =>
        {
            await foreach (FrontierChunk chunk in client.StreamAsync(Asking.Request("q"), FrontierPurpose.Escalation, Asking.Token))
            {
                Assert.Equal("half", chunk.Text);
                read.TrySetResult();
            }
        });
        Assert.Equal(FrontierErrorKind.CutOff, failure.Kind);
        Assert.Equal(0, client.Health()[0].Running);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_answer_that_breaks_off_before_it_began_goes_to_the_next(bool stream)
    {
        await using TestEndpoint bad = await TestEndpoint.ServeAsync(async http =>
        {
            http.Response.ContentType = "text/event-stream";
            http.Response.ContentLength = 1000;
            await TestEndpoint.SendAsync(http, "data: ");
            http.Abort();
        });
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        using FrontierClient client = Asking.Client(bad.Options(), good.Options("b"));
        Assert.Equal("b", (await client.AskAsync(Asking.Request("question 5"), stream)).Endpoint);
        Assert.Equal(1, bad.Requests);
    }

    [Theory]
    [InlineData("nothing", false)]
    [InlineData("nothing", true)]
    [InlineData("headers", false)]
    [InlineData("headers", true)]
    [InlineData("role", true)]
    public async Task A_silent_endpoint_is_given_up_and_the_next_one_asked(string sends, bool stream)
    {
        await using TestEndpoint silent = await TestEndpoint.ServeAsync(async http =>
        {
            if (sends != "nothing")
            {
                http.Response.ContentType = "text/event-stream";
                await http.Response.StartAsync();
                await http.Response.Body.FlushAsync();
            }
            if (sends == "role")
            {
                await TestEndpoint.SendAsync(http, $"data: {TestEndpoint.Chunk("""{"role":"assistant","content":""}""")}\n\n");
            }
            await Task.Delay(Timeout.Infinite, http.RequestAborted);
        });
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        FrontierEndpointOptions options = silent.Options(retries: 3) with { FirstByteTimeout = Short, Timeout = stream ? TimeSpan.FromMinutes(1) : Short };
        using FrontierClient client = Asking.Client(options, good.Options("b"));
        Assert.Equal("b", (await client.AskAsync(Asking.Request("question 5"), stream)).Endpoint);
        Assert.Equal(1, silent.Requests);
        Assert.Equal(1, client.Health()[0].Failures[FrontierErrorKind.TimedOut]);

        using FrontierClient alone = Asking.Client(options);
        FrontierException failure = await alone.FailAsync(FrontierErrorKind.TimedOut, stream);
        // It was at work, so the prompt counts: three tokens for eleven characters.
        Assert.Equal(new Money(3 * 2000), failure.Cost);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_body_that_trickles_on_and_on_is_bounded_in_time(bool stream)
    {
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            http.Response.ContentType = stream ? "text/event-stream" : "application/json";
            await TestEndpoint.SendAsync(http, stream ? $"data: {TestEndpoint.Chunk("""{"content":"half"}""")}\n\n" : "{");
            while (true)
            {
                await TestEndpoint.SendAsync(http, stream ? ":\n" : " ");
                await Task.Delay(20, http.RequestAborted);
            }
        });
        using FrontierClient client = Asking.Client(server.Options() with { FirstByteTimeout = Short, Timeout = Short });
        await client.FailAsync(stream ? FrontierErrorKind.CutOff : FrontierErrorKind.TimedOut, stream);
        Assert.Equal(0, client.Health()[0].Running);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_body_without_end_is_bounded_in_size(bool stream, bool said)
    {
        byte[] much = new byte[1 << 16];
        much.AsSpan().Fill((byte)' ');
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            http.Response.ContentType = stream ? "text/event-stream" : "application/json";
            http.Response.ContentLength = said ? 1L << 40 : null;
            while (true)
            {
                await http.Response.Body.WriteAsync(much, http.RequestAborted);
            }
        });
        using FrontierClient client = Asking.Client(new FrontierOptions { MaxAnswerBytes = 1 << 20 }, null, null, server.Options());
        Assert.Contains("larger than 1048576 bytes", (await client.FailAsync(FrontierErrorKind.Nonsense, stream)).Message);
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        await using TestEndpoint good = await TestEndpoint.SimulateAsync();
        await using TestEndpoint server = await TestEndpoint.ServeAsync(http =>
        {
            http.Response.Redirect(good.Url + "/chat/completions", permanent: true, preserveMethod: true);
            return Task.CompletedTask;
        });
        using FrontierClient client = Asking.Client(server.Options());
        Assert.Contains("redirects (308)", (await client.FailAsync(FrontierErrorKind.Rejected)).Message);
        Assert.Equal(0, good.Model.State().Requests);
    }

    [Fact]
    public async Task Hosts_that_cannot_be_talked_to_are_told_apart()
    {
        await using TestEndpoint plain = await TestEndpoint.SimulateAsync();
        using FrontierClient tls = Asking.Client(TestEndpoint.At(plain.Url.Replace("http:", "https:", StringComparison.Ordinal)));
        Assert.Contains("secure connection", (await tls.FailAsync(FrontierErrorKind.Unavailable)).Message);
        using FrontierClient dead = Asking.Client(TestEndpoint.At("http://127.0.0.1:1/v1"));
        Assert.Contains("cannot be reached", (await dead.FailAsync(FrontierErrorKind.Unavailable, stream: true)).Message);
        using FrontierClient nowhere = Asking.Client(new FrontierOptions { ConnectTimeout = TimeSpan.FromSeconds(2) }, null, null, TestEndpoint.At("http://no-such-host.invalid/v1"));
        await nowhere.FailAsync(FrontierErrorKind.Unavailable);
    }

    [Theory]
    [InlineData(401)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(200)]
    public async Task Neither_key_nor_prompt_gets_into_logs_or_errors(int status)
    {
        const string Prompt = "my grandmother's secret";
        await using TestEndpoint server = await TestEndpoint.ServeAsync(async http =>
        {
            // Servers like to quote both.
            string echo = await new StreamReader(http.Request.Body).ReadToEndAsync() + http.Request.Headers.Authorization;
            http.Response.StatusCode = status;
            http.Response.ContentType = "application/json";
            await http.Response.WriteAsync(System.Text.Json.JsonSerializer.Serialize(new { error = new { message = echo, code = Prompt, type = "sk-secret-key" } }));
        });
        MessageLog log = new();
        using FrontierClient client = Asking.Client(new FrontierOptions(), log, null, server.Options() with { KeyEnv = "THE_KEY" });
        foreach (bool stream in (bool[])[false, true])
        {
            FrontierException failure = await Assert.ThrowsAsync<FrontierException>(() => client.AskAsync(Asking.Request(Prompt), stream));
            log.Messages.Enqueue(failure.ToString());
        }
        Assert.True(log.Messages.Count >= 4);
        Assert.All(log.Messages, static m =>
        {
            Assert.DoesNotContain("sk-secret", m);
            Assert.DoesNotContain("grandmother", m);
        });
    }
}
