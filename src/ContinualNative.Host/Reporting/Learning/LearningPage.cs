using System.Globalization;
using System.Net;
using System.Text;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>A history as one HTML file that needs nothing else: the figure, the table of periods, what happened, the gate's verdicts, and what the figures mean.</summary>
internal static class LearningPage
{
    // Nothing is fetched, and nothing that a history holds can run: not even if an escape were missing somewhere.
    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

    private const string Style = """
        :root { color-scheme: light dark; --ink: #1f2328; --grey: #59636e; --line: #d8dee4; --ground: #ffffff; --soft: #f6f8fa; --good: #00795a; --bad: #b54708; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --grey: #9ea7b3; --line: #363d46; --ground: #12161c; --soft: #1a2028; --good: #3fc49a; --bad: #f0883e; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 Inter, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
        main { max-width: 1080px; margin: 0 auto; padding: 48px 24px 72px; }
        h1 { margin: 0 0 8px; font-size: 30px; line-height: 1.25; letter-spacing: -0.01em; text-wrap: balance; }
        h2 { margin: 48px 0 12px; font-size: 20px; }
        h3 { margin: 0; font-size: 16px; }
        p { max-width: 74ch; }
        .lead { margin: 0 0 28px; color: var(--grey); font-size: 17px; }
        .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 0 0 28px; padding: 0; }
        .cards div { padding: 14px 16px; border: 1px solid var(--line); border-radius: 8px; }
        .cards dt { color: var(--grey); font-size: 13px; line-height: 1.4; }
        .cards dd { margin: 2px 0 0; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
        figure { margin: 0; padding: 8px; background: #ffffff; border: 1px solid var(--line); border-radius: 10px; overflow-x: auto; }
        figure svg { display: block; width: 100%; min-width: 720px; height: auto; }
        .wide { overflow-x: auto; }
        table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
        th, td { padding: 7px 10px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
        th { color: var(--grey); font-weight: 600; }
        td.n, th.n { text-align: right; white-space: nowrap; }
        td small { color: var(--grey); white-space: nowrap; }
        .verdict { margin: 0 0 20px; padding: 16px 18px; border: 1px solid var(--line); border-radius: 8px; }
        .verdict p { margin: 6px 0 10px; }
        .pass { color: var(--good); } .reject { color: var(--bad); } .undecided { color: var(--grey); }
        dl.meaning { display: grid; grid-template-columns: max-content 1fr; gap: 8px 20px; }
        dl.meaning dt { font-weight: 600; } dl.meaning dd { margin: 0; max-width: 70ch; }
        code { padding: 1px 5px; border-radius: 4px; background: var(--soft); font: 13px/1.5 ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
        @media (max-width: 560px) { dl.meaning { grid-template-columns: 1fr; } main { padding-top: 28px; } }
        """;

    /// <summary>Writes the page. Throws <see cref="IOException"/> and <see cref="UnauthorizedAccessException"/>.</summary>
    public static void Save(string path, LearningHistory history) => File.WriteAllText(path, ToHtml(history));

    /// <summary>The page.</summary>
    public static string ToHtml(LearningHistory history)
    {
        StringBuilder html = new();
        html.Append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .Append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
            .Append(CultureInfo.InvariantCulture, $"<meta http-equiv=\"Content-Security-Policy\" content=\"{Policy}\">\n")
            .Append(CultureInfo.InvariantCulture, $"<title>{Escape(history.Title)}</title>\n<style>\n{Style}\n</style>\n</head>\n<body>\n<main>\n")
            .Append(CultureInfo.InvariantCulture, $"<h1>{Escape(history.Title)}</h1>\n<p class=\"lead\">{Escape(history.Subtitle)}</p>\n");
        Cards(html, history);
        html.Append("<figure>\n").Append(LearningFigure.ToSvg(history, inPage: true)).Append("</figure>\n");
        Meaning(html, history);
        Periods(html, history);
        Events(html, history);
        Verdicts(html, history);
        Run(html, history);
        return html.Append("</main>\n</body>\n</html>\n").ToString();
    }

