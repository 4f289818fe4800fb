using System.Collections.Concurrent;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Routing;

public sealed class RouterTests
{
    private static readonly RoutingFeatures Sure = new(-0.02f, -0.06f, 0.98f, 0.02f, 20, 100, 0.5f, false, false);
    private static readonly RoutingFeatures Unsure = new(-3f, -9f, 0.05f, 3f, 20, 100, 0.5f, false, false);

    [Theory]
    [InlineData(RoutePreference.Auto, RoutePreference.Auto, true, true, null, null)]
    [InlineData(RoutePreference.Local, RoutePreference.Auto, true, true, Route.Local, RouteReason.Requested)]
    [InlineData(RoutePreference.Frontier, RoutePreference.Auto, true, true, Route.Frontier, RouteReason.Requested)]
    [InlineData(RoutePreference.Auto, RoutePreference.Local, true, true, Route.Local, RouteReason.KeyPolicy)]
    [InlineData(RoutePreference.Auto, RoutePreference.Frontier, true, true, Route.Frontier, RouteReason.KeyPolicy)]
    [InlineData(RoutePreference.Frontier, RoutePreference.Local, true, true, Route.Local, RouteReason.KeyPolicy)]
    [InlineData(RoutePreference.Local, RoutePreference.Frontier, true, true, Route.Local, RouteReason.Requested)]
    [InlineData(RoutePreference.Frontier, RoutePreference.Frontier, false, true, Route.Local, RouteReason.NotPortable)]
    [InlineData(RoutePreference.Auto, RoutePreference.Auto, false, true, Route.Local, RouteReason.NotPortable)]
    [InlineData(RoutePreference.Frontier, RoutePreference.Auto, true, false, Route.Local, RouteReason.NoFrontier)]
    [InlineData(RoutePreference.Auto, RoutePreference.Auto, true, false, Route.Local, RouteReason.NoFrontier)]
    public void Fixed_routes_need_no_local_answer_and_never_up_wins(RoutePreference request, RoutePreference key, bool portable, bool frontier, Route? route, RouteReason? reason)
    {
        Router router = new(new RouterOptions { AuditShare = 1 });
        RouteDecision? decision = router.Before(new RouteRequest("r", "t", "a", request, "k", key, null, portable, frontier));
        Assert.Equal((route, reason), (decision?.Route, decision?.Reason));
        if (decision is not null)
        {
            // An audit sends the prompt up.
            bool mayGoUp = request != RoutePreference.Local && key != RoutePreference.Local && portable && frontier;
            Assert.Equal((mayGoUp, mayGoUp ? 1 : 0), (decision.Audited, decision.AuditProbability));
        }
    }

    [Fact]
    public void Calibrated_requests_go_by_their_probability_and_the_decision_says_why()
    {
        Router router = new(new RouterOptions { MaxEscalation = null });
        router.Update(Fitted() with { Id = 12 });
        RouteDecision sure = router.Judge(new RouteRequest("1", "t", "a"), Sure);
        RouteDecision unsure = router.Judge(new RouteRequest("2", "t", "a"), Unsure);
        Assert.Equal((Route.Local, RouteReason.Confident), (sure.Route, sure.Reason));
        Assert.Equal((Route.Frontier, RouteReason.Uncertain), (unsure.Route, unsure.Reason));
        Assert.True(sure.PCorrect >= sure.Threshold && unsure.PCorrect < unsure.Threshold);
        Assert.Equal((12, Sure), (sure.Calibration, sure.Features));
        // Another task: nothing is known of it.
        Assert.Equal((Route.Frontier, RouteReason.Uncalibrated, 0L), Shape(router.Judge(new RouteRequest("3", "other", "a"), Sure)));
        router.Update(Fitted() with { Task = Calibration.AnyTask, Id = 13 });
        Assert.Equal((Route.Local, RouteReason.Confident, 13L), Shape(router.Judge(new RouteRequest("3", "other", "a"), Sure)));
    }

