using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Economics;

public sealed class TrafficReportTests
{
    private static readonly DateOnly Monday = new(2026, 3, 2);
    private static readonly DateOnly Tuesday = new(2026, 3, 3);
    private static readonly TokenPrices Prices = new(2m, 0.5m, 10m);

    [Fact]
    public void Costs_and_prices_of_a_day_are_as_reckoned_by_hand()
    {
        ReportFigures all = TrafficReport.Compute(Input() with
        {
            Routes =
            [
                Row(Route.Local, RouteReason.Confident, 90) with { PromptTokens = 9000, CachedTokens = 4000, CompletionTokens = 900, LocalSeconds = 180 },
                Row(Route.Frontier, RouteReason.Uncertain, 10) with { PromptTokens = 1000, CompletionTokens = 100, LocalSeconds = 20 },
            ],
            Costs =
            [
                Cost(LedgerKind.Escalation, 0.05m) with { Calls = 10 },
                Cost(LedgerKind.Teaching, 0.01m) with { Calls = 2 },
                Cost(LedgerKind.Training, 0m) with { Seconds = 36 },
                Cost(LedgerKind.Training, 0.02m) with { Seconds = 1000 },
            ],
            Prices = Prices,
            MachinePrice = 0.9m,
        }).All;
        Assert.Equal((100, 90, 10), (all.Requests, all.Local, all.Frontier));
        Assert.Equal((10_000, 4000, 1000), (all.PromptTokens, all.CachedTokens, all.CompletionTokens));
        Assert.Equal((10, 2), (all.EscalationCalls, all.TeachingCalls));
        // 200 s of 3600 at 0.90; 36 s of training at 0.90 an hour are 0.009, and the other training says itself what it cost.
        Assert.Equal(0.05m, all.Serving.Dollars);
        Assert.Equal(0.029m, all.Training.Dollars);
        Assert.Equal(0.139m, all.Total.Dollars);
        Assert.Equal(0.00139m, all.PricePerRequest);
        // Paid 0.05 for ten; the other ninety: 9000 prompt tokens at 2 and 900 at 10 a million, no discount for what the local cache held.
        Assert.Equal(0.05m + 0.018m + 0.009m, all.FrontierOnly!.Value.Dollars);
        Assert.Equal(0.00077m, all.FrontierOnlyPricePerRequest);
        Assert.Equal(0.077m - 0.139m, all.Saved!.Value.Dollars);
    }

    [Fact]
    public void Audits_scale_the_price_of_local_tokens_to_what_the_endpoint_charges()
    {
        // Each audited request has 100 tokens of prompt and 10 of answer: 0.0003 at list. Charged 0.00045: half as much again.
        TrafficReport report = TrafficReport.Compute(Input() with
        {
            Routes = [Row(Route.Local, RouteReason.Confident, 1000) with { PromptTokens = 100_000, CompletionTokens = 10_000 }],
            Audits = [.. Enumerable.Range(0, 30).Select(static _ => Audit(true) with { PromptTokens = 100, CompletionTokens = 10, FrontierCost = Money.FromDollars(0.00045m) })],
            Prices = Prices,
        });
        Assert.Equal(FrontierOnlyBasis.Audits, report.Basis);
        Assert.Equal(1.5, report.Scale!.Value, 12);
        Assert.Equal(0.45m, report.All.FrontierOnly!.Value.Dollars);
    }

    [Fact]
    public void The_scale_weighs_every_audit_by_how_rarely_it_is_drawn()
    {
        // Rare ones stand for ten requests each and cost 3 times their list price, common ones stand for two and cost it once: (10·3 + 2·1) ÷ 12.
        AuditedAnswer rare = Audit(true) with { AuditProbability = 0.1, PromptTokens = 1000, FrontierCost = Money.FromDollars(0.006m) };
        AuditedAnswer common = Audit(true) with { AuditProbability = 0.5, PromptTokens = 1000, FrontierCost = Money.FromDollars(0.002m) };
        TrafficReport report = TrafficReport.Compute(Input() with
        {
            Routes = [Row(Route.Local, RouteReason.Confident, 1)],
            Audits = [.. Enumerable.Range(0, 20).SelectMany(_ => new[] { rare, common })],
            Prices = Prices,
        });
        Assert.Equal(32.0 / 12, report.Scale!.Value, 12);
    }

