using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Commands;

public sealed class ReportCommandTests : IDisposable
{
    private readonly TestStore _store = new();

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task Json_tells_costs_of_each_route_and_says_that_audits_are_too_few()
    {
        await _store.FillAsync(further: 8);
        (int code, string output, string error) = await _store.RunAsync("report", "--json", "--machine-price", "0.72", "--frontier-price-in", "10", "--frontier-price-out", "100");
        Assert.True(code == 0, error);
        JsonElement all = Json(output).GetProperty("all");
        Assert.Equal((10, 9, 1), (Int(all, "requests"), Int(all, "local"), Int(all, "frontier")));
        JsonElement costs = all.GetProperty("costs");
        Assert.Equal(0.01m, costs.GetProperty("escalation").GetDecimal());
        Assert.Equal(0.002m, costs.GetProperty("teaching").GetDecimal());
        // Ten times half a second at 0.72 an hour.
        Assert.Equal(0.001m, costs.GetProperty("serving").GetDecimal());
        // Paid 0.01, and nine local ones with 12 and 4 tokens: 108 at 10 and 36 at 100 a million.
        Assert.Equal(0.01468m, all.GetProperty("frontier_only").GetDecimal());
        Assert.Equal(1, Int(all, "audits"));
        Assert.Equal(JsonValueKind.Null, all.GetProperty("quality").ValueKind);
        Assert.Equal("prices", Json(output).GetProperty("frontier_only_basis").GetString());
        Assert.Equal("greeting", Assert.Single(Json(output).GetProperty("tasks").EnumerateArray().ToArray()).GetProperty("task").GetString());
        Assert.Equal("big-1", Assert.Single(Json(output).GetProperty("teachers").EnumerateArray().ToArray()).GetProperty("teacher").GetString());
    }

    [Fact]
    public async Task Text_has_the_same_figures_in_plain_lines()
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync("report", "--days", "3");
        Assert.True(code == 0, error);
        Assert.DoesNotContain('\u001b', output);
        string[] lines = output.Split('\n');
        Assert.Contains(lines, static l => l.Contains("answered locally") && l.Contains("50.0 %"));
        Assert.Contains(lines, static l => l.Contains("frontier, uncertain"));
        Assert.Contains(lines, static l => l.Contains("routed up") && l.Contains("$0.0100"));
        Assert.Contains(lines, static l => l.Contains("a frontier alone") && l.Contains("unknown"));
        Assert.Contains(lines, static l => l.Contains("too few audits: 1 of at least 30"));
        Assert.Contains(lines, static l => l.Contains("too few outcomes: 0 of at least 30"));
    }

    [Fact]
    public async Task An_empty_store_is_told_in_one_sentence()
    {
        await _store.Open().DisposeAsync();
        (int code, string output, _) = await _store.RunAsync("report");
        Assert.Equal(0, code);
        Assert.Contains("Nothing was recorded", output, StringComparison.Ordinal);
        Assert.DoesNotContain("--days", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_the_last_requests_are_is_told_when_the_days_hold_none()
    {
        await using (TrafficStore store = _store.Open())
        {
            await store.RecordAsync(TestStore.Request(TestStore.Local, Route.Local, RouteReason.Confident) with { At = DateTimeOffset.UtcNow.AddDays(-99) });
            await store.FlushAsync(TestContext.Current.CancellationToken);
        }
        (_, string output, _) = await _store.RunAsync("report");
        Assert.Contains("Nothing was recorded", output, StringComparison.Ordinal);
        Assert.Matches("--days 10[01] goes back to it", output);
        (_, output, _) = await _store.RunAsync("report", "--days", "101");
        Assert.Contains("answered locally", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--days", "0", "--days")]
    [InlineData("--days", "many", "--days")]
    [InlineData("--task", "no-such-task", "--task")]
    [InlineData("--machine-price", "-1", "machine-price")]
    [InlineData("--frontier-price-in", "cheap", "--frontier-price-in")]
    public async Task Wrong_options_are_named(string option, string value, string named)
    {
        await _store.Open().DisposeAsync();
        (int code, string output, string error) = await _store.RunAsync("report", option, value);
        Assert.Equal(2, code);
        Assert.DoesNotContain("answered locally", output, StringComparison.Ordinal);
        Assert.Contains(named, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    private static JsonElement Json(string output) => JsonDocument.Parse(output).RootElement;

    private static int Int(JsonElement json, string name) => json.GetProperty(name).GetInt32();
}