    [Fact]
    public void What_is_likely_wrong_goes_up_whatever_the_target_lets_through()
    {
        // A mean of 90 % wrong answers would be in order.
        Calibration lax = Fitted() with { TargetRisk = 0.9 };
        lax = lax with { Whole = lax.Whole with { Threshold = 0.0001 } };
        Router all = new(new RouterOptions { MaxEscalation = null, TargetRisk = 0.95, EscalateBelow = 0 });
        Router careful = new(new RouterOptions { MaxEscalation = null, TargetRisk = 0.95 });
        all.Update(lax);
        careful.Update(lax);
        Assert.Equal(Route.Local, all.Judge(new RouteRequest("1", "t", "a"), Unsure).Route);
        RouteDecision decision = careful.Judge(new RouteRequest("1", "t", "a"), Unsure);
        Assert.Equal((Route.Frontier, RouteReason.Uncertain, 0.5), (decision.Route, decision.Reason, decision.Threshold));
        Assert.Equal(Route.Local, careful.Judge(new RouteRequest("2", "t", "a"), Sure).Route);
    }

    [Fact]
    public void Another_adapters_probabilities_are_not_held_against_a_new_ones()
    {
        Router router = new(new RouterOptions { MaxEscalation = 0.2, BudgetWindow = 50 });
        router.Update(Fitted());
        for (int i = 0; i < 1000; i++)
        {
            router.Judge(new RouteRequest($"old {i}", "t", "a"), Unsure);
        }
        // The new one is surer of everything; its least sure answers are the least sure of its own.
        router.Update(Fitted() with { Adapter = "b" });
        RoutingFeatures middling = Sure with { MeanLogProb = -0.4f, MinLogProb = -1.5f, FirstTokenMargin = 0.7f, MeanEntropy = 0.5f };
        int up = 0;
        for (int i = 0; i < 500; i++)
        {
            RoutingFeatures features = i % 10 == 0 ? Unsure with { MeanLogProb = -1.5f, MinLogProb = -5f } : Sure;
            up += i >= 100 && i % 10 == 0 && router.Judge(new RouteRequest($"new {i}", "t", "b"), features).Route == Route.Frontier ? 1 : 0;
            if (i % 10 != 0)
            {
                router.Judge(new RouteRequest($"new {i}", "t", "b"), middling);
            }
        }
        Assert.True(up >= 30, $"{up} of 40 of the new adapter's least sure answers went up.");
    }

    [Fact]
    public void A_task_whose_target_is_stricter_than_the_calibrations_is_not_judged_by_it()
    {
        Router router = new(new RouterOptions { MaxEscalation = null, TaskTargetRisk = new Dictionary<string, double> { ["t"] = 0.01 } });
        router.Update(Fitted() with { Id = 12 });
        RouteDecision decision = router.Judge(new RouteRequest("1", "t", "a"), Sure);
        Assert.Equal((Route.Frontier, RouteReason.Uncalibrated, 12L), Shape(decision));
        Assert.NotNull(decision.PCorrect);
        Assert.Null(decision.Threshold);
    }

    [Fact]
    public void A_new_adapter_is_judged_with_caution_by_the_one_before_until_it_has_its_own()
    {
        Router router = new(new RouterOptions { MaxEscalation = null });
        Calibration old = Fitted() with { Id = 1 };
        router.Update(old);
        RouteDecision decision = router.Judge(new RouteRequest("1", "t", "b"), Sure);
        Assert.Equal(1, decision.Calibration);
        Assert.Equal(old.Whole.CautiousThreshold, decision.Threshold);
        Assert.True(old.Whole.CautiousThreshold > old.Whole.Threshold);
        Assert.Equal("a", router.CalibrationFor("t", "b", false)!.Adapter);

        // One without a threshold is no successor yet.
        router.Update(new Calibrator(new CalibrationOptions()).Fit([.. new SimulatedTraffic(1).Take(400, 2), .. new SimulatedTraffic(2).Take(5, 2, adapter: "b")], "b")[0] with { Id = 2 });
        Assert.Equal(1, router.Judge(new RouteRequest("2", "t", "b"), Sure).Calibration);
        router.Update(new Calibrator(new CalibrationOptions()).Fit(new SimulatedTraffic(3).Take(400, 2, adapter: "b"), "b")[0] with { Id = 3 });
        Assert.Equal(3, router.Judge(new RouteRequest("3", "t", "b"), Sure).Calibration);
        // And the old one is still there for requests that began under it.
        Assert.Equal(1, router.Judge(new RouteRequest("4", "t", "a"), Sure).Calibration);
    }

