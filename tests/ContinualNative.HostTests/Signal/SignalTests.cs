using System.Net.Http.Headers;
using System.Text;
using ContinualNative.Core.Access;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Signal;

/// <summary>Outcomes, audits, redaction, keys and figures, over HTTP.</summary>
public sealed class SignalTests(FrontierFixture fixture) : IClassFixture<FrontierFixture>
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Outcomes_are_stored_once_and_contradictions_flagged()
    {
        await using ContinualServer server = await fixture.StartAsync();
        string id = (await server.AskAsync("What is the capital of France?")).RequestId;
        Assert.Equal("stored", (await server.ReportAsync(id, "\"outcome\":\"accepted\",\"source\":\"app\"")).Json().GetProperty("status").GetString());
        Assert.Equal("duplicate", (await server.ReportAsync(id, "\"outcome\":\"accepted\",\"source\":\"app\"")).Json().GetProperty("status").GetString());
        Assert.Equal("contradicts", (await server.ReportAsync(id, "\"outcome\":\"corrected\",\"correction\":\"Lyon\",\"source\":\"app\"")).Json().GetProperty("status").GetString());
        Assert.Equal("stored", (await server.ReportAsync(id, "\"score\":0.25")).Json().GetProperty("status").GetString());
        StoredRequest stored = await server.StoredAsync(id);
        Assert.True(stored.Contradicted);
        Assert.Equal([OutcomeKind.Accepted, OutcomeKind.Corrected, OutcomeKind.Scored], stored.Outcomes.Select(static o => o.Kind));
        Assert.Equal("Lyon", stored.Outcomes[1].Correction);
    }

    [Fact]
    public async Task What_is_reported_tells_the_router_at_once_on_which_words_the_model_is_wrong()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            await using (ContinualServer server = await fixture.StartAsync("--data", data, "--max-escalation", "0"))
            {
                foreach (string word in (string[])["Yarrow", "Rusko", "Krelow", "Plivo"])
                {
                    string id = (await server.AskAsync($"What about {word}?")).RequestId;
                    await server.StoredAsync(id);
                    if (word == "Plivo")
                    {
                        await server.ReportAsync(id, "\"score\":0");
                        continue;
                    }
                    await server.ReportAsync(id, word == "Yarrow" ? "\"outcome\":\"accepted\"" : "\"outcome\":\"rejected\"");
                    // Said twice it is still one report, and one that contradicts another one adds nothing.
                    await server.ReportAsync(id, word == "Yarrow" ? "\"outcome\":\"accepted\"" : "\"outcome\":\"rejected\"");
                    if (word == "Krelow")
                    {
                        await server.ReportAsync(id, "\"outcome\":\"accepted\"");
                    }
                }
                Assert.InRange(server.Signal.Words.Risk("Yarrow"), 0.12f, 0.13f);
                Assert.InRange(server.Signal.Words.Risk("Rusko"), 0.86f, 0.88f);
                Assert.InRange(server.Signal.Words.Risk("Krelow"), 0.86f, 0.88f);
                Assert.Equal(0.5f, server.Signal.Words.Risk("Plivo"));
            }
            // A restart counts what the store holds: contradictions are nobody's word.
            await using (ContinualServer server = await fixture.StartAsync("--data", data, "--max-escalation", "0"))
            {
                await UntilAsync(() => server.Signal.Words.Risk("Rusko") > 0.5);
                Assert.Equal((true, 0.5f), (server.Signal.Words.Risk("Yarrow") < 0.2, server.Signal.Words.Risk("Krelow")));
            }
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task A_report_and_a_label_of_one_answer_count_once_and_the_label_wins()
    {
        await using ContinualServer server = await fixture.StartAsync("--max-escalation", "0");
        foreach ((string country, string outcome) in ((string, string)[])[("France", "rejected"), ("Italy", "accepted")])
        {
            string id = (await server.AskAsync($"What is the capital of {country}?")).RequestId;
            await server.StoredAsync(id);
            await server.ReportAsync(id, $"\"outcome\":\"{outcome}\"");
            Assert.True(await server.Signal.AskTeacher(id, Cancelled));
            await server.StoredAsync(id, static s => s.Labels.Count > 0);
            await UntilAsync(() => outcome == "rejected" || server.Signal.IsRecountDue);
        }
        // One wrong answer each; what was said of Italy is put right by the next count.
        Assert.InRange(server.Signal.Words.Risk("France"), 0.87f, 0.88f);
        Assert.InRange(server.Signal.Words.Risk("Italy"), 0.12f, 0.13f);
        server.Signal.CountWords(server.Signal.Store!, "base", 100);
        Assert.InRange(server.Signal.Words.Risk("Italy"), 0.87f, 0.88f);
    }

    [Fact]
    public async Task Reports_that_labels_refute_count_no_longer()
    {
        await using ContinualServer server = await fixture.StartAsync("--max-escalation", "0", "--audit", "1");
        Assert.True(server.Signal.Believes(null, server.Signal.Time.GetUtcNow()));
        // Every local answer is wrong, and somebody says that they are right.
        for (int i = 0; i < 24; i++)
        {
            string id = (await server.AskAsync($"Question number {i}?")).RequestId;
            await server.StoredAsync(id, static s => s.Labels.Count > 0);
            await server.ReportAsync(id, "\"outcome\":\"accepted\"");
        }
        for (int i = 24; i < 60; i++)
        {
            await server.AskAsync($"Question number {i}?");
        }
        await UntilAsync(() => !server.Signal.Believes(null, server.Signal.Time.GetUtcNow()));
        // Not audited, so that no label says anything.
        server.Signal.Router.AuditShare = 0;
        string refused = (await server.AskAsync("What about Yarrow?")).RequestId;
        await server.StoredAsync(refused);
        await server.ReportAsync(refused, "\"outcome\":\"accepted\"");
        Assert.Equal(0.5f, server.Signal.Words.Risk("Yarrow"));
        server.Signal.CountWords(server.Signal.Store!, "base", 100);
        Assert.Equal(0.5f, server.Signal.Words.Risk("Yarrow"));
    }

    [Theory]
    [InlineData("{}", 400, "request_id")]
    [InlineData("""{"request_id":"chatcmpl-0123456789abcdef01234567","outcome":"accepted"}""", 400, "request_id")]
    [InlineData("""{"request_id":"0123456789abcdef01234567"}""", 400, "outcome")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"good"}""", 400, "outcome")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"corrected"}""", 400, "correction")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"accepted","correction":"x"}""", 400, "correction")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"accepted","score":2}""", 400, "score")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"accepted","colour":"red"}""", 400, "colour")]
    [InlineData("""{"request_id":"0123456789abcdef01234567","outcome":"accepted"}""", 404, "request_id")]
    [InlineData("""{"request_id":7,"outcome":"accepted"}""", 400, "request_id")]
    public async Task Wrong_reports_are_refused_by_name(string body, int status, string param)
    {
        await using ContinualServer server = await fixture.StartAsync();
        Reply reply = await server.PostAsync("/v1/feedback", body);
        Assert.Equal((status, param), (reply.Status, reply.Json().GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task Reports_on_erased_requests_are_told_so()
    {
        await using ContinualServer server = await fixture.StartAsync();
        string id = (await server.AskAsync("What is the capital of France?", "\"user\":\"anna\"")).RequestId;
        await server.StoredAsync(id);
        ErasureResult erased = await server.Signal.Store!.EraseAsync("anna", null, null, Cancelled);
        Assert.Equal(1, erased.Requests);
        Assert.Equal(410, (await server.ReportAsync(id, "\"outcome\":\"accepted\"")).Status);
    }

    [Fact]
    public async Task Audited_local_answers_are_labelled_off_the_path_of_their_request()
    {
        await using ContinualServer server = await fixture.StartAsync("--audit", "1", "--max-escalation", "0");
        Reply reply = await server.AskAsync("What is the capital of France?");
        Assert.Equal("local", reply.Route);
        StoredRequest stored = await server.StoredAsync(reply.RequestId, static s => s.Labels.Count > 0);
        Assert.Equal((true, 1.0), (stored.Request.Decision.Audited, stored.Request.Decision.AuditProbability));
        Assert.Equal((LabelReason.Audit, "Paris", false), (stored.Labels[0].Reason, stored.Labels[0].Answer, stored.Labels[0].Correct));
    }

    [Fact]
    public async Task A_request_that_must_stay_is_never_audited()
    {
        await using ContinualServer server = await fixture.StartAsync("--audit", "1");
        Reply reply = await server.AskAsync("What is the capital of France?", "\"route\":\"local\"");
        StoredRequest stored = await server.StoredAsync(reply.RequestId);
        Assert.Equal((false, 0.0), (stored.Request.Decision.Audited, stored.Request.Decision.AuditProbability));
    }

    [Fact]
    public async Task Enough_labels_calibrate_the_router()
    {
        await using ContinualServer server = await fixture.StartAsync("--audit", "1", "--target-risk", "0.2");
        for (int i = 0; i < 40; i++)
        {
            await server.AskAsync($"Question number {i}?");
        }
        await UntilAsync(() => server.Signal.Store!.Calibrations().Count > 0);
        Assert.NotEmpty(server.Signal.Store!.Calibrations());
        Reply reply = await server.AskAsync("Question number 50?");
        // All its answers were wrong: it goes up, now by judgement.
        Assert.Equal(("frontier", "uncertain"), (reply.Route, reply.Reason));
        StoredRequest stored = await server.StoredAsync(reply.RequestId);
        Assert.True(stored.Request.Decision.PCorrect < stored.Request.Decision.Threshold);
        Assert.True(stored.Request.Decision.Calibration > 0);
    }

    [Fact]
    public async Task A_new_champion_is_asked_labelled_requests_again_and_calibrated_by_its_own_answers()
    {
        await using ContinualServer server = await fixture.StartAsync("--audit", "1", "--target-risk", "0.2");
        for (int i = 0; i < 40; i++)
        {
            await server.AskAsync($"Question number {i}?");
        }
        await UntilAsync(() => server.Signal.Router.CalibrationFor("default", "base", early: false) is not null);
        Assert.Equal("base", server.Signal.Router.CalibrationFor("default", "a1", early: false)!.Adapter);
        Reply loaded = await server.PostAsync("/admin/adapters", $$"""{"id":"a1","path":{{System.Text.Json.JsonSerializer.Serialize(fixture.Files.Adapter)}}}""");
        Assert.Equal(201, loaded.Status);
        Assert.Equal(200, (await server.PostAsync("/admin/adapters/a1/promote", "{}")).Status);
        // No request has been answered by it yet: what it is calibrated by are replays.
        await UntilAsync(() => server.Signal.Router.CalibrationFor("default", "a1", early: false)?.Adapter == "a1");
        Assert.True(server.Signal.Router.CalibrationFor("default", "a1", early: false)!.Whole.FitSamples >= 40);
        Assert.Empty(server.Signal.Store!.Samples(null, "a1", 10));
    }

    [Fact]
    public async Task A_judged_task_asks_its_judge_and_one_that_says_nothing_leaves_the_label_open()
    {
        string policy = fixture.Files.Write("judge.json", Encoding.UTF8.GetBytes("""{"tasks":[{"name":"essay","measure":"judge"}]}"""));
        await using ContinualServer server = await fixture.StartAsync("--policy", policy);
        Reply reply = await server.AskAsync("What is the capital of France?", "\"metadata\":{\"task\":\"essay\"}");
        StoredRequest stored = await server.StoredAsync(reply.RequestId, static s => s.Labels.Count > 0);
        // The simulated frontier knows no judging: it says so in words, which are no verdict.
        Assert.Equal(("judge", null, null, "Paris"), (stored.Labels[0].Measure, stored.Labels[0].Agreement, stored.Labels[0].Correct, stored.Labels[0].Answer));
        await server.Signal.Store!.FlushAsync(Cancelled);
        Assert.True(server.Signal.Store.Spent(ContinualNative.Core.Economics.LedgerKind.Teaching, DateOnly.FromDateTime(DateTime.UtcNow)).Nanos > 0);
    }

    [Fact]
    public async Task Values_are_redacted_before_they_are_stored_or_sent_and_come_back_to_the_client()
    {
        await using ContinualServer server = await fixture.StartAsync();
        foreach (string more in (string[])["\"route\":\"frontier\"", "\"route\":\"frontier\",\"stream\":true"])
        {
            Reply reply = await server.AskAsync("Write to anna@example.com", more);
            Assert.Equal("frontier", reply.Route);
            Assert.Contains("anna@example.com", string.Concat(Contents(reply)), StringComparison.Ordinal);
            StoredRequest stored = await server.StoredAsync(reply.RequestId, static s => s.Labels.Count > 0);
            Assert.Contains("[EMAIL_1]", stored.Request.Prompt, StringComparison.Ordinal);
            Assert.DoesNotContain("anna@", stored.Request.Prompt, StringComparison.Ordinal);
            Assert.Equal("I wrote to [EMAIL_1] as you asked.", stored.Labels[0].Answer);
            await server.ReportAsync(reply.RequestId, "\"outcome\":\"corrected\",\"correction\":\"Wrote to anna@example.com and ben@example.com\"");
            stored = await server.StoredAsync(reply.RequestId);
            Assert.Equal("Wrote to [EMAIL_1] and [EMAIL_2]", stored.Outcomes[0].Correction);
        }
        await server.Signal.Store!.FlushAsync(Cancelled);
        foreach (string file in Directory.EnumerateFiles(server.DataDirectory))
        {
            Assert.Equal(-1, (await File.ReadAllBytesAsync(file, Cancelled)).AsSpan().IndexOf(Encoding.UTF8.GetBytes("anna@example")));
        }
    }

    [Fact]
    public async Task Tasks_come_from_metadata_and_system_prompts()
    {
        await using ContinualServer server = await fixture.StartAsync();
        string named = (await server.AskAsync("Hello", "\"metadata\":{\"task\":\"greeting\"}")).RequestId;
        Assert.Equal("greeting", (await server.StoredAsync(named)).Request.Task);
        Reply wrong = await server.AskAsync("Hello", "\"metadata\":{\"task\":\"no spaces\"}");
        Assert.Equal((400, "metadata.task"), (wrong.Status, wrong.Json().GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task Without_a_frontier_a_request_for_one_is_refused_and_others_are_recorded()
    {
        await using ContinualServer server = await ContinualServer.StartAsync(fixture.Files.Llama, "--ctx", "256");
        Reply refused = await server.AskAsync("Hello", "\"route\":\"frontier\"");
        Assert.Equal((400, "route"), (refused.Status, refused.Json().GetProperty("error").GetProperty("param").GetString()));
        Reply served = await server.AskAsync("Hello");
        Assert.Equal((200, "local", "no_frontier"), (served.Status, served.Route, served.Reason));
        Assert.Equal(RouteReason.NoFrontier, (await server.StoredAsync(served.RequestId)).Request.Decision.Reason);
    }

    [Fact]
    public async Task Keys_decide_routes_and_see_their_own_requests_only()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            ApiKeyStore keys = new(data);
            (string stay, _) = keys.Create("stay", route: RoutePreference.Local);
            (string up, _) = keys.Create("up", route: RoutePreference.Frontier);
            await using ContinualServer server = await fixture.StartAsync("--require-key", "--data", data);
            server.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", stay);
            Reply kept = await server.AskAsync("What is the capital of France?", "\"route\":\"frontier\"");
            Assert.Equal(("local", "key_policy"), (kept.Route, kept.Reason));
            Assert.Equal(200, (await server.ReportAsync(kept.RequestId, "\"outcome\":\"accepted\"")).Status);
            server.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", up);
            Reply sent = await server.AskAsync("What is the capital of France?");
            Assert.Equal(("frontier", "key_policy"), (sent.Route, sent.Reason));
            Assert.Equal(404, (await server.ReportAsync(kept.RequestId, "\"outcome\":\"rejected\"")).Status);
            Assert.Equal(200, (await server.ReportAsync(sent.RequestId, "\"outcome\":\"accepted\"")).Status);
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task Figures_are_in_the_metrics()
    {
        await using ContinualServer server = await fixture.StartAsync();
        string id = (await server.AskAsync("What is the capital of France?")).RequestId;
        await server.ReportAsync(id, "\"outcome\":\"accepted\"");
        string metrics = await server.Client.GetStringAsync("/metrics", Cancelled);
        foreach (string line in (string[])[
            "continual_routed_total{task=\"default\",route=\"frontier\",reason=\"uncalibrated\"} 1",
            "continual_feedback_total{status=\"stored\"} 1",
            "continual_store_rows{table=\"requests\"} 1",
            "continual_frontier_calls_total{endpoint=\"frontier\"} 1",
            "continual_labels_total{task=\"default\",reason=\"escalated\",agreed=\"no\"} 1"])
        {
            Assert.Contains(line, metrics, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Without_recording_nothing_is_stored_and_without_texts_no_texts()
    {
        await using ContinualServer off = await fixture.StartAsync("--record", "off");
        Assert.Equal(200, (await off.AskAsync("What is the capital of France?")).Status);
        Assert.False(File.Exists(Path.Combine(off.DataDirectory, "traffic.db")));
        await using ContinualServer features = await fixture.StartAsync("--record", "features");
        string id = (await features.AskAsync("What is the capital of France?")).RequestId;
        StoredRequest stored = await features.StoredAsync(id);
        Assert.Null(stored.Request.Prompt);
        Assert.Null(stored.Request.LocalAnswer);
        Assert.NotNull(stored.Request.Decision.Features);
        Assert.Null(Assert.Single(stored.Labels).Answer);
    }

    [Fact]
    public async Task A_new_version_of_the_teacher_is_asked_golden_requests_again()
    {
        await using ContinualServer server = await fixture.StartAsync("--teach-per-day", "10", "--holdout", "0");
        string id = (await server.AskAsync("What is the capital of France?")).RequestId;
        await server.StoredAsync(id);
        using HttpResponseMessage marked = await server.Client.PutAsync($"/admin/requests/{id}/golden", null, Cancelled);
        Assert.True(marked.IsSuccessStatusCode, await marked.Content.ReadAsStringAsync(Cancelled));
        Assert.Equal([id], server.Signal.Store!.Golden("default"));
        using HttpResponseMessage unknown = await server.Client.PutAsync($"/admin/requests/{new string('0', 24)}/golden", null, Cancelled);
        Assert.Equal(System.Net.HttpStatusCode.NotFound, unknown.StatusCode);
        try
        {
            await ReleaseAsync("sim-2");
            // Any label of the new version tells; an audit or a taught request would too.
            await server.AskAsync("What is the capital of Italy?");
            StoredRequest stored = await server.StoredAsync(id, static s => s.Labels.Count > 1);
            Assert.Equal(("sim-2", LabelReason.Relabel), (stored.Labels[1].Teacher, stored.Labels[1].Reason));
        }
        finally
        {
            await ReleaseAsync("sim-1");
        }
    }

    [Fact]
    public async Task What_a_new_version_was_not_asked_before_a_restart_it_is_asked_after()
    {
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            string old, newer;
            await using (ContinualServer server = await fixture.StartAsync("--data", data, "--teach-per-day", "0", "--holdout", "0"))
            {
                old = (await server.AskAsync("What is the capital of France?")).RequestId;
                await server.StoredAsync(old);
                await ReleaseAsync("sim-2");
                newer = (await server.AskAsync("What is the capital of Italy?")).RequestId;
                await server.StoredAsync(newer);
                Assert.True(await server.Signal.Store!.SetGoldenAsync(old, golden: true, Cancelled));
                Assert.True(await server.Signal.Store!.SetGoldenAsync(newer, golden: true, Cancelled));
            }
            await using (ContinualServer server = await fixture.StartAsync("--data", data, "--teach-per-day", "10", "--holdout", "0"))
            {
                StoredRequest stored = await server.StoredAsync(old, static s => s.Labels.Count > 1);
                Assert.Equal(("sim-2", LabelReason.Relabel), (stored.Labels[1].Teacher, stored.Labels[1].Reason));
                // What the new version has labelled already is not asked again, now or after another restart.
                Assert.Single((await server.StoredAsync(newer)).Labels);
                // Ids are random: they have no order of time.
                Assert.Equal(new[] { old, newer }.Order(StringComparer.Ordinal), server.Signal.Store!.LabelledBy("frontier", "sim-2").Order(StringComparer.Ordinal));
                Assert.Equal([old], server.Signal.Store.LabelledBy("frontier", "sim-1"));
                Assert.Empty(server.Signal.Store.LabelledBy("frontier", "sim-3"));
            }
        }
        finally
        {
            await ReleaseAsync("sim-1");
            Directory.Delete(data, recursive: true);
        }
    }

    private async Task ReleaseAsync(string name)
    {
        using StringContent release = new($$"""{"name":"{{name}}"}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage set = await fixture.Control.PostAsync("/sim/release", release, Cancelled);
        Assert.True(set.IsSuccessStatusCode);
    }

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (int i = 0; !holds(); i++)
        {
            Assert.True(i < 600, "What was awaited did not happen.");
            await Task.Delay(100, Cancelled);
        }
    }

    private static IEnumerable<string> Contents(Reply reply)
    {
        if (!reply.Body.StartsWith("data:", StringComparison.Ordinal))
        {
            yield return reply.Text();
            yield break;
        }
        foreach (string line in reply.Body.Split('\n').Where(static l => l.StartsWith("data: {", StringComparison.Ordinal)))
        {
            using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(line[6..]);
            foreach (System.Text.Json.JsonElement choice in json.RootElement.GetProperty("choices").EnumerateArray())
            {
                if (choice.GetProperty("delta").TryGetProperty("content", out System.Text.Json.JsonElement content))
                {
                    yield return content.GetString()!;
                }
            }
        }
    }
}
