using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Economics;

/// <summary>How <see cref="ReportFigures.FrontierOnly"/> was found.</summary>
public enum FrontierOnlyBasis
{
    /// <summary>Neither prices nor enough audits with charges: there is no estimate.</summary>
    Unknown,

    /// <summary>Local tokens at the endpoint's prices; there are too few audits to tell how its charges differ from that.</summary>
    Prices,

    /// <summary>Local tokens, scaled to what the endpoint charged for audited requests.</summary>
    Audits,
}

/// <summary>The figures of one task.</summary>
public sealed record TaskFigures(string Task, ReportFigures Figures);

/// <summary>The figures of one day (UTC).</summary>
public sealed record DayFigures(DateOnly Day, ReportFigures Figures);

/// <summary>How many requests took a route for a reason.</summary>
public sealed record ReasonTotal(Route Route, RouteReason Reason, long Requests);

/// <summary>What the traffic of a period cost, what it would have cost with a frontier model alone, and how good the answers were.</summary>
/// <remarks>
/// <para>
/// The price of a frontier model alone, for the same requests, has two parts. For requests that it answered: what was paid for them, exactly. Nothing was paid
/// for those answered locally, so that part is an estimate: their prompt and completion tokens, as the local model counts them and with no prompt cached, at the
/// preferred endpoint's prices, times a scale. The scale makes up for another tokenizer and template, for prompts that the endpoint had cached, and for answers of
/// another length. It is Σ cᵢ/πᵢ ÷ Σ pᵢ/πᵢ, with cᵢ what the endpoint charged for the i-th audited request, pᵢ the price of its local tokens, and πᵢ the probability
/// with which it was drawn (a ratio estimate: Cochran, Sampling Techniques, 1977, chapter 6): that of the request's task from <see cref="MinimumAudits"/> such
/// audits on, else that of all tasks, else 1. Where no prices are known, all tokens count alike and the scale is the price of one; there is then no estimate
/// without enough audits.
/// </para>
/// <para>
/// A request that the local model failed on has no tokens and counts nothing there. Requests whose route was fixed by their client, by their key or because there is no
/// frontier are in all figures of money and in none of quality: audits are drawn from what the router judges.
/// </para>
/// </remarks>
public sealed record TrafficReport
{
    /// <summary>Audits below which quality is not told, and a scale not taken from them.</summary>
    public const int MinimumAudits = 30;

    /// <summary>Outcomes below which no rate of acceptance is told.</summary>
    public const int MinimumOutcomes = 30;

    private static readonly TokenPrices AllAlike = new(1, 1, 1);

    /// <summary>The first day (UTC).</summary>
    public required DateOnly From { get; init; }

    /// <summary>The last day (UTC), included.</summary>
    public required DateOnly To { get; init; }

    /// <summary>The only task that it is about; null: all.</summary>
    public string? Task { get; init; }

    /// <summary>All of the period.</summary>
    public required ReportFigures All { get; init; }

    /// <summary>Tasks with requests, the one with the most first. Costs that belong to no task are in <see cref="All"/> only.</summary>
    public required IReadOnlyList<TaskFigures> Tasks { get; init; }

    /// <summary>Days with requests or costs, oldest first.</summary>
    public required IReadOnlyList<DayFigures> Days { get; init; }

    /// <summary>Requests by route and reason, most first.</summary>
    public required IReadOnlyList<ReasonTotal> Reasons { get; init; }

    /// <summary>What the estimate of <see cref="ReportFigures.FrontierOnly"/> rests on, where a task has no audits of its own that suffice.</summary>
    public required FrontierOnlyBasis Basis { get; init; }

    /// <summary>The scale of all tasks; null where it is not taken from audits, or is a price for lack of prices.</summary>
    public double? Scale { get; init; }

    /// <summary>US dollars an hour of this machine that the report reckons with.</summary>
    public decimal MachinePrice { get; init; }

    /// <summary>The report. Throws <see cref="ArgumentException"/> for an audit whose probability or acceptance is out of its range.</summary>
    public static TrafficReport Compute(ReportInput input)
    {
        bool Belongs(DateOnly day, string task) => day >= input.From && day <= input.To && (input.Task is null || task == input.Task);
        RouteTotals[] routes = [.. input.Routes.Where(r => Belongs(r.Day, r.Task))];
        CostTotals[] costs = [.. input.Costs.Where(c => Belongs(c.Day, c.Task))];
        AuditedAnswer[] audits = [.. input.Audits.Where(a => Belongs(a.Day, a.Task))];
        bool priced = input.Prices is { } given && (given.Prompt > 0 || given.Completion > 0);
        TokenPrices prices = priced ? input.Prices! : AllAlike;
        double? all = ScaleOf(audits, prices, priced);
        Dictionary<string, double?> scales = audits.GroupBy(static a => a.Task, StringComparer.Ordinal).ToDictionary(static g => g.Key, g => ScaleOf(g, prices, priced), StringComparer.Ordinal);
        double? ScaleFor(string task) => scales.GetValueOrDefault(task) ?? all ?? (priced ? 1 : null);
        ReportFigures Figures(IEnumerable<RouteTotals> r, IEnumerable<CostTotals> c, IEnumerable<AuditedAnswer> a) => Sum([.. r], c, [.. a], input.MachinePrice, prices, ScaleFor);
        return new TrafficReport
        {
            From = input.From,
            To = input.To,
            Task = input.Task,
            All = Figures(routes, costs, audits),
            Tasks =
            [
                .. routes.Select(static r => r.Task).Distinct(StringComparer.Ordinal)
                    .Select(task => new TaskFigures(task, Figures(routes.Where(r => r.Task == task), costs.Where(c => c.Task == task), audits.Where(a => a.Task == task))))
                    .OrderByDescending(static t => t.Figures.Requests).ThenBy(static t => t.Task, StringComparer.Ordinal),
            ],
            Days =
            [
                .. routes.Select(static r => r.Day).Concat(costs.Select(static c => c.Day)).Distinct().Order()
                    .Select(day => new DayFigures(day, Figures(routes.Where(r => r.Day == day), costs.Where(c => c.Day == day), audits.Where(a => a.Day == day)))),
            ],
            Reasons =
            [
                .. routes.GroupBy(static r => (r.Route, r.Reason)).Select(static g => new ReasonTotal(g.Key.Route, g.Key.Reason, g.Sum(static r => r.Requests)))
                    .OrderByDescending(static r => r.Requests).ThenBy(static r => r.Route).ThenBy(static r => r.Reason),
            ],
            Basis = all is not null ? FrontierOnlyBasis.Audits : priced ? FrontierOnlyBasis.Prices : FrontierOnlyBasis.Unknown,
            Scale = priced ? all : null,
            MachinePrice = input.MachinePrice,
        };
    }