    private static void Cards(StringBuilder html, LearningHistory history)
    {
        LearningTotals totals = history.Totals;
        html.Append("<dl class=\"cards\">\n");
        void Card(string name, string value) => html.Append(CultureInfo.InvariantCulture, $"<div><dt>{Escape(name)}</dt><dd>{Escape(value)}</dd></div>\n");
        void Known(string name, double? share)
        {
            if (share is { } known)
            {
                Card(name, LearningText.Percent(known));
            }
        }
        Known("continual, last third", totals.Continual);
        Known("of the frontier’s quality", totals.OfFrontier);
        Known("frozen snapshot, last third", totals.Frozen);
        Card("routed up", LearningText.Percent(totals.RoutedUp));
        Known("price, of a frontier alone", totals.PriceShare);
        Card("requests", LearningText.Count(totals.Requests));
        html.Append("</dl>\n");
    }

    private static void Meaning(StringBuilder html, LearningHistory history)
    {
        html.Append("<h2>What this shows</h2>\n").Append(CultureInfo.InvariantCulture, $"<p>{Escape(LearningText.Describe(history))}</p>\n<dl class=\"meaning\">\n");
        void Term(bool shown, string term, string meaning)
        {
            if (shown)
            {
                html.Append(CultureInfo.InvariantCulture, $"<dt>{Escape(term)}</dt><dd>{Escape(meaning)}</dd>\n");
            }
        }
        Term(history.Periods.Any(static p => p.Frozen is not null), "Frozen snapshot", "The small model as it was before it learned anything, asked the same requests.");
        Term(true, "Continual", "The small model with the adapter that was champion at the time: each was trained from earlier traffic only, and had to pass the gate.");
        Term(history.Periods.Any(static p => p.Frontier is not null), "Frontier", "The large model of the day, which also teaches.");
        Term(history.Periods.Any(static p => p.Served is not null), "Sent", "The answers that clients got: the small model’s, and the frontier’s where a request was routed up.");
        Term(true, "Routed up", "The share of requests that the router gave to the frontier because it did not trust the small model’s answer.");
        Term(history.Periods.Any(static p => p.Price is not null), "Price", "All that was paid, divided by the requests: those routed up, the teacher’s labels, training, and serving. Beside it stands what a frontier model alone would have cost for the same requests.");
        Term(history.Periods.Any(static p => (p.Continual ?? p.Frozen ?? p.Frontier) is { Low: not null }), "Intervals", "Where a range is given, it holds the true share 95 times in 100; few requests make it wide.");
        html.Append("</dl>\n");
        foreach (string note in history.Notes)
        {
            html.Append(CultureInfo.InvariantCulture, $"<p>{Escape(note)}</p>\n");
        }
    }

