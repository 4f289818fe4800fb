using ContinualNative.Core.Adapters;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>The history that a traffic store tells: weeks, or days where there are few.</summary>
/// <remarks>
/// Nobody asks the frozen snapshot in real traffic, so it is unknown. The frontier is the measure that audits hold the local model against, and so is right by definition. Weeks with fewer audits
/// than <see cref="TrafficReport.MinimumAudits"/> tell no quality.
/// </remarks>
internal static class LearningReports
{
    // Up to so many days each is a period of its own.
    private const int MostSingleDays = 14;
    private const int Week = 7;

    /// <summary>The history of a report's days. Days before the first request are left out; without any request there are no periods.</summary>
    /// <param name="report">The report.</param>
    /// <param name="promotions">Changes of champion; those outside of the report's days are passed over.</param>
    public static LearningHistory FromStore(StoreReport report, IReadOnlyList<PromotionRecord> promotions)
    {
        TrafficReport figures = report.Figures;
        int length = figures.To.DayNumber - figures.From.DayNumber < MostSingleDays ? 1 : Week;
        DayFigures[] days = [.. figures.Days.SkipWhile(static d => d.Figures.Requests == 0)];
        List<LearningPeriod> periods = [];
        if (days.Length > 0)
        {
            DateOnly end = figures.To;
            // Whole weeks end today; the oldest one may be shorter.
            while (end >= days[0].Day)
            {
                DateOnly start = end.AddDays(1 - length) < figures.From ? figures.From : end.AddDays(1 - length);
                periods.Insert(0, PeriodOf(report, days, promotions, start, end));
                end = start.AddDays(-1);
            }
        }
        bool quality = periods.Any(static p => p.Continual is not null);
        return new LearningHistory
        {
            Title = figures.Task is { } task ? $"Quality and price over time, task {task}" : "Quality and price over time",
            Subtitle = $"{TrafficReports.DayText(figures.From)} to {TrafficReports.DayText(figures.To)} (UTC), from the audits and the ledger of the traffic store.",
            Measure = "answers that agree with the frontier's",
            Periods = periods,
            Notes = [.. Notes(report, periods, quality)],
        };
    }

    private static LearningPeriod PeriodOf(StoreReport report, DayFigures[] days, IReadOnlyList<PromotionRecord> promotions, DateOnly start, DateOnly end)
    {
        ReportFigures[] own = [.. days.Where(d => d.Day >= start && d.Day <= end).Select(static d => d.Figures)];
        AuditedAnswer[] audits = [.. report.Audits.Where(a => a.Day >= start && a.Day <= end)];
        QualityEstimate? quality = audits.Length < TrafficReport.MinimumAudits
            ? null
            : QualityEstimate.From(audits.Select(static a => new QualitySample(a.Correct, a.Sent, a.AuditProbability, a.Sent == Route.Frontier ? a.Acceptance : null)));
        long requests = own.Sum(static f => f.Requests);
        // One day without an estimate leaves its whole week without one.
        decimal? frontierOnly = own.Any(static f => f.Requests > 0 && f.FrontierOnly is null) ? null : own.Sum(static f => f.FrontierOnly?.Dollars ?? 0);
        return new LearningPeriod
        {
            Label = TrafficReports.DayText(start),
            Start = new DateTimeOffset(start, TimeOnly.MinValue, TimeSpan.Zero),
            Requests = (int)Math.Min(requests, int.MaxValue),
            Continual = quality is null ? null : Rate.Of(quality.Local),
            Frontier = quality is null ? null : new Rate(1),
            Served = quality is null ? null : Rate.Of(quality.Mix),
            RoutedUp = requests > 0 ? (double)own.Sum(static f => f.Frontier) / requests : 0,
            Price = requests > 0 ? own.Sum(static f => f.Total.Dollars) / requests : null,
            FrontierOnlyPrice = requests > 0 ? frontierOnly / requests : null,
            Events = [.. Events(report, promotions).Where(e => e.Day >= start && e.Day <= end).OrderBy(static e => e.At).Select(static e => e.Event)],
        };
    }

    private static IEnumerable<(DateTimeOffset At, DateOnly Day, LearningEvent Event)> Events(StoreReport report, IReadOnlyList<PromotionRecord> promotions)
    {
        foreach (PromotionRecord promotion in promotions)
        {
            yield return (promotion.At, DayOf(promotion.At), EventOf(promotion));
        }
        // The version that an endpoint began with is no release.
        foreach ((string endpoint, string teacher, DateTimeOffset seen) in report.Teachers.GroupBy(static t => t.Endpoint, StringComparer.Ordinal).SelectMany(static g => g.OrderBy(static t => t.FirstSeen).Skip(1)))
        {
            yield return (seen, DayOf(seen), new LearningEvent(LearningEventKind.Release, $"{endpoint} answers as {teacher}", teacher));
        }
    }

    private static LearningEvent EventOf(PromotionRecord promotion)
    {
        string cycle = promotion.Cycle is { } number ? $" (cycle {number})" : "";
        return promotion.Reason switch
        {
            PromotionReason.Gate => new(LearningEventKind.Promotion, $"adapter {promotion.Adapter} promoted{cycle}", promotion.Adapter),
            PromotionReason.Manual => new(LearningEventKind.Promotion, $"adapter {promotion.Adapter} promoted by hand", promotion.Adapter),
            PromotionReason.Rollback => new(LearningEventKind.Rollback, $"adapter {promotion.Previous} rolled back to {promotion.Adapter}: live outcomes fell{cycle}", promotion.Previous),
            PromotionReason.ManualRollback => new(LearningEventKind.Rollback, $"adapter {promotion.Previous} rolled back to {promotion.Adapter} by hand", promotion.Previous),
            _ => new(LearningEventKind.Note, promotion.Adapter == ModelAddress.Base ? "server started without an adapter" : $"server started with adapter {promotion.Adapter}", promotion.Adapter),
        };
    }

    private static IEnumerable<string> Notes(StoreReport report, List<LearningPeriod> periods, bool quality)
    {
        if (quality)
        {
            yield return "The local model is held against the frontier's answers, so the frontier is right by definition here. The model as it was before it learned was not asked, and is not shown.";
        }
        if (periods.Any(static p => p.Requests > 0 && p.Continual is null))
        {
            yield return $"Periods with fewer than {TrafficReport.MinimumAudits} audits tell no quality; --audit sets how many requests are audited.";
        }
        if (report.AuditsCut)
        {
            yield return "There are more audits than are read; the oldest are left out.";
        }
        if (periods.Any(static p => p.Requests > 0 && p.FrontierOnlyPrice is null))
        {
            yield return "What a frontier model alone would have cost is unknown: pass --frontier-price-in and --frontier-price-out.";
        }
    }

    private static DateOnly DayOf(DateTimeOffset at) => DateOnly.FromDateTime(at.UtcDateTime);
}
