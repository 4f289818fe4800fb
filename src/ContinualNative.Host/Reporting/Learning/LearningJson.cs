using System.Text.Json;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>A history as JSON.</summary>
internal static class LearningJson
{
    /// <summary>Writes the members of the history's object.</summary>
    public static void Write(Utf8JsonWriter json, LearningHistory history)
    {
        json.WriteString("title", history.Title);
        json.WriteString("subtitle", history.Subtitle);
        json.WriteString("measure", history.Measure);
        json.WriteStartArray("periods");
        foreach (LearningPeriod period in history.Periods)
        {
            json.WriteStartObject();
            Write(json, period);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("totals");
        Write(json, history.Totals);
        json.WriteEndObject();
        json.WriteStartArray("verdicts");
        foreach (AdapterVerdict verdict in history.Verdicts)
        {
            json.WriteStartObject();
            Write(json, verdict);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        Write(json, "notes", history.Notes);
        if (history.Run is { } run)
        {
            json.WriteStartObject("run");
            json.WriteString("command", run.Command);
            WriteNumber(json, "seed", run.Seed);
            json.WriteString("machine", run.Machine);
            WriteNumber(json, "seconds", run.Took?.TotalSeconds);
            json.WriteEndObject();
        }
        else
        {
            json.WriteNull("run");
        }
    }

    /// <summary>Such as <c>promotion</c>.</summary>
    public static string NameOf(LearningEventKind kind) => kind.ToString().ToLowerInvariant();

    private static void Write(Utf8JsonWriter json, LearningPeriod period)
    {
        json.WriteString("label", period.Label);
        json.WriteString("start", period.Start);
        json.WriteNumber("requests", period.Requests);
        WriteRate(json, "frozen", period.Frozen);
        WriteRate(json, "continual", period.Continual);
        WriteRate(json, "frontier", period.Frontier);
        WriteRate(json, "served", period.Served);
        WriteNumber(json, "routed_up", period.RoutedUp);
        WriteAmount(json, "price_per_request", period.Price);
        WriteAmount(json, "frontier_only_price_per_request", period.FrontierOnlyPrice);
        WriteNumber(json, "price_share", period.PriceShare);
        json.WriteStartArray("events");
        foreach (LearningEvent happened in period.Events)
        {
            json.WriteStartObject();
            json.WriteString("kind", NameOf(happened.Kind));
            json.WriteString("text", happened.Text);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, LearningTotals totals)
    {
        json.WriteNumber("requests", totals.Requests);
        WriteNumber(json, "routed_up", totals.RoutedUp);
        WriteAmount(json, "price_per_request", totals.Price);
        WriteAmount(json, "frontier_only_price_per_request", totals.FrontierOnlyPrice);
        WriteNumber(json, "price_share", totals.PriceShare);
        json.WriteStartObject("last_third");
        json.WriteNumber("periods", totals.LastThird);
        WriteNumber(json, "frozen", totals.Frozen);
        WriteNumber(json, "continual", totals.Continual);
        WriteNumber(json, "frontier", totals.Frontier);
        WriteNumber(json, "continual_of_frontier", totals.OfFrontier);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, AdapterVerdict adapter)
    {
        GateVerdict verdict = adapter.Verdict;
        json.WriteString("adapter", adapter.Adapter);
        json.WriteString("decision", Name(verdict.Decision));
        json.WriteString("summary", verdict.Summary);
        WriteNumber(json, "champion_right", verdict.ChampionRight);
        WriteNumber(json, "candidate_right", verdict.CandidateRight);
        json.WriteNumber("fresh", verdict.Fresh);
        WriteNumber(json, "evidence", verdict.Evidence);
        json.WriteStartArray("checks");
        foreach (GateCheck check in verdict.Checks)
        {
            json.WriteStartObject();
            json.WriteString("name", check.Name);
            json.WriteString("decision", Name(check.Decision));
            json.WriteString("slice", check.Slice);
            WriteNumber(json, "found", check.Found);
            WriteNumber(json, "allowed", check.Allowed);
            json.WriteNumber("count", check.Count);
            json.WriteString("reason", check.Reason);
            Write(json, "examples", check.Examples);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static string Name(GateDecision decision) => decision.ToString().ToLowerInvariant();

    private static void Write(Utf8JsonWriter json, string name, IEnumerable<string> texts)
    {
        json.WriteStartArray(name);
        foreach (string text in texts)
        {
            json.WriteStringValue(text);
        }
        json.WriteEndArray();
    }

    private static void WriteRate(Utf8JsonWriter json, string name, Rate? rate)
    {
        if (rate is not { } known)
        {
            json.WriteNull(name);
            return;
        }
        json.WriteStartObject(name);
        WriteNumber(json, "value", known.Value);
        WriteNumber(json, "low", known.Low);
        WriteNumber(json, "high", known.High);
        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, Math.Round(number, 6));
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static void WriteAmount(Utf8JsonWriter json, string name, decimal? dollars)
    {
        if (dollars is { } amount)
        {
            json.WriteNumber(name, decimal.Round(amount, 12));
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