    private static void Periods(StringBuilder html, LearningHistory history)
    {
        bool served = history.Periods.Any(static p => p.Served is not null);
        html.Append("<h2>Periods</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>period</th>");
        foreach (string column in (string[])["requests", "frozen", "continual", "frontier", .. served ? ["sent"] : (string[])[], "routed up", "price a request", "frontier alone", "price share"])
        {
            html.Append(CultureInfo.InvariantCulture, $"<th class=\"n\">{column}</th>");
        }
        html.Append("</tr></thead>\n<tbody>\n");
        void Cell(string text, string small = "") => html.Append(CultureInfo.InvariantCulture, $"<td class=\"n\">{Escape(text)}{(small.Length > 0 ? $"<br><small>{Escape(small)}</small>" : "")}</td>");
        void Rated(Rate? rate) => Cell(LearningText.Percent(rate?.Value), rate is { Low: { } low, High: { } high } ? string.Create(CultureInfo.InvariantCulture, $"{100 * low:0.0}–{100 * high:0.0}") : "");
        foreach (LearningPeriod period in history.Periods)
        {
            html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Escape(period.Label)}</td>");
            Cell(LearningText.Count(period.Requests));
            Rated(period.Frozen);
            Rated(period.Continual);
            Rated(period.Frontier);
            if (served)
            {
                Rated(period.Served);
            }
            Cell(LearningText.Percent(period.RoutedUp));
            Cell(LearningText.Amount(period.Price));
            Cell(LearningText.Amount(period.FrontierOnlyPrice));
            Cell(LearningText.Percent(period.PriceShare));
            html.Append("</tr>\n");
        }
        html.Append("</tbody></table></div>\n");
    }

    private static void Events(StringBuilder html, LearningHistory history)
    {
        if (history.Periods.All(static p => p.Events.Count == 0))
        {
            return;
        }
        html.Append("<h2>What happened</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>period</th><th>kind</th><th>what</th></tr></thead>\n<tbody>\n");
        foreach (LearningPeriod period in history.Periods)
        {
            foreach (LearningEvent happened in period.Events)
            {
                html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Escape(period.Label)}</td><td>{Escape(LearningText.RowOf(happened.Kind))}</td><td>{Escape(happened.Text)}</td></tr>\n");
            }
        }
        html.Append("</tbody></table></div>\n");
    }

    private static void Verdicts(StringBuilder html, LearningHistory history)
    {
        if (history.Verdicts.Count == 0)
        {
            return;
        }
        html.Append("<h2>What the gate said</h2>\n<p>Every candidate is compared with the champion of the time on requests that neither has learned from. “Evidence” is the e-value of that comparison: from 1/α on, a gain is shown at level α, whenever one looks.</p>\n");
        foreach ((string adapter, GateVerdict verdict) in history.Verdicts)
        {
            string decision = Name(verdict.Decision);
            html.Append(CultureInfo.InvariantCulture, $"<section class=\"verdict\"><h3><code>{Escape(adapter)}</code> <span class=\"{decision}\">{decision}</span></h3>\n<p>{Escape(verdict.Summary)}<br>\n")
                .Append(CultureInfo.InvariantCulture, $"<small>Champion {LearningText.Percent((double?)verdict.ChampionRight)}, candidate {LearningText.Percent((double?)verdict.CandidateRight)} right on {LearningText.Count(verdict.Fresh)} fresh requests; evidence {Figure(verdict.Evidence)}.</small></p>\n")
                .Append("<div class=\"wide\"><table>\n<thead><tr><th>check</th><th>says</th><th class=\"n\">found</th><th class=\"n\">allowed</th><th class=\"n\">requests</th><th>reason</th></tr></thead>\n<tbody>\n");
            foreach (GateCheck check in verdict.Checks)
            {
                string says = Name(check.Decision);
                html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Escape(check.Slice is null ? check.Name : $"{check.Name}, {check.Slice}")}</td><td class=\"{says}\">{says}</td><td class=\"n\">{Figure(check.Found)}</td><td class=\"n\">{Figure(check.Allowed)}</td><td class=\"n\">{LearningText.Count(check.Count)}</td><td>{Escape(check.Reason)}");
                foreach (string example in check.Examples)
                {
                    html.Append(CultureInfo.InvariantCulture, $" <code>{Escape(example)}</code>");
                }
                html.Append("</td></tr>\n");
            }
            html.Append("</tbody></table></div></section>\n");
        }
    }

    private static void Run(StringBuilder html, LearningHistory history)
    {
        if (history.Run is not { } run)
        {
            return;
        }
        html.Append(CultureInfo.InvariantCulture, $"<h2>How it was run</h2>\n<dl class=\"meaning\">\n<dt>Command</dt><dd><code>{Escape(run.Command)}</code></dd>\n");
        if (run.Seed is { } seed)
        {
            html.Append(CultureInfo.InvariantCulture, $"<dt>Seed</dt><dd>{seed}</dd>\n");
        }
        if (run.Machine.Length > 0)
        {
            html.Append(CultureInfo.InvariantCulture, $"<dt>Machine</dt><dd>{Escape(run.Machine)}</dd>\n");
        }
        if (run.Took is { } took)
        {
            html.Append(CultureInfo.InvariantCulture, $"<dt>Took</dt><dd>{Escape(Commands.ConsoleProgress.Time(took))}</dd>\n");
        }
        html.Append("</dl>\n");
    }

    private static string Name(GateDecision decision) => decision.ToString().ToLowerInvariant();

    private static string Figure(double value) => double.IsFinite(value) ? value.ToString("0.####", CultureInfo.InvariantCulture) : "–";

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