    private static ReportFigures Sum(RouteTotals[] routes, IEnumerable<CostTotals> costs, AuditedAnswer[] audits, decimal machinePrice, TokenPrices prices, Func<string, double?> scaleFor)
    {
        Money Hours(double seconds) => Money.FromDollars((decimal)seconds / 3600 * machinePrice);
        Money escalation = Money.Zero, teaching = Money.Zero, training = Money.Zero;
        long escalationCalls = 0, teachingCalls = 0;
        foreach (CostTotals cost in costs)
        {
            switch (cost.Kind)
            {
                case LedgerKind.Escalation:
                    escalation += cost.Amount;
                    escalationCalls += cost.Calls;
                    break;
                case LedgerKind.Teaching:
                    teaching += cost.Amount;
                    teachingCalls += cost.Calls;
                    break;
                case LedgerKind.Training:
                    training += cost.Amount > Money.Zero ? cost.Amount : Hours(cost.Seconds);
                    break;
                case LedgerKind.Serving:
                case LedgerKind.Avoided:
                default:
                    // Both are reckoned from the requests themselves.
                    break;
            }
        }
        double seconds = routes.Sum(static r => r.LocalSeconds);
        return new ReportFigures
        {
            Requests = routes.Sum(static r => r.Requests),
            Local = routes.Where(static r => r.Route == Route.Local).Sum(static r => r.Requests),
            Frontier = routes.Where(static r => r.Route == Route.Frontier).Sum(static r => r.Requests),
            Fallen = routes.Where(static r => r is { Route: Route.Local, Reason: RouteReason.FrontierDown or RouteReason.OverBudget }).Sum(static r => r.Requests),
            PromptTokens = routes.Sum(static r => r.PromptTokens),
            CachedTokens = routes.Sum(static r => r.CachedTokens),
            CompletionTokens = routes.Sum(static r => r.CompletionTokens),
            LocalSeconds = seconds,
            Escalation = escalation,
            EscalationCalls = escalationCalls,
            Teaching = teaching,
            TeachingCalls = teachingCalls,
            Serving = Hours(seconds),
            Training = training,
            FrontierOnly = WouldHaveCost(routes, prices, scaleFor) is { } local ? escalation + local : null,
            LocalAcceptance = AcceptanceOf(routes, Route.Local),
            FrontierAcceptance = AcceptanceOf(routes, Route.Frontier),
            Audits = audits.Length,
            Quality = audits.Length < MinimumAudits ? null : Evaluation.QualityEstimate.From(audits.Select(static a =>
                new Evaluation.QualitySample(a.Correct, a.Sent, a.AuditProbability, a.Sent == Route.Frontier ? a.Acceptance : null))),
        };
    }

    // What the frontier would have charged for the requests that were answered locally; null where nothing tells.
    private static Money? WouldHaveCost(RouteTotals[] routes, TokenPrices prices, Func<string, double?> scaleFor)
    {
        Money sum = Money.Zero;
        foreach (RouteTotals row in routes)
        {
            if (row.Route != Route.Local || row.PromptTokens + row.CompletionTokens == 0)
            {
                continue;
            }
            if (scaleFor(row.Task) is not { } scale)
            {
                return null;
            }
            sum += new Money(decimal.ToInt64(decimal.Round(NanosOf(prices, row.PromptTokens, row.CompletionTokens) * (decimal)scale)));
        }
        return sum;
    }

    private static double? ScaleOf(IEnumerable<AuditedAnswer> audits, TokenPrices prices, bool priced)
    {
        int count = 0;
        double charged = 0, local = 0;
        foreach (AuditedAnswer audit in audits)
        {
            decimal price = NanosOf(prices, audit.PromptTokens, audit.CompletionTokens);
            if (price > 0)
            {
                count++;
                charged += audit.FrontierCost.Nanos / audit.AuditProbability;
                local += (double)price / audit.AuditProbability;
            }
        }
        // An endpoint without a price charges nothing, which says nothing of what it costs.
        return count >= MinimumAudits && (priced || charged > 0) ? charged / local : null;
    }

    // Dollars per million tokens is thousands of nanodollars per token.
    private static decimal NanosOf(TokenPrices prices, long promptTokens, long completionTokens) => 1000m * ((promptTokens * prices.Prompt) + (completionTokens * prices.Completion));

    private static AcceptanceRate AcceptanceOf(RouteTotals[] routes, Route route)
    {
        RouteTotals[] own = [.. routes.Where(r => r.Route == route)];
        return new AcceptanceRate(own.Sum(static r => r.Accepted), own.Sum(static r => r.Rejected), own.Sum(static r => r.Corrected));
    }
}
