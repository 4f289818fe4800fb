using System.Text.Json;
using System.Xml.Linq;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Reporting.Learning;
using ContinualNative.HostTests.Commands;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Reporting.Learning;

public sealed class LearningReportsTests : IDisposable
{
    private readonly TestStore _store = new();
    private readonly DateOnly _today = DateOnly.FromDateTime(DateTime.UtcNow);

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task Weeks_tell_quality_from_audits_share_routed_up_and_price()
    {
        LearningHistory history = LearningReports.FromStore(await ReadAsync(30), []);
        Assert.Equal([_today.AddDays(-13), _today.AddDays(-6)], history.Periods.Select(static p => DateOnly.FromDateTime(p.Start.UtcDateTime)));
        LearningPeriod first = history.Periods[0];
        Assert.Equal((45, 40 / 45.0), (first.Requests, 1 - first.RoutedUp));
        Assert.Equal(0.75, first.Continual!.Value.Value, 9);
        Assert.InRange(first.Continual.Value.Low!.Value, 0.5, 0.74);
        Assert.Equal(new Rate(1), first.Frontier);
        Assert.Null(first.Frozen);
        // 45 × 0.5 s at 0.72 an hour, 40 × 0.002 for audits, 5 × 0.01 for what went up.
        Assert.Equal((0.0045m + 0.08m + 0.05m) / 45, first.Price!.Value, 9);
        Assert.NotNull(first.PriceShare);
        LearningPeriod second = history.Periods[1];
        Assert.Equal(40, second.Requests);
        Assert.Equal(0.95, second.Continual!.Value.Value, 9);
        Assert.Contains(history.Notes, static n => n.Contains("by definition", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Few_days_are_periods_of_their_own_and_few_audits_tell_no_quality()
    {
        LearningHistory history = LearningReports.FromStore(await ReadAsync(2, most: 10), []);
        Assert.Equal(TrafficReports.DayText(_today), Assert.Single(history.Periods).Label);
        Assert.Null(history.Periods[0].Continual);
        Assert.Null(history.Periods[0].Frontier);
        Assert.Contains(history.Notes, static n => n.Contains("fewer than 30 audits", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Changes_of_champion_and_new_teachers_are_events_of_their_week()
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        PromotionRecord Changed(double daysAgo, string adapter, string previous, PromotionReason reason) => new() { At = now.AddDays(-daysAgo), Adapter = adapter, Previous = previous, Reason = reason, Cycle = 4 };
        StoreReport report = await ReadAsync(30) with { Teachers = [("frontier", "big-1", now.AddDays(-20)), ("frontier", "big-2", now.AddDays(-9))] };
        LearningHistory history = LearningReports.FromStore(report, [Changed(0, "c1", "c2", PromotionReason.Rollback), Changed(1, "c2", "c1", PromotionReason.Gate), Changed(8, "c1", "base", PromotionReason.Manual), Changed(200, "x", "base", PromotionReason.Gate)]);
        Assert.Equal(
            [(LearningEventKind.Release, "frontier answers as big-2"), (LearningEventKind.Promotion, "adapter c1 promoted by hand")],
            history.Periods[0].Events.Select(static e => (e.Kind, e.Text)));
        Assert.Equal(
            [(LearningEventKind.Promotion, "adapter c2 promoted (cycle 4)"), (LearningEventKind.Rollback, "adapter c2 rolled back to c1: live outcomes fell (cycle 4)")],
            history.Periods[1].Events.Select(static e => (e.Kind, e.Text)));
    }

    [Fact]
    public async Task Command_writes_figure_page_and_json()
    {
        await FillAsync();
        string svg = Path.Combine(_store.Folder, "f.svg"), html = Path.Combine(_store.Folder, "f.html");
        (int code, string output, string error) = await _store.RunAsync("report", "--json", "--figure", svg, "--html", html, "--frontier-price-in", "10", "--frontier-price-out", "100");
        Assert.True(code == 0, error);
        JsonElement periods = JsonDocument.Parse(output).RootElement.GetProperty("learning").GetProperty("periods");
        Assert.Equal([0.75, 0.95], periods.EnumerateArray().Select(static p => p.GetProperty("continual").GetProperty("value").GetDouble()));
        Assert.Contains("series continual", XDocument.Load(svg).Root!.Elements().Select(static e => (string?)e.Attribute("class")));
        Assert.StartsWith("<!doctype html>", File.ReadAllText(html), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("f.gif", 2, "--figure")]
    [InlineData("f.svg", 1, "no request was recorded")]
    public async Task A_figure_that_cannot_be_is_refused(string name, int exit, string told)
    {
        await _store.Open().DisposeAsync();
        string path = Path.Combine(_store.Folder, name);
        (int code, _, string error) = await _store.RunAsync("report", "--figure", path);
        Assert.Equal(exit, code);
        Assert.Contains(told, error, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    private async Task<StoreReport> ReadAsync(int days, int most = int.MaxValue)
    {
        await FillAsync(most);
        await using TrafficStore store = _store.Open();
        return TrafficReports.Read(store, _today, days, null, 0.72m, new TokenPrices(10, 10, 100));
    }

    // 40 audited requests with 30 right ones and 5 routed up ten days ago, 40 with 38 right ones today; or fewer.
    private async Task FillAsync(int most = int.MaxValue)
    {
        await using TrafficStore store = _store.Open();
        DateTimeOffset now = DateTimeOffset.UtcNow;
        int id = 0;
        async Task AddAsync(DateTimeOffset at, int count, int right)
        {
            for (int i = 0; i < Math.Min(count, most); i++)
            {
                await RecordAsync(store, TestStore.Id(id++), at, Route.Local, i < right);
            }
        }
        await AddAsync(now.AddDays(-10), 40, 30);
        await AddAsync(now, 40, 38);
        for (int i = 0; i < 5; i++)
        {
            await RecordAsync(store, TestStore.Id(id++), now.AddDays(-10), Route.Frontier, false);
        }
        await store.FlushAsync();
    }

    private static async Task RecordAsync(TrafficStore store, string id, DateTimeOffset at, Route route, bool right)
    {
        bool local = route == Route.Local;
        await store.RecordAsync(new RequestRecord
        {
            Id = id,
            At = at,
            Kind = RequestKind.Chat,
            Task = "greeting",
            Model = "tiny",
            Adapter = "base",
            Decision = new RouteDecision
            {
                Route = route,
                Reason = local ? RouteReason.Confident : RouteReason.Uncertain,
                PCorrect = 0.9,
                Threshold = 0.8,
                Features = new RoutingFeatures(-0.1f, -0.5f, 0.9f, 0.2f, 4, 12, 0.3f, false, false),
                Audited = local,
                AuditProbability = 0.02,
            },
            PromptTokens = 12,
            CompletionTokens = 4,
            LocalTime = TimeSpan.FromSeconds(0.5),
            TotalTime = TimeSpan.FromSeconds(0.75),
            Prompt = """{"messages":[{"role":"user","content":"hello"}]}""",
            LocalAnswer = "a local answer",
            Embedding = new float[] { 1, 0 },
        });
        await store.RecordAsync(new TeacherLabel
        {
            RequestId = id,
            At = at,
            Endpoint = "frontier",
            Teacher = "big-1",
            Reason = local ? LabelReason.Audit : LabelReason.Escalated,
            Answer = "a frontier's answer",
            Measure = "normalized",
            Agreement = right ? 1 : 0,
            Correct = right,
            PromptTokens = 14,
            CompletionTokens = 5,
            Cost = Money.FromDollars(local ? 0.002m : 0.01m),
            Latency = TimeSpan.FromSeconds(1),
        });
    }
}
