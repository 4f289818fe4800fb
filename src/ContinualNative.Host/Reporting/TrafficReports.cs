using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Reporting;

/// <summary>A report with what the store adds to it.</summary>
/// <param name="Figures">The figures.</param>
/// <param name="Audits">The audits that its quality rests on.</param>
/// <param name="AuditsCut">Whether only the newest audits of the period are in it, because there are more than are read.</param>
/// <param name="Flagged">Keys that sent more feedback than they may.</param>
/// <param name="Teachers">Versions of teachers, oldest first.</param>
internal sealed record StoreReport(TrafficReport Figures, IReadOnlyList<AuditedAnswer> Audits, bool AuditsCut, IReadOnlyList<FlaggedKey> Flagged, IReadOnlyList<(string Endpoint, string Teacher, DateTimeOffset FirstSeen)> Teachers);

/// <summary>Reports from the store, and their JSON: the same for <c>continual report --json</c> and <c>GET /admin/report</c>.</summary>
internal static class TrafficReports
{
    public const int MostDays = 3660;

    // So many tell quality to a quarter of a per cent; more would only take longer to read.
    private const int MostAudits = 50_000;

    /// <summary>The report of the last days, today (UTC) included. Throws <see cref="StoreException"/>.</summary>
    /// <param name="store">The store.</param>
    /// <param name="today">The last day.</param>
    /// <param name="days">How many days, 1 or more.</param>
    /// <param name="task">Only this task; null: all.</param>
    /// <param name="machinePrice">US dollars an hour.</param>
    /// <param name="prices">Of the preferred frontier endpoint, or null.</param>
    public static StoreReport Read(TrafficStore store, DateOnly today, int days, string? task, decimal machinePrice, TokenPrices? prices)
    {
        DateOnly from = today.AddDays(1 - days);
        IReadOnlyList<AuditedAnswer> audits = store.Audits(from, today, task, MostAudits);
        TrafficReport figures = TrafficReport.Compute(new ReportInput
        {
            From = from,
            To = today,
            Task = task,
            Routes =
            [
                .. store.Traffic(from, today).Select(static t => new RouteTotals
                {
                    Day = t.Day,
                    Task = t.Task,
                    Route = t.Route,
                    Reason = t.Reason,
                    Requests = t.Requests,
                    PromptTokens = t.PromptTokens,
                    CachedTokens = t.CachedTokens,
                    CompletionTokens = t.CompletionTokens,
                    LocalSeconds = t.LocalSeconds,
                    Accepted = t.Accepted,
                    Rejected = t.Rejected,
                    Corrected = t.Corrected,
                }),
            ],
            Costs =
            [
                .. store.Ledger(from, today).Select(static l => new CostTotals
                {
                    Day = l.Day,
                    Kind = l.Kind,
                    Task = l.Task,
                    Amount = l.Amount,
                    Calls = l.Calls,
                    Seconds = l.Seconds,
                }),
            ],
            Audits = audits,
            MachinePrice = machinePrice,
            Prices = prices,
        });
        return new StoreReport(figures, audits, audits.Count == MostAudits, store.FlaggedKeys(), store.Teachers());
    }

    /// <summary>Prices of the preferred endpoint of some settings; null where there are none, or all are zero. Throws <see cref="SettingException"/> for a broken policy file.</summary>
    public static TokenPrices? PricesOf(ServeOptions options)
    {
        TokenPrices? prices = options.FrontierPriceIn > 0 || options.FrontierPriceOut > 0
            ? new TokenPrices(options.FrontierPriceIn, options.FrontierPriceCached ?? options.FrontierPriceIn, options.FrontierPriceOut)
            : options.Policy is { } file && PolicyFile.Read(file).Frontiers is [var first, ..] ? first.Prices : null;
        return prices is { Prompt: 0, Completion: 0 } ? null : prices;
    }