    [Fact]
    public void While_uncalibrated_the_default_route_holds_and_the_budget_is_spread_out()
    {
        Router local = new(new RouterOptions { Uncalibrated = Route.Local });
        Assert.Equal((Route.Local, RouteReason.Uncalibrated, 0L), Shape(local.Judge(new RouteRequest("1", "t", "a"), Sure)));
        Router budget = new(new RouterOptions { MaxEscalation = 0.1 });
        RouteDecision[] decisions = [.. Enumerable.Range(0, 5000).Select(i => budget.Judge(new RouteRequest($"{i}", "t", "a"), Sure))];
        Assert.All(decisions, static d => Assert.Equal(d.Route == Route.Frontier ? RouteReason.Uncalibrated : RouteReason.OverBudget, d.Reason));
        Assert.All(decisions.Chunk(500), static part => Assert.InRange(part.Count(static d => d.Route == Route.Frontier), 20, 80));
    }

    [Fact]
    public void A_task_s_share_holds_beside_the_router_s()
    {
        Router router = new(new RouterOptions { MaxEscalation = 0.5, BudgetWindow = 100, TaskMaxEscalation = new Dictionary<string, double> { ["dear"] = 0.1 } });
        bool[] dear = [.. Enumerable.Range(0, 2000).Select(i => router.Judge(new RouteRequest($"d{i}", "dear", "a"), Sure).Route == Route.Frontier)];
        bool[] other = [.. Enumerable.Range(0, 2000).Select(i => router.Judge(new RouteRequest($"o{i}", "other", "a"), Sure).Route == Route.Frontier)];
        for (int i = 0; i + 100 <= dear.Length; i++)
        {
            Assert.InRange(dear.Skip(i).Take(100).Count(static up => up), 0, 10);
        }
        Assert.InRange(dear.Count(static up => up), 120, 200);
        Assert.InRange(other.Count(static up => up), 800, 1000);
        Assert.Throws<ArgumentException>(static () => new Router(new RouterOptions { TaskMaxEscalation = new Dictionary<string, double> { ["x"] = 2 } }));
    }

    [Fact]
    public void What_goes_up_unjudged_is_a_random_sample_and_counts_as_audits()
    {
        Router router = new(new RouterOptions { MaxEscalation = 0.1, AuditShare = 0.02 });
        (bool Sure, RouteDecision Decision)[] decisions =
        [
            .. Enumerable.Range(0, 20_000).Select(i => (Sure: i % 2 == 0, router.Judge(new RouteRequest($"{i}", "t", "a"), i % 2 == 0 ? Sure : Sure with { MeanLogProb = -5 }))),
        ];
        double probability = 1 - (0.98 * 0.9);
        Assert.All(decisions, d => Assert.Equal(probability, d.Decision.AuditProbability, 12));
        Assert.All(decisions.Where(static d => d.Decision.Route == Route.Frontier), static d => Assert.True(d.Decision.Audited));
        // As many as that probability says (three standard deviations), and of both kinds alike: the answer has no say in it.
        double deviation = Math.Sqrt(10_000 * probability * (1 - probability));
        Assert.All((bool[])[true, false], sure => Assert.InRange(decisions.Count(d => d.Sure == sure && d.Decision.Audited), (10_000 * probability) - (3 * deviation), (10_000 * probability) + (3 * deviation)));
        Router local = new(new RouterOptions { Uncalibrated = Route.Local, AuditShare = 0.02 });
        Assert.Equal(0.02, local.Judge(new RouteRequest("1", "t", "a"), Sure).AuditProbability);
    }

