using System.Text;
using System.Text.Json;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.HostTests.Reporting.Learning;

/// <summary>What tables, JSON and totals tell of the same history.</summary>
public sealed class LearningTextTests
{
    [Fact]
    public void Json_holds_periods_totals_events_verdicts_and_run()
    {
        JsonElement json = Json(LearningExample.Create());
        JsonElement[] periods = [.. json.GetProperty("periods").EnumerateArray()];
        Assert.Equal(14, periods.Length);
        JsonElement ninth = periods[8];
        Assert.Equal("week 9", ninth.GetProperty("label").GetString());
        Assert.Equal(240, ninth.GetProperty("requests").GetInt32());
        Assert.Equal(141 / 240.0, ninth.GetProperty("frozen").GetProperty("value").GetDouble(), 6);
        Assert.True(ninth.GetProperty("continual").GetProperty("low").GetDouble() < 217 / 240.0 && ninth.GetProperty("continual").GetProperty("high").GetDouble() > 217 / 240.0);
        Assert.Equal(JsonValueKind.Null, ninth.GetProperty("served").ValueKind);
        Assert.Equal(0.12, ninth.GetProperty("routed_up").GetDouble());
        Assert.Equal(0.000693m, ninth.GetProperty("price_per_request").GetDecimal());
        Assert.Equal(0.33, ninth.GetProperty("price_share").GetDouble());
        Assert.Equal(["note", "rejection", "promotion"], ninth.GetProperty("events").EnumerateArray().Select(static e => e.GetProperty("kind").GetString()));
        Assert.Equal("reject", json.GetProperty("verdicts")[1].GetProperty("decision").GetString());
        Assert.Equal("first weeks", json.GetProperty("verdicts")[1].GetProperty("checks")[0].GetProperty("slice").GetString());
        Assert.Equal(1, json.GetProperty("run").GetProperty("seed").GetInt64());
        Assert.Equal(5, json.GetProperty("totals").GetProperty("last_third").GetProperty("periods").GetInt32());
    }

    [Fact]
    public void Json_of_nothing_has_the_same_members()
    {
        JsonElement full = Json(LearningExample.Create());
        JsonElement empty = Json(new LearningHistory { Title = "none", Periods = [] });
        Assert.Equal(full.EnumerateObject().Select(static p => p.Name), empty.EnumerateObject().Select(static p => p.Name));
        Assert.Equal(JsonValueKind.Null, empty.GetProperty("totals").GetProperty("price_share").ValueKind);
    }

    [Fact]
    public void Totals_weigh_by_requests_and_compare_models_on_the_same_periods()
    {
        static LearningPeriod Of(int requests, double? frozen, double continual, decimal? only) => new()
        {
            Label = "d",
            Start = DateTimeOffset.UnixEpoch,
            Requests = requests,
            Frozen = frozen is { } known ? new Rate(known) : null,
            Continual = new Rate(continual),
            RoutedUp = 0.1 * requests / 100,
            Price = 1,
            FrontierOnlyPrice = only,
        };
        // The last third of four is two; the one in which the frozen model was not asked counts for neither.
        LearningTotals totals = LearningTotals.Of([Of(100, 0.9, 0.9, 4), Of(100, 0.9, 0.9, 4), Of(300, 0.5, 0.8, 2), Of(100, null, 0.1, null)]);
        Assert.Equal((600, 2), (totals.Requests, totals.LastThird));
        Assert.Equal((0.5, 0.8), (totals.Frozen!.Value, totals.Continual!.Value));
        Assert.Null(totals.Frontier);
        Assert.Null(totals.OfFrontier);
        Assert.Equal(((3 * 0.1 * 100) + (0.3 * 300)) / 600, totals.RoutedUp, 12);
        Assert.Equal(1, totals.Price);
        // 500 dollars of 400 + 400 + 600.
        Assert.Equal(500 / 1400.0, totals.PriceShare!.Value, 12);
    }

    [Fact]
    public void Rate_is_the_share_with_Wilsons_interval()
    {
        Rate rate = Rate.Of(8, 10)!.Value;
        // Wilson (1927) for 8 of 10 at 95 %: 0.490 to 0.943.
        Assert.Equal((0.8, 0.490, 0.943), (rate.Value, Math.Round(rate.Low!.Value, 3), Math.Round(rate.High!.Value, 3)));
        Assert.Null(Rate.Of(0, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Rate.Of(2, 1));
    }

    [Fact]
    public void Plain_table_has_a_line_for_each_period_and_event()
    {
        string text = Print(LearningExample.Create());
        Assert.DoesNotContain('\u001b', text);
        string[] lines = text.Split('\n');
        Assert.Equal(14, lines.Count(static l => l.TrimStart().StartsWith("week ", StringComparison.Ordinal) && l.Contains("$0.00", StringComparison.Ordinal)));
        Assert.Contains(lines, static l => l.Contains("week 14", StringComparison.Ordinal) && l.Contains("51.7 %", StringComparison.Ordinal) && l.Contains("96.3 %", StringComparison.Ordinal) && l.Contains("22.0 %", StringComparison.Ordinal));
        Assert.Contains(lines, l => l.StartsWith("week 9 ", StringComparison.Ordinal) && l.EndsWith(LearningExample.Sharp, StringComparison.Ordinal));
        Assert.DoesNotContain("sent", lines.First(static l => l.Contains("continual", StringComparison.Ordinal) && l.Contains("requests", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    [Fact]
    public void Table_shows_what_was_sent_where_that_is_known()
    {
        LearningHistory example = LearningExample.Create();
        string text = Print(example with { Periods = [.. example.Periods.Select(static p => p with { Served = new Rate(0.875) })] });
        Assert.Contains("sent", text, StringComparison.Ordinal);
        Assert.Contains("87.5 %", text, StringComparison.Ordinal);
    }

    private static string Print(LearningHistory history)
    {
        using StringWriter output = new();
        LearningTable.Print(history, output, terminal: false);
        return output.ToString();
    }

    private static JsonElement Json(LearningHistory history)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            LearningJson.Write(json, history);
            json.WriteEndObject();
        }
        return JsonDocument.Parse(Encoding.UTF8.GetString(stream.ToArray())).RootElement;
    }
}
