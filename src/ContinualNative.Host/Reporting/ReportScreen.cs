using System.Globalization;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Signal;
using Spectre.Console;

namespace ContinualNative.Host.Reporting;

/// <summary>A report for people: tables on a terminal, aligned lines elsewhere.</summary>
internal static class ReportScreen
{
    private const int ShownDays = 14;
    private const int ShownTasks = 20;

    public static void Print(StoreReport report, TextWriter output, bool terminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = terminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(output),
        });
        if (!terminal)
        {
            console.Profile.Width = 1000;
        }
        TrafficReport figures = report.Figures;
        ReportFigures all = figures.All;
        string what = figures.Task is { } only ? $"task {only}" : "all tasks";
        console.WriteLine($"{TrafficReports.DayText(figures.From)} to {TrafficReports.DayText(figures.To)} (UTC), {what}");
        if (all.Requests == 0 && all.Total == Money.Zero)
        {
            console.WriteLine("Nothing was recorded in these days.");
            return;
        }
        Requests(console, terminal, figures);
        Costs(console, terminal, figures);
        Quality(console, terminal, report);
        if (figures.Task is null && figures.Tasks.Count > 1)
        {
            Slices(console, terminal, "task", [.. figures.Tasks.Take(ShownTasks).Select(static t => (t.Task, t.Figures))], figures.Tasks.Count);
        }
        if (figures.Days.Count > 1)
        {
            Slices(console, terminal, "day", [.. figures.Days.TakeLast(ShownDays).Select(static d => (TrafficReports.DayText(d.Day), d.Figures))], figures.Days.Count);
        }
        foreach (Storage.FlaggedKey key in report.Flagged)
        {
            string name = key.KeyId.Length > 0 ? $"Key {key.KeyId}" : "Clients without a key";
            console.WriteLine(FormattableString.Invariant($"{name} sent more feedback than is kept: {key.Refused} reports were refused since {key.Since:yyyy-MM-dd HH:mm}."));
        }
    }

    /// <summary>Dollars with as many digits as an amount this small needs.</summary>
    public static string Amount(decimal dollars) => Math.Abs(dollars) switch
    {
        0 => "$0",
        >= 1 => dollars.ToString("$#,0.00;-$#,0.00", CultureInfo.InvariantCulture),
        >= 0.01m => dollars.ToString("$0.0000;-$0.0000", CultureInfo.InvariantCulture),
        _ => dollars.ToString("$0.000000000;-$0.000000000", CultureInfo.InvariantCulture).TrimEnd('0'),
    };

    private static void Requests(IAnsiConsole console, bool terminal, TrafficReport report)
    {
        ReportFigures all = report.All;
        Table table = Framed(terminal, "requests", "", "share");
        Row(table, "all", Count(all.Requests), "");
        Row(table, "answered locally", Count(all.Local), Share(all.Local, all.Requests));
        Row(table, "answered by a frontier", Count(all.Frontier), Share(all.Frontier, all.Requests));
        foreach (ReasonTotal reason in report.Reasons)
        {
            Row(table, $"  {RouteNote.NameOf(reason.Route)}, {RouteNote.NameOf(reason.Reason)}", Count(reason.Requests), Share(reason.Requests, all.Requests));
        }
        Write(console, table);
        console.WriteLine(FormattableString.Invariant($"{all.PromptTokens:#,0} tokens of prompts ({all.CachedTokens:#,0} from the cache) and {all.CompletionTokens:#,0} of answers in {all.LocalSeconds:#,0.0} s of local generation."));
    }

    private static void Costs(IAnsiConsole console, bool terminal, TrafficReport report)
    {
        ReportFigures all = report.All;
        Table table = Framed(terminal, "costs", "", "a request", "");
        void Line(string name, decimal dollars, string note) => Row(table, name, Amount(dollars), all.Requests > 0 ? Amount(dollars / all.Requests) : "–", note);
        Line("routed up", all.Escalation.Dollars, $"{Count(all.EscalationCalls)} answers");
        Line("teaching", all.Teaching.Dollars, $"{Count(all.TeachingCalls)} answers");
        Line("serving", all.Serving.Dollars, FormattableString.Invariant($"{all.LocalSeconds / 3600:0.##} h at {Amount(report.MachinePrice)}; idle time is not counted"));
        Line("training", all.Training.Dollars, "");
        Line("together", all.Total.Dollars, "");
        if (all.FrontierOnly is { } frontierOnly && all.Saved is { } saved)
        {
            Line("a frontier alone", frontierOnly.Dollars, BasisText(report));
            Line("saved", saved.Dollars, frontierOnly > Money.Zero ? string.Create(CultureInfo.InvariantCulture, $"{100 * saved.Dollars / frontierOnly.Dollars:0.0} %") : "");
        }
        else
        {
            Row(table, "a frontier alone", "unknown", "", "no prices: pass --frontier-price-in and --frontier-price-out");
        }
        Write(console, table);
    }

    private static string BasisText(TrafficReport report) => report.Basis switch
    {
        FrontierOnlyBasis.Audits when report.Scale is { } scale => FormattableString.Invariant($"estimated: local tokens at its prices, times {scale:0.###} as it charged for {report.All.Audits} audits"),
        FrontierOnlyBasis.Audits => FormattableString.Invariant($"estimated: local tokens at what it charged for {report.All.Audits} audits"),
        _ => "estimated: local tokens at its prices",
    };

    private static void Quality(IAnsiConsole console, bool terminal, StoreReport report)
    {
        ReportFigures all = report.Figures.All;
        Table table = Framed(terminal, "quality", "", "95 % interval", "");
        if (all.Quality is { } quality)
        {
            string rests = $"{Count(all.Audits)} audits{(report.AuditsCut ? ", the newest ones" : "")}";
            Row(table, "local model", Percent(quality.Local.Value), Interval(quality.Local), $"agrees with the frontier; {rests}");
            Row(table, "frontier", "100 %", "", "the measure of the others");
            Row(table, "what clients got", Percent(quality.Mix.Value), Interval(quality.Mix), rests);
            Row(table, "wrong local answers sent", Percent(quality.Risk.Value), Interval(quality.Risk), "the risk that --target-risk bounds");
        }
        else
        {
            Row(table, "local model", "unknown", "", $"too few audits: {all.Audits} of at least {TrafficReport.MinimumAudits}");
        }
        Accepted(table, "accepted, local answers", all.LocalAcceptance);
        Accepted(table, "accepted, frontier's answers", all.FrontierAcceptance);
        Write(console, table);
    }

    private static void Accepted(Table table, string name, AcceptanceRate rate)
    {
        string counts = $"{Count(rate.Accepted)} accepted, {Count(rate.Rejected)} rejected, {Count(rate.Corrected)} corrected";
        if (rate.Rate is { } share)
        {
            Row(table, name, Percent(share.Value), Interval(share), $"{counts}; of those that were reported on");
        }
        else
        {
            Row(table, name, "unknown", "", $"too few outcomes: {Count(rate.Outcomes)} of at least {TrafficReport.MinimumOutcomes}");
        }
    }

    private static void Slices(IAnsiConsole console, bool terminal, string kind, IReadOnlyList<(string Name, ReportFigures Figures)> slices, int of)
    {
        Table table = Framed(terminal, kind, "requests", "local", "cost", "frontier alone", "saved", "local quality", "audits");
        foreach ((string name, ReportFigures f) in slices)
        {
            Row(
                table,
                name,
                Count(f.Requests),
                Share(f.Local, f.Requests),
                Amount(f.Total.Dollars),
                f.FrontierOnly is { } only ? Amount(only.Dollars) : "unknown",
                f.Saved is { } saved ? Amount(saved.Dollars) : "unknown",
                f.Quality is { } quality ? $"{Percent(quality.Local.Value)} ({Interval(quality.Local)})" : "too few audits",
                Count(f.Audits));
        }
        Write(console, table);
        if (of > slices.Count)
        {
            console.WriteLine($"{slices.Count} of {of} {kind}s are shown; --json has all.");
        }
    }

    private static string Count(long number) => number.ToString("#,0", CultureInfo.InvariantCulture);

    private static string Share(long part, long whole) => whole > 0 ? Percent((double)part / whole) : "–";

    private static string Percent(double share) => (100 * share).ToString("0.0", CultureInfo.InvariantCulture) + " %";

    private static string Interval(Proportion p) => FormattableString.Invariant($"{100 * p.Low:0.0}–{100 * p.High:0.0} %");

    private static Table Framed(bool terminal, params ReadOnlySpan<string> columns)
    {
        Table table = new() { Border = terminal ? TableBorder.Rounded : TableBorder.None };
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column)) { NoWrap = !terminal });
        }
        return table;
    }

    private static void Row(Table table, params IEnumerable<string> cells) => table.AddRow([.. cells.Select(static c => new Text(c))]);

    private static void Write(IAnsiConsole console, Table table)
    {
        console.WriteLine();
        console.Write(table);
    }
}