    [Theory]
    [InlineData(0.1, 1000)]
    [InlineData(0.07, 100)]
    [InlineData(0.29, 100)]
    [InlineData(0.0, 50)]
    [InlineData(1.0, 50)]
    public void No_window_of_requests_sends_more_up_than_its_share(double share, int window)
    {
        Router router = new(new RouterOptions { MaxEscalation = share, BudgetWindow = window });
        router.Update(Fitted());
        Random random = new(3);
        int most = (int)Math.Round(share * window, 6);
        // Quiet, then a storm of hard requests, then the local model fails altogether.
        List<int> up = [];
        for (int i = 0; i < 6 * window; i++)
        {
            RouteRequest request = new($"{i}", "t", "a");
            bool hard = i / window is 1 or 2 || random.Next(4) == 0;
            RouteDecision decision = i / window >= 4 ? router.Failed(request) : router.Judge(request, hard ? Unsure : Sure);
            up.Add(decision.Route == Route.Frontier ? 1 : 0);
            Assert.Equal(decision.Route == Route.Local && decision.Reason != RouteReason.Confident, decision.Reason == RouteReason.OverBudget);
        }
        int running = up.Take(window).Sum();
        int largest = running;
        for (int i = window; i < up.Count; i++)
        {
            running += up[i] - up[i - window];
            largest = Math.Max(largest, running);
        }
        Assert.Equal(most, largest);
    }

    [Fact]
    public void Budget_is_spent_on_the_least_sure()
    {
        Router router = new(new RouterOptions { TargetRisk = null, MaxEscalation = 0.2 });
        router.Update(Fitted());
        SimulatedTraffic traffic = new(30);
        List<(RouteDecision Decision, bool Correct)> all = [.. traffic.Take(6000, 1).Select(s => (router.Judge(new RouteRequest(s.RequestId, "t", "a"), s.Features), s.Correct))];
        List<(RouteDecision Decision, bool Correct)> later = all[2000..];
        double share = later.Average(static x => x.Decision.Route == Route.Frontier ? 1.0 : 0);
        Assert.InRange(share, 0.17, 0.2);
        double line = later.Select(static x => x.Decision.PCorrect!.Value).Order().ElementAt(800);
        Assert.True(later.Where(static x => x.Decision.Route == Route.Frontier).All(x => x.Decision.PCorrect < line + 0.08));
        Assert.True(later.All(static x => x.Decision.PCorrect < x.Decision.Threshold == (x.Decision.Route == Route.Frontier) || x.Decision.Reason == RouteReason.OverBudget));
        // Fewer wrong answers stay than if as many were sent up at random.
        double wrong = later.Average(static x => !x.Correct ? 1.0 : 0);
        Assert.True(later.Average(static x => !x.Correct && x.Decision.Route == Route.Local ? 1.0 : 0) < 0.75 * wrong * (1 - share));
    }

    [Fact]
    public void A_keys_own_share_holds_for_what_it_asks_for_too()
    {
        Router router = new(new RouterOptions { MaxEscalation = null, BudgetWindow = 100 });
        router.Update(Fitted());
        int Up(Func<int, RouteRequest> make) => Enumerable.Range(0, 1000).Count(i => router.Judge(make(i), Unsure).Route == Route.Frontier);
        Assert.InRange(Up(static i => new RouteRequest($"{i}", "t", "a", RoutePreference.Frontier, "greedy", KeyMaxEscalation: 0.05)), 50, 50);
        Assert.InRange(Up(static i => new RouteRequest($"{i}", "t", "a", RoutePreference.Auto, "usual", KeyMaxEscalation: 0.05)), 30, 50);
        Assert.Equal(0, Up(static i => new RouteRequest($"{i}", "t", "a", RoutePreference.Auto, "none", KeyMaxEscalation: double.NaN)));
        Assert.Equal(1000, Up(static i => new RouteRequest($"{i}", "t", "a", RoutePreference.Auto, "free")));
    }