    [Fact]
    public void Too_few_audits_leave_the_list_price_and_no_quality()
    {
        TrafficReport report = TrafficReport.Compute(Input() with
        {
            Routes = [Row(Route.Local, RouteReason.Confident, 1000) with { PromptTokens = 1_000_000 }],
            Audits = [.. Enumerable.Range(0, TrafficReport.MinimumAudits - 1).Select(static _ => Audit(false) with { PromptTokens = 10, FrontierCost = Money.FromDollars(1) })],
            Prices = Prices,
        });
        Assert.Equal(FrontierOnlyBasis.Prices, report.Basis);
        Assert.Null(report.Scale);
        Assert.Null(report.All.Quality);
        Assert.Equal(29, report.All.Audits);
        Assert.Equal(2m, report.All.FrontierOnly!.Value.Dollars);
    }

    [Fact]
    public void Without_prices_audits_tell_the_price_of_a_token_and_without_either_it_is_unknown()
    {
        ReportInput input = Input() with { Routes = [Row(Route.Local, RouteReason.Confident, 10) with { PromptTokens = 900, CompletionTokens = 100 }] };
        TrafficReport unknown = TrafficReport.Compute(input);
        Assert.Equal(FrontierOnlyBasis.Unknown, unknown.Basis);
        Assert.Null(unknown.All.FrontierOnly);
        Assert.Null(unknown.All.Saved);
        Assert.Null(unknown.All.FrontierOnlyPricePerRequest);
        // A price list of zeros is none, and an endpoint that charged nothing tells no price.
        AuditedAnswer[] free = [.. Enumerable.Range(0, 40).Select(static _ => Audit(true) with { PromptTokens = 90, CompletionTokens = 10 })];
        Assert.Null(TrafficReport.Compute(input with { Prices = new TokenPrices(0, 0, 0), Audits = free }).All.FrontierOnly);
        // 100 tokens cost 0.0002 each time: 0.002 for 1000 of them.
        TrafficReport told = TrafficReport.Compute(input with { Audits = [.. free.Select(static a => a with { FrontierCost = Money.FromDollars(0.0002m) })] });
        Assert.Equal(FrontierOnlyBasis.Audits, told.Basis);
        Assert.Null(told.Scale);
        Assert.Equal(0.002m, told.All.FrontierOnly!.Value.Dollars);
    }

    [Fact]
    public void A_task_uses_its_own_scale_where_it_has_enough_audits()
    {
        AuditedAnswer dear = Audit(true) with { Task = "dear", PromptTokens = 100, FrontierCost = Money.FromDollars(0.0006m) };
        AuditedAnswer plain = Audit(true) with { Task = "plain", PromptTokens = 100, FrontierCost = Money.FromDollars(0.0002m) };
        TrafficReport report = TrafficReport.Compute(Input() with
        {
            Routes =
            [
                Row(Route.Local, RouteReason.Confident, 1) with { Task = "dear", PromptTokens = 1000 },
                Row(Route.Local, RouteReason.Confident, 3) with { Task = "plain", PromptTokens = 1000 },
                Row(Route.Local, RouteReason.Confident, 2) with { Task = "new", PromptTokens = 1000 },
            ],
            Audits = [.. Enumerable.Repeat(dear, 30), .. Enumerable.Repeat(plain, 30)],
            Prices = Prices,
        });
        Assert.Equal(["plain", "new", "dear"], report.Tasks.Select(static t => t.Task));
        // 1000 tokens are 0.002 at list; times 1, times 2 (that of all tasks), times 3.
        Assert.Equal([0.002m, 0.004m, 0.006m], report.Tasks.Select(static t => t.Figures.FrontierOnly!.Value.Dollars));
        Assert.Equal(0.012m, report.All.FrontierOnly!.Value.Dollars);
    }