    /// <summary>Writes the members of the report's object.</summary>
    public static void Write(Utf8JsonWriter json, StoreReport report)
    {
        TrafficReport figures = report.Figures;
        json.WriteString("object", "report");
        json.WriteString("from", DayText(figures.From));
        json.WriteString("to", DayText(figures.To));
        json.WriteString("task", figures.Task);
        json.WriteNumber("machine_price", figures.MachinePrice);
        json.WriteString("frontier_only_basis", figures.Basis.ToString().ToLowerInvariant());
        json.WritePropertyName("frontier_only_scale");
        WriteNumber(json, figures.Scale);
        json.WriteNumber("minimum_audits", TrafficReport.MinimumAudits);
        json.WriteBoolean("audits_cut", report.AuditsCut);
        json.WriteStartObject("all");
        Write(json, figures.All);
        json.WriteEndObject();
        json.WriteStartArray("tasks");
        foreach (TaskFigures task in figures.Tasks)
        {
            json.WriteStartObject();
            json.WriteString("task", task.Task);
            Write(json, task.Figures);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("days");
        foreach (DayFigures day in figures.Days)
        {
            json.WriteStartObject();
            json.WriteString("day", DayText(day.Day));
            Write(json, day.Figures);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("routes");
        foreach (ReasonTotal reason in figures.Reasons)
        {
            json.WriteStartObject();
            json.WriteString("route", RouteNote.NameOf(reason.Route));
            json.WriteString("reason", RouteNote.NameOf(reason.Reason));
            json.WriteNumber("requests", reason.Requests);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("teachers");
        foreach ((string endpoint, string teacher, DateTimeOffset firstSeen) in report.Teachers)
        {
            json.WriteStartObject();
            json.WriteString("endpoint", endpoint);
            json.WriteString("teacher", teacher);
            json.WriteString("first_seen", firstSeen);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("flagged_keys");
        foreach (FlaggedKey key in report.Flagged)
        {
            json.WriteStartObject();
            json.WriteString("key", key.KeyId);
            json.WriteString("since", key.Since);
            json.WriteNumber("refused", key.Refused);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    public static string DayText(DateOnly day) => day.ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture);

    private static void Write(Utf8JsonWriter json, ReportFigures f)
    {
        json.WriteNumber("requests", f.Requests);
        json.WriteNumber("local", f.Local);
        json.WriteNumber("frontier", f.Frontier);
        json.WriteNumber("fallen_back", f.Fallen);
        json.WritePropertyName("local_share");
        WriteNumber(json, f.Requests > 0 ? (double)f.Local / f.Requests : null);
        json.WriteNumber("prompt_tokens", f.PromptTokens);
        json.WriteNumber("cached_tokens", f.CachedTokens);
        json.WriteNumber("completion_tokens", f.CompletionTokens);
        json.WriteNumber("local_seconds", Math.Round(f.LocalSeconds, 6));
        json.WriteStartObject("costs");
        json.WriteNumber("escalation", f.Escalation.Dollars);
        json.WriteNumber("teaching", f.Teaching.Dollars);
        json.WriteNumber("serving", f.Serving.Dollars);
        json.WriteNumber("training", f.Training.Dollars);
        json.WriteNumber("total", f.Total.Dollars);
        json.WriteEndObject();
        json.WriteNumber("escalation_answers", f.EscalationCalls);
        json.WriteNumber("teaching_answers", f.TeachingCalls);
        WriteAmount(json, "frontier_only", f.FrontierOnly?.Dollars);
        WriteAmount(json, "saved", f.Saved?.Dollars);
        WriteAmount(json, "price_per_request", f.PricePerRequest);
        WriteAmount(json, "frontier_only_price_per_request", f.FrontierOnlyPricePerRequest);
        json.WriteNumber("audits", f.Audits);
        json.WritePropertyName("quality");
        if (f.Quality is { } quality)
        {
            json.WriteStartObject();
            Write(json, "local", quality.Local);
            Write(json, "mix", quality.Mix);
            Write(json, "risk", quality.Risk);
            Write(json, "escalation", quality.Escalation);
            json.WriteEndObject();
        }
        else
        {
            json.WriteNullValue();
        }
        json.WriteStartObject("acceptance");
        Write(json, "local", f.LocalAcceptance);
        Write(json, "frontier", f.FrontierAcceptance);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, AcceptanceRate rate)
    {
        json.WriteStartObject(name);
        json.WriteNumber("accepted", rate.Accepted);
        json.WriteNumber("rejected", rate.Rejected);
        json.WriteNumber("corrected", rate.Corrected);
        if (rate.Rate is { } share)
        {
            Write(json, "rate", share);
        }
        else
        {
            json.WriteNull("rate");
        }
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, Proportion proportion)
    {
        json.WriteStartObject(name);
        json.WriteNumber("value", Math.Round(proportion.Value, 6));
        json.WriteNumber("low", Math.Round(proportion.Low, 6));
        json.WriteNumber("high", Math.Round(proportion.High, 6));
        json.WriteEndObject();
    }

    private static void WriteNumber(Utf8JsonWriter json, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumberValue(Math.Round(number, 6));
        }
        else
        {
            json.WriteNullValue();
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