    [Fact]
    public void Many_threads_at_once_keep_to_the_window()
    {
        Router router = new(new RouterOptions { MaxEscalation = 0.25, BudgetWindow = 200 });
        Calibration calibration = Fitted();
        router.Update(calibration);
        ConcurrentBag<int> ups = [];
        Parallel.For(0, 4, thread =>
        {
            int up = 0;
            for (int i = 0; i < 5000; i++)
            {
                if (i % 500 == 0)
                {
                    router.Update(calibration with { Id = i });
                }
                up += router.Judge(new RouteRequest($"{thread}-{i}", "t", "a", KeyId: "k", KeyMaxEscalation: 0.3), Unsure).Route == Route.Frontier ? 1 : 0;
            }
            ups.Add(up);
        });
        Assert.InRange(ups.Sum(), 4000, 5000);
        Assert.InRange(router.RecentEscalation!.Value, 0, 0.25);
    }

    [Fact]
    public void A_decision_allocates_only_itself()
    {
        Router router = new(new RouterOptions());
        router.Update(Fitted());
        RouteRequest request = new("0123456789abcdef01234567", "t", "a", KeyId: "k", KeyMaxEscalation: 0.1);
        for (int i = 0; i < 200; i++)
        {
            router.Judge(request, Sure);
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        _ = router.Annotate(router.Judge(request, Sure), request, Sure);
        long two = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.InRange(two, 1, 2 * 160);
    }

    [Theory]
    [InlineData("target-risk")]
    [InlineData("max-escalation")]
    [InlineData("budget-window")]
    [InlineData("audit")]
    [InlineData("task 'x'")]
    [InlineData("Neither 'target-risk'")]
    public void Options_name_the_setting_that_is_wrong(string expected)
    {
        RouterOptions options = expected switch
        {
            "target-risk" => new RouterOptions { TargetRisk = double.NaN },
            "max-escalation" => new RouterOptions { MaxEscalation = 1.1 },
            "budget-window" => new RouterOptions { BudgetWindow = 0 },
            "audit" => new RouterOptions { AuditShare = -0.1 },
            "task 'x'" => new RouterOptions { TaskTargetRisk = new Dictionary<string, double> { ["x"] = 1 } },
            _ => new RouterOptions { TargetRisk = null, MaxEscalation = null },
        };
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => new Router(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Audits_are_the_share_they_should_be_and_can_be_drawn_again()
    {
        AuditSampler sampler = new(5);
        string[] ids = [.. Enumerable.Range(0, 100_000).Select(static i => $"{i:x24}")];
        string[] small = [.. ids.Where(id => sampler.IsAudited(id, 0.02))];
        // Four standard deviations of a binomial count.
        Assert.InRange(small.Length, 2000 - 177, 2000 + 177);
        Assert.Equal(small, ids.Where(id => new AuditSampler(5).IsAudited(id, 0.02)));
        Assert.All(small, id => Assert.True(sampler.IsAudited(id, 0.05)));
        Assert.InRange(small.Count(id => new AuditSampler(6).IsAudited(id, 0.02)), 10, 80);
        Assert.DoesNotContain(ids, id => sampler.IsAudited(id, 0));
        Assert.True(sampler.IsAudited(new string('x', 10_000), 1) && sampler.IsAudited("", 1));

        Router router = new(new RouterOptions { Seed = 5, AuditShare = 0.02, Uncalibrated = Route.Local });
        Assert.Equal(small, ids.Where(id => router.Judge(new RouteRequest(id, "t", "a"), Sure).Audited));
        router.AuditShare = 0.5;
        Assert.Equal(0.5, router.Judge(new RouteRequest("x", "t", "a"), Sure).AuditProbability);
        Assert.Throws<ArgumentOutOfRangeException>(() => router.AuditShare = double.NaN);
    }

    private static (Route, RouteReason, long) Shape(RouteDecision decision) => (decision.Route, decision.Reason, decision.Calibration);

    private static Calibration Fitted() => new Calibrator(new CalibrationOptions()).Fit(new SimulatedTraffic(1).Take(400, 2), "a")[0];
}