    [Fact]
    public void Quality_comes_from_audits_and_counts_rejected_answers_of_the_frontier()
    {
        // Of 40: 20 local and right, 10 local and wrong, 6 sent up of which one was rejected, 4 sent up though the local answer was right.
        ReportFigures all = TrafficReport.Compute(Input() with
        {
            Audits =
            [
                .. Enumerable.Repeat(Audit(true), 20),
                .. Enumerable.Repeat(Audit(false), 9),
                // A client's opinion of a local answer does not change what the audit measured.
                Audit(false) with { Acceptance = 1 },
                .. Enumerable.Repeat(Audit(false) with { Sent = Route.Frontier }, 5),
                Audit(false) with { Sent = Route.Frontier, Acceptance = 0 },
                .. Enumerable.Repeat(Audit(true) with { Sent = Route.Frontier }, 4),
            ],
        }).All;
        Assert.Equal(40, all.Audits);
        Assert.Equal(24 / 40.0, all.Quality!.Local.Value, 12);
        Assert.Equal(29 / 40.0, all.Quality.Mix.Value, 12);
        Assert.Equal(10 / 40.0, all.Quality.Risk.Value, 12);
        Assert.True(all.Quality.Local.Low < 0.6 && all.Quality.Local.High > 0.6);
    }

    [Fact]
    public void Acceptance_is_told_per_route_with_its_interval_from_enough_outcomes_on()
    {
        ReportFigures all = TrafficReport.Compute(Input() with
        {
            Routes =
            [
                Row(Route.Local, RouteReason.Confident, 100) with { Accepted = 80, Rejected = 15, Corrected = 5 },
                Row(Route.Frontier, RouteReason.Uncertain, 100) with { Accepted = 29 },
            ],
        }).All;
        Assert.Equal(100, all.LocalAcceptance.Outcomes);
        // Wilson's interval for 80 of 100, as tables have it: 0.7112 to 0.8666.
        Assert.Equal(0.8, all.LocalAcceptance.Rate!.Value.Value, 12);
        Assert.Equal(0.7112, all.LocalAcceptance.Rate.Value.Low, 4);
        Assert.Equal(0.8666, all.LocalAcceptance.Rate.Value.High, 4);
        Assert.Equal(29, all.FrontierAcceptance.Outcomes);
        Assert.Null(all.FrontierAcceptance.Rate);
    }

    [Fact]
    public void Days_and_tasks_add_up_to_the_whole()
    {
        Random random = new(7);
        string[] tasks = ["a", "b", "c"];
        Route[] routes = [Route.Local, Route.Frontier];
        ReportInput input = Input() with
        {
            Routes =
            [
                .. from day in new[] { Monday, Tuesday }
                   from task in tasks
                   from route in routes
                   select Row(route, RouteReason.Uncalibrated, random.Next(1, 100)) with
                   {
                       Day = day,
                       Task = task,
                       PromptTokens = random.Next(10_000),
                       CompletionTokens = random.Next(10_000),
                       LocalSeconds = random.Next(1000),
                       Accepted = random.Next(50),
                   },
            ],
            Costs = [.. from day in new[] { Monday, Tuesday } from task in tasks select Cost(LedgerKind.Escalation, random.Next(1, 9)) with { Day = day, Task = task }],
            Prices = Prices,
            MachinePrice = 36m,
        };
        TrafficReport report = TrafficReport.Compute(input);
        Assert.Equal(report.All.Requests, report.Reasons.Sum(static r => r.Requests));
        Assert.Equal([Monday, Tuesday], report.Days.Select(static d => d.Day));
        foreach (ReportFigures[] parts in new[] { report.Tasks.Select(static t => t.Figures).ToArray(), [.. report.Days.Select(static d => d.Figures)] })
        {
            Assert.Equal(report.All.Requests, parts.Sum(static p => p.Requests));
            Assert.Equal(report.All.Local, parts.Sum(static p => p.Local));
            Assert.Equal(report.All.Total.Dollars, parts.Sum(static p => p.Total.Dollars));
            Assert.Equal(report.All.FrontierOnly!.Value.Dollars, parts.Sum(static p => p.FrontierOnly!.Value.Dollars));
            Assert.Equal(report.All.LocalAcceptance.Accepted, parts.Sum(static p => p.LocalAcceptance.Accepted));
        }
    }

