using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Commands;

public sealed class FeedbackCommandTests : IDisposable
{
    private readonly TestStore _store = new();

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task Reports_are_imported_once_however_often_the_file_is()
    {
        const int Requests = 1500;
        await _store.FillAsync(Requests);
        string file = _store.Write("all.jsonl", string.Join('\n', Enumerable.Range(0, Requests).Select(static i => $$"""{"request_id":"{{TestStore.Id(i)}}","outcome":"{{(i % 3 == 0 ? "rejected" : "accepted")}}"}""")) + "\n\n");
        JsonElement first = await ImportAsync(0, file);
        Assert.Equal((Requests, Requests, 0), (Int(first, "reports"), Int(first, "stored"), Int(first, "duplicate")));
        JsonElement again = await ImportAsync(0, file);
        Assert.Equal((0, Requests), (Int(again, "stored"), Int(again, "duplicate")));
        await using TrafficStore store = _store.Open();
        DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow);
        IReadOnlyList<TrafficTotals> days = store.Traffic(today.AddDays(-1), today);
        Assert.Equal((1000, 500), (days.Sum(static d => d.Accepted), days.Sum(static d => d.Rejected)));
    }

    [Theory]
    [InlineData("""{"request_id":"00000000000000000000000a","outcome":"fine"}""", "'outcome'")]
    [InlineData("""{"request_id":"x","outcome":"accepted"}""", "'request_id'")]
    [InlineData("""{"request_id":"00000000000000000000000a","outcome":"corrected"}""", "'correction'")]
    [InlineData("""{"request_id":"00000000000000000000000a","score":2}""", "'score'")]
    [InlineData("""{"request_id":"00000000000000000000000a","outcome":"accepted","colour":1}""", "'colour'")]
    [InlineData("""{"request_id":""", "not valid JSON")]
    [InlineData("[]", "must be a JSON object")]
    public async Task A_bad_line_is_named_and_nothing_of_the_file_is_imported(string bad, string named)
    {
        await _store.FillAsync();
        string file = _store.Write("bad.jsonl", $$"""
            {"request_id":"{{TestStore.Local}}","outcome":"accepted"}

            {{bad}}
            """);
        (int code, string output, string error) = await _store.RunAsync("feedback", "import", file);
        Assert.Equal(2, code);
        Assert.Empty(output);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("bad.jsonl, line 3", line, StringComparison.Ordinal);
        Assert.Contains(named, line, StringComparison.Ordinal);
        await using TrafficStore store = _store.Open();
        Assert.Empty(store.Find(TestStore.Local)!.Outcomes);
    }

    [Fact]
    public async Task Unknown_and_erased_requests_are_told_with_their_lines_and_the_rest_is_stored()
    {
        await _store.FillAsync();
        await using (TrafficStore store = _store.Open())
        {
            await store.EraseAsync(null, null, TestStore.Up, TestContext.Current.CancellationToken);
        }
        string reports = $$"""
            {"request_id":"{{TestStore.Local}}","outcome":"accepted","score":0.9,"source":"survey"}
            {"request_id":"{{TestStore.Unknown}}","outcome":"accepted"}
            {"request_id":"{{TestStore.Up}}","outcome":"rejected"}
            {"request_id":"{{TestStore.Local}}","outcome":"rejected"}
            """;
        (int code, string output, string error) = await ContinualProcess.RunAsync(reports, "feedback", "import", "-", "--json", "--data", _store.Folder);
        Assert.Equal(1, code);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal((1, 1, 1, 1), (Int(json, "stored"), Int(json, "contradicts"), Int(json, "unknown_request"), Int(json, "erased_request")));
        Assert.Contains("line 2: there is no such request.", error, StringComparison.Ordinal);
        Assert.Contains("line 3: the data of that request were erased", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Corrections_are_redacted_unless_told_otherwise()
    {
        await _store.FillAsync(further: 1);
        string Line(string id) => $$"""{"request_id":"{{id}}","outcome":"corrected","correction":"write to ada@example.org, order 77-abc"}""";
        string policy = _store.Write("policy.json", """{"redaction":{"patterns":{"order":"\\b\\d\\d-[a-z]{3}\\b"}}}""");
        Assert.Equal(0, (await _store.RunAsync("feedback", "import", _store.Write("a.jsonl", Line(TestStore.Local)), "--policy", policy)).Code);
        Assert.Equal(0, (await _store.RunAsync("feedback", "import", _store.Write("b.jsonl", Line(TestStore.Id(0))), "--no-redaction")).Code);
        await using TrafficStore store = _store.Open();
        Assert.Equal("write to [EMAIL_1], order [ORDER_1]", Assert.Single(store.Find(TestStore.Local)!.Outcomes).Correction);
        Assert.Equal("write to ada@example.org, order 77-abc", Assert.Single(store.Find(TestStore.Id(0))!.Outcomes).Correction);
    }

    [Fact]
    public async Task More_reports_than_a_key_may_send_can_be_imported_and_leave_clients_their_share()
    {
        // Above the store's usual ten thousand an hour.
        const int Requests = 10_100;
        await _store.FillAsync(Requests);
        string file = _store.Write("many.jsonl", string.Join('\n', Enumerable.Range(0, Requests).Select(static i => $$"""{"request_id":"{{TestStore.Id(i)}}","score":1}""")));
        Assert.Equal(Requests, Int(await ImportAsync(0, file), "stored"));
        await using TrafficStore store = _store.Open();
        Assert.Equal(OutcomeVerdict.Stored, await store.AddOutcomeAsync(new Outcome { RequestId = TestStore.Local, Kind = OutcomeKind.Accepted, At = DateTimeOffset.UtcNow }, TestContext.Current.CancellationToken));
        Assert.Empty(store.FlaggedKeys());
    }

    [Theory]
    [InlineData("no-such-file.jsonl", "no such file")]
    [InlineData(".", "folder")]
    public async Task A_file_that_can_not_be_read_exits_with_2(string file, string why)
    {
        await _store.FillAsync();
        (int code, _, string error) = await _store.RunAsync("feedback", "import", file);
        Assert.Equal(2, code);
        Assert.Contains(why, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_empty_file_exits_with_2()
    {
        await _store.FillAsync();
        (int code, _, string error) = await _store.RunAsync("feedback", "import", _store.Write("empty.jsonl", "\n\n"));
        Assert.Equal(2, code);
        Assert.Contains("no reports", error, StringComparison.Ordinal);
    }

    private async Task<JsonElement> ImportAsync(int exit, string file)
    {
        (int code, string output, string error) = await _store.RunAsync("feedback", "import", file, "--json");
        Assert.True(code == exit, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private static int Int(JsonElement json, string name) => json.GetProperty(name).GetInt32();
}