    [Fact]
    public void What_lies_outside_of_the_period_or_belongs_to_another_task_is_passed_over()
    {
        ReportInput input = Input() with
        {
            To = Monday,
            Task = "a",
            Routes =
            [
                Row(Route.Local, RouteReason.Confident, 1) with { Task = "a" },
                Row(Route.Local, RouteReason.Confident, 10) with { Task = "b" },
                Row(Route.Local, RouteReason.Confident, 100) with { Task = "a", Day = Tuesday },
                Row(Route.Local, RouteReason.Confident, 1000) with { Task = "a", Day = Monday.AddDays(-1) },
            ],
            Costs = [Cost(LedgerKind.Teaching, 1) with { Task = "a" }, Cost(LedgerKind.Teaching, 10) with { Task = "" }, Cost(LedgerKind.Teaching, 100) with { Task = "a", Day = Tuesday }],
            Audits = [.. Enumerable.Repeat(Audit(false) with { Task = "b" }, 50), .. Enumerable.Repeat(Audit(false) with { Task = "a", Day = Tuesday }, 50), Audit(true) with { Task = "a" }],
        };
        TrafficReport report = TrafficReport.Compute(input);
        Assert.Equal((1, 1m, 1), (report.All.Requests, report.All.Teaching.Dollars, report.All.Audits));
        Assert.Equal("a", Assert.Single(report.Tasks).Task);
    }

    [Fact]
    public void Marked_local_answers_are_counted_and_failed_ones_cost_no_frontier()
    {
        ReportFigures all = TrafficReport.Compute(Input() with
        {
            Routes = [Row(Route.Local, RouteReason.FrontierDown, 3), Row(Route.Local, RouteReason.OverBudget, 4), Row(Route.Local, RouteReason.LocalFailed, 5), Row(Route.Frontier, RouteReason.Uncertain, 6)],
            Prices = Prices,
        }).All;
        Assert.Equal((7, 12, 18), (all.Fallen, all.Local, all.Requests));
        Assert.Equal(0m, all.FrontierOnly!.Value.Dollars);
    }

    [Fact]
    public void An_empty_period_has_no_prices_and_no_quality()
    {
        ReportFigures all = TrafficReport.Compute(Input() with { Prices = Prices, MachinePrice = 5 }).All;
        Assert.Equal(0, all.Requests);
        Assert.Null(all.PricePerRequest);
        Assert.Null(all.FrontierOnlyPricePerRequest);
        Assert.Null(all.Quality);
        Assert.Equal(0m, all.Total.Dollars);
    }

    private static ReportInput Input() => new() { From = Monday, To = Tuesday };

    private static RouteTotals Row(Route route, RouteReason reason, long requests) => new() { Day = Monday, Task = "a", Route = route, Reason = reason, Requests = requests };

    private static CostTotals Cost(LedgerKind kind, decimal dollars) => new() { Day = Monday, Kind = kind, Task = "a", Amount = Money.FromDollars(dollars) };

    private static AuditedAnswer Audit(bool correct) => new() { Day = Monday, Task = "a", Correct = correct, Sent = Route.Local, AuditProbability = 0.1 };
}
