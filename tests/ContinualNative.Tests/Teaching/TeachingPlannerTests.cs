using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Teaching;

namespace ContinualNative.Tests.Teaching;

public sealed class TeachingPlannerTests
{
    private static readonly DateTimeOffset Midnight = new(2026, 11, 26, 0, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset Evening = Midnight.AddHours(23.9);

    [Fact]
    public void A_thousand_random_days_stay_within_budget_with_audits_first()
    {
        for (int day = 0; day < 1000; day++)
        {
            Random random = new(day);
            TeachingOptions options = new()
            {
                DailyBudget = new Money(random.Next(0, 100_000)),
                DailyLabels = random.Next(0, 60),
                LabelsPerCluster = random.Next(1, 4),
                HeadStart = random.NextDouble() * 0.2,
                Strategy = random.Next(5) == 0 ? TeachingStrategy.Random : TeachingStrategy.Informed,
                Seed = (ulong)day,
            };
            TeachingPlanner planner = new(options);
            List<TeachingCandidate> open = [];
            List<TeachingPick> all = [];
            int hours = random.Next(1, 8);
            int sequence = 0;
            for (int hour = 0; hour < hours; hour++)
            {
                open.AddRange(Enumerable.Range(0, random.Next(0, 30)).Select(_ => Random(random, sequence++)));
                DateTimeOffset now = Midnight.AddDays(hour / (double)hours);
                TeachingBudget budget = After(all, now);
                IReadOnlyList<TeachingPick> picks = planner.Plan(open, budget);
                Assert.Equal(picks, planner.Plan(open, budget));

                int audits = picks.TakeWhile(static p => p.Reason == LabelReason.Audit).Count();
                Assert.All(picks.Skip(audits), static p => Assert.False(p.Candidate.Audited));
                // Beyond audits, nothing is planned while one that some day can pay for waits.
                if (picks.Count > audits)
                {
                    Assert.Equal(open.Count(c => c.Audited && c.EstimatedCost <= options.DailyBudget), audits);
                    double over = (hour / (double)hours) + options.HeadStart;
                    Assert.True(Cost(all) + Cost(picks) <= options.DailyBudget.Nanos * Math.Min(1, over), $"day {day} ran ahead of its pace");
                }
                Assert.Equal(picks.Count, picks.Select(static p => p.Candidate.RequestId).Distinct().Count());
                all.AddRange(picks);
                open.RemoveAll(c => picks.Any(p => p.Candidate.RequestId == c.RequestId));
                Assert.True(Cost(all) <= options.DailyBudget.Nanos && all.Count <= options.DailyLabels, $"day {day} is over budget");
            }
            if (options.Strategy == TeachingStrategy.Informed)
            {
                Assert.All(all.Where(static p => !p.Candidate.Audited && p.Candidate.Cluster is not null).GroupBy(static p => p.Candidate.Cluster), group => Assert.True(group.Count() <= options.LabelsPerCluster));
            }
        }
    }

    [Fact]
    public void Audits_take_the_whole_budget_where_they_need_it()
    {
        TeachingPlanner planner = new(new TeachingOptions { DailyBudget = new Money(10), DailyLabels = 100 });
        List<TeachingCandidate> candidates = [.. Enumerable.Range(0, 20).Select(static i => Make(i) with { Audited = i % 2 == 1, Failed = i % 2 == 0, EstimatedCost = new Money(1) })];
        IReadOnlyList<TeachingPick> picks = planner.Plan(candidates, new TeachingBudget { Now = Midnight });
        Assert.Equal([1, 3, 5, 7, 9, 11, 13, 15, 17, 19], picks.Select(static p => (int)p.Candidate.Sequence));
        Assert.All(picks, static p => Assert.Equal(LabelReason.Audit, p.Reason));
    }

    [Fact]
    public void Dear_audits_are_not_passed_over_for_cheap_ones()
    {
        TeachingPlanner planner = new(new TeachingOptions { DailyBudget = new Money(10) });
        TeachingCandidate[] candidates =
        [
            Make(0) with { Audited = true, EstimatedCost = new Money(4) },
            Make(1) with { Audited = true, EstimatedCost = new Money(11) },
            Make(2) with { Audited = true, EstimatedCost = new Money(7) },
            Make(3) with { Audited = true, EstimatedCost = new Money(1) },
            Make(4) with { Failed = true },
        ];
        Assert.Equal([0], Sequences(planner.Plan(candidates, new TeachingBudget { Now = Evening })));
        Assert.Equal([2, 3], Sequences(planner.Plan(candidates[1..4], new TeachingBudget { Now = Midnight })));
    }

    [Fact]
    public void The_morning_leaves_the_evening_its_part_and_what_it_saves_is_not_lost()
    {
        TeachingPlanner planner = new(new TeachingOptions { DailyLabels = 240, DailyBudget = new Money(1_000_000), HeadStart = 1.0 / 24 });
        TeachingCandidate[] many = [.. Enumerable.Range(0, 1000).Select(static i => Make(i) with { PCorrect = 0.5, EstimatedCost = new Money(1) })];
        Assert.Equal(10, planner.Plan(many, new TeachingBudget { Now = Midnight }).Count);
        Assert.Equal(60, planner.Plan(many, new TeachingBudget { Now = Midnight.AddHours(6), Labels = 10, Spent = new Money(10) }).Count);
        Assert.Equal(130, planner.Plan(many, new TeachingBudget { Now = Midnight.AddHours(12) }).Count);
        Assert.Empty(planner.Plan(many, new TeachingBudget { Now = Midnight.AddHours(12), Labels = 130 }));
        Assert.Equal(240, planner.Plan(many, new TeachingBudget { Now = Evening }).Count);
        // Eight in the evening at one place is one in the morning by UTC.
        Assert.Equal(20, planner.Plan(many, new TeachingBudget { Now = new DateTimeOffset(2026, 11, 25, 20, 0, 0, TimeSpan.FromHours(-5)) }).Count);
    }

    [Fact]
    public void A_dear_request_is_saved_for_unless_it_costs_more_than_an_hour()
    {
        TeachingPlanner planner = new(new TeachingOptions { DailyBudget = new Money(2400), HeadStart = 0 });
        TeachingCandidate cheap = Make(0) with { PCorrect = 0.9, EstimatedCost = new Money(10) };
        TeachingCandidate dear = Make(1) with { PCorrect = 0.5, EstimatedCost = new Money(90) };
        TeachingBudget budget = new() { Now = Midnight.AddHours(0.5) };
        Assert.Empty(planner.Plan([cheap, dear], budget));
        Assert.Equal([1, 0], Sequences(planner.Plan([cheap, dear], budget with { Now = Midnight.AddHours(1.01) })));
        Assert.Equal([0], Sequences(planner.Plan([cheap, dear with { EstimatedCost = new Money(110) }], budget)));
        Assert.Equal([1, 0], Sequences(planner.Plan([cheap, dear with { EstimatedCost = new Money(110) }], budget with { Now = Midnight.AddHours(1.21) })));
    }

    [Fact]
    public void Reasons_share_what_is_left_by_their_weights_through_many_small_plans()
    {
        TeachingPlanner planner = new(new TeachingOptions { FailureShare = 0.5, UncertainShare = 0.3, NovelShare = 0.2, HeadStart = 1, DailyLabels = 100 });
        List<TeachingCandidate> open = [.. Enumerable.Range(0, 600).Select(static i => (i % 3) switch
        {
            0 => Make(i) with { Failed = true, PCorrect = 0.999 },
            1 => Make(i) with { PCorrect = 0.5 },
            _ => Make(i) with { PCorrect = 0.999, Novelty = 1 },
        })];
        List<TeachingPick> all = [];
        for (int plan = 1; plan <= 100; plan++)
        {
            TeachingPlanner small = new(new TeachingOptions { FailureShare = 0.5, UncertainShare = 0.3, NovelShare = 0.2, HeadStart = 1, DailyLabels = plan });
            IReadOnlyList<TeachingPick> picks = small.Plan(open, After(all, Midnight));
            Assert.Single(picks);
            all.AddRange(picks);
            open.Remove(picks[0].Candidate);
        }
        Assert.Equal((50, 30, 20), (Count(all, LabelReason.Failure), Count(all, LabelReason.Uncertain), Count(all, LabelReason.Novel)));
        // Without failures, the others take their place.
        IReadOnlyList<TeachingPick> rest = planner.Plan([.. open.Where(static c => !c.Failed)], new TeachingBudget { Now = Midnight });
        Assert.Equal((0, 60, 40), (Count(rest, LabelReason.Failure), Count(rest, LabelReason.Uncertain), Count(rest, LabelReason.Novel)));
    }

    [Fact]
    public void Within_a_reason_the_most_informative_come_first()
    {
        TeachingPlanner planner = new(new TeachingOptions { HeadStart = 1 });
        TeachingBudget budget = new() { Now = Midnight, AllLabelsByCluster = new Dictionary<long, int> { [1] = 3, [2] = 20 } };
        Assert.Equal([2, 4, 1, 3], Sequences(planner.Plan([Make(0) with { PCorrect = 0.99 }, Make(1) with { PCorrect = 0.2 }, Make(2) with { PCorrect = 0.5 }, Make(3) with { PCorrect = 0.9 }, Make(4) with { PCorrect = 0.6 }, Make(5) with { PCorrect = 0.01 }], budget)));
        Assert.Equal([1, 0], Sequences(planner.Plan([Make(0) with { Failed = true, PCorrect = 0.001 }, Make(1) with { Failed = true, PCorrect = 0.999 }], budget)));
        Assert.Equal([2, 1, 3], Sequences(planner.Plan(
        [
            Make(0) with { PCorrect = 1, Novelty = 0.1 },
            Make(1) with { PCorrect = 1, Novelty = 0.8 },
            Make(2) with { PCorrect = 1, Novelty = 1, Cluster = 5 },
            Make(3) with { PCorrect = 1, Novelty = 1.5, Cluster = 1 },
            Make(4) with { PCorrect = 1, Novelty = 2, Cluster = 2 },
        ], budget)));
        // Nothing is known of it: as uncertain as can be.
        Assert.Equal(LabelReason.Uncertain, Assert.Single(planner.Plan([Make(0) with { PCorrect = null }], budget)).Reason);
    }

    [Fact]
    public void Tasks_share_by_traffic_and_each_has_its_floor()
    {
        TeachingCandidate[] candidates = [.. Enumerable.Range(0, 3000).Select(static i => Make(i) with { PCorrect = 0.5, Task = (i % 3) switch { 0 => "big", 1 => "mid", _ => "small" } })];
        Dictionary<string, long> traffic = new() { ["big"] = 900, ["mid"] = 100, ["small"] = 0 };
        IReadOnlyList<TeachingPick> picks = Plan(0.3);
        Assert.Equal([("big", 73), ("mid", 17), ("small", 10)], ByTask(picks));
        Assert.Equal([("big", 90), ("mid", 10)], ByTask(Plan(0)));
        Assert.Equal([34, 33, 33], ByTask(Plan(1)).Select(static t => t.Item2));
        // Without traffic: as the candidates come.
        IReadOnlyList<TeachingPick> unknown = new TeachingPlanner(new TeachingOptions { DailyLabels = 90, HeadStart = 1, TaskFloor = 0 }).Plan(candidates, new TeachingBudget { Now = Midnight });
        Assert.Equal([30, 30, 30], ByTask(unknown).Select(static t => t.Item2));

        IReadOnlyList<TeachingPick> Plan(double floor) =>
            new TeachingPlanner(new TeachingOptions { DailyLabels = 100, HeadStart = 1, TaskFloor = floor }).Plan(candidates, new TeachingBudget { Now = Midnight, Traffic = traffic });

        static (string, int)[] ByTask(IReadOnlyList<TeachingPick> picks) => [.. picks.GroupBy(static p => p.Candidate.Task).OrderBy(static g => g.Key, StringComparer.Ordinal).Select(static g => (g.Key, g.Count()))];
    }

    [Fact]
    public void A_cluster_is_asked_about_a_few_times_a_day_only()
    {
        TeachingPlanner planner = new(new TeachingOptions { HeadStart = 1, LabelsPerCluster = 3 });
        TeachingCandidate[] candidates = [.. Enumerable.Range(0, 50).Select(static i => Make(i) with { Failed = i % 2 == 0, PCorrect = 0.5, Cluster = i % 5 })];
        IReadOnlyList<TeachingPick> picks = planner.Plan(candidates, new TeachingBudget { Now = Midnight, LabelsByCluster = new Dictionary<long, int> { [0] = 3, [1] = 1 } });
        Assert.Equal([(1, 2), (2, 3), (3, 3), (4, 3)], picks.GroupBy(static p => p.Candidate.Cluster!.Value).OrderBy(static g => g.Key).Select(static g => ((int)g.Key, g.Count())));
    }

    [Fact]
    public void Random_teaching_depends_on_the_seed_alone()
    {
        TeachingCandidate[] candidates = [.. Enumerable.Range(0, 400).Select(static i => Make(i) with { PCorrect = i < 200 ? 0.5 : 0.999, Audited = i == 7 })];
        IReadOnlyList<TeachingPick> one = Plan(1, candidates);
        Assert.Equal(LabelReason.Audit, one[0].Reason);
        Assert.All(one.Skip(1), static p => Assert.Equal(LabelReason.Random, p.Reason));
        Assert.Equal(100, one.Count);
        Assert.InRange(one.Count(static p => p.Candidate.Sequence < 200), 30, 70);
        Assert.Equal(Sequences(one), Sequences(Plan(1, [.. candidates.Reverse()])));
        Assert.NotEqual(Sequences(one), Sequences(Plan(2, candidates)));

        static IReadOnlyList<TeachingPick> Plan(ulong seed, TeachingCandidate[] candidates) =>
            new TeachingPlanner(new TeachingOptions { Strategy = TeachingStrategy.Random, Seed = seed, DailyLabels = 100, HeadStart = 1 }).Plan(candidates, new TeachingBudget { Now = Midnight });
    }

    [Fact]
    public void Options_are_validated_by_name()
    {
        TeachingOptions options = Parse("""{"dailyBudget": 2.5, "daily_labels": 10, "strategy": "random", "seed": 7, "novel-share": 0}""");
        Assert.Equal((Money.FromDollars(2.5m), 10, TeachingStrategy.Random, 7UL, 0.0), (options.DailyBudget, options.DailyLabels, options.Strategy, options.Seed, options.NovelShare));
        options.Validate();
        foreach ((string json, string key) in new[]
        {
            ("""{"daily_budget": -1}""", "daily_budget"), ("""{"daily_labels": 1.5}""", "daily_labels"), ("""{"min_uncertainty": 0.3}""", "min_uncertainty"), ("""{"strategy": "best"}""", "strategy"),
            ("""{"budget": 1}""", "budget"), ("""{"few_labels": 0}""", "few_labels"), ("""{"task_floor": "x"}""", "task_floor"), ("""{"head_start": 2}""", "head_start"),
        })
        {
            Assert.Equal("teaching." + key, Assert.Throws<PolicyOptionException>(() => Parse(json)).Key);
        }
        Assert.Equal("teaching.failure_share", Assert.Throws<PolicyOptionException>(() => new TeachingPlanner(new TeachingOptions { FailureShare = double.NaN })).Key);
        Assert.Equal("teaching.daily_budget", Assert.Throws<PolicyOptionException>(() => new TeachingPlanner(new TeachingOptions { DailyBudget = new Money(-1) })).Key);
        Assert.Throws<ArgumentException>(() => new TeachingPlanner(new TeachingOptions()).Plan([Make(0) with { EstimatedCost = new Money(-1) }], new TeachingBudget { Now = Midnight }));

        static TeachingOptions Parse(string json)
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return TeachingOptions.Parse(document.RootElement);
        }
    }

    [Fact]
    public void A_new_teacher_is_noticed_once_for_each_endpoint()
    {
        TeacherVersions versions = new([("a", "v1"), ("a", "v2")]);
        Assert.Equal(TeacherChange.Known, versions.Observe("a", "v1"));
        Assert.Equal(TeacherChange.New, versions.Observe("a", "v3"));
        Assert.Equal(TeacherChange.Known, versions.Observe("a", "v3"));
        Assert.Equal(TeacherChange.First, versions.Observe("b", "v3"));
        Assert.Equal(TeacherChange.Known, versions.Observe("b", ""));
        Assert.Equal(TeacherChange.New, versions.Observe("b", "v4"));
    }

    [Fact]
    public void Relabelling_takes_golden_first_and_then_the_newest_of_the_holdout()
    {
        TeachingCandidate[] golden = [Make(500), Make(3), Make(77)];
        TeachingCandidate[] recent = [.. Enumerable.Range(0, 400).Select(static i => Make(i))];
        RelabelPlan all = RelabelPlan.Make(golden, recent, 0.1, new Money(10_000), 1000);
        Assert.Equal(0, all.Left);
        Assert.Equal([500, 3, 77], Sequences(all.Picks).Take(3));
        int[] held = [.. Sequences(all.Picks).Skip(3)];
        Assert.Equal(recent.Where(static c => Holdout.IsHoldout(c.RequestId, 0.1)).Select(static c => (int)c.Sequence).Where(static s => s is not (3 or 77)).Reverse(), held);
        Assert.All(all.Picks, static p => Assert.Equal(LabelReason.Relabel, p.Reason));

        // In parts, the same.
        List<TeachingPick> parts = [];
        int left;
        do
        {
            RelabelPlan part = RelabelPlan.Make(golden, recent, 0.1, new Money(10), 7, parts.Select(static p => p.Candidate.RequestId).ToHashSet());
            Assert.Equal(all.Picks.Count - parts.Count - part.Picks.Count, part.Left);
            Assert.InRange(part.Picks.Count, 1, 7);
            parts.AddRange(part.Picks);
            left = part.Left;
        }
        while (left > 0);
        Assert.Equal(Sequences(all.Picks), Sequences(parts));
        Assert.Empty(RelabelPlan.Make(golden, recent, 0.1, Money.Zero, 7).Picks);
    }

    [Fact]
    public void The_holdout_is_stable_even_and_nested()
    {
        string[] ids = [.. Enumerable.Range(0, 20_000).Select(static i => i.ToString("x24"))];
        // Four standard deviations of a binomial.
        Assert.InRange(ids.Count(static id => Holdout.IsHoldout(id, 0.1)), 2000 - 170, 2000 + 170);
        Assert.All(ids.Where(static id => Holdout.IsHoldout(id, 0.1)), static id => Assert.True(Holdout.IsHoldout(id, 0.2)));
        Assert.DoesNotContain(ids, static id => Holdout.IsHoldout(id, 0));
        Assert.All(ids, static id => Assert.True(Holdout.IsHoldout(id, 1)));
        // These belong to the split for good: what was trained on must never move into it.
        Assert.Equal("10111101101010011010010100000000", string.Concat(ids.Take(32).Select(static id => Holdout.IsHoldout(id, 0.5) ? '1' : '0')));
        Assert.Throws<ArgumentOutOfRangeException>(() => Holdout.IsHoldout("a", double.NaN));
    }

    private static TeachingCandidate Make(int sequence) => new() { Sequence = sequence, RequestId = sequence.ToString("x24"), Task = "default", PCorrect = 1, EstimatedCost = new Money(1) };

    private static TeachingCandidate Random(Random random, int sequence) => new()
    {
        Sequence = sequence,
        RequestId = sequence.ToString("x24"),
        Task = $"task{random.Next(5)}",
        PCorrect = random.Next(4) == 0 ? null : random.NextDouble(),
        Novelty = random.Next(4) == 0 ? null : 2 * random.NextDouble(),
        Audited = random.Next(10) == 0,
        Failed = random.Next(5) == 0,
        Cluster = random.Next(3) == 0 ? null : random.Next(6),
        EstimatedCost = new Money(random.Next(20) == 0 ? random.Next(0, 200_000) : random.Next(0, 3000)),
    };

    private static TeachingBudget After(List<TeachingPick> picks, DateTimeOffset now)
    {
        TeachingPick[] chosen = [.. picks.Where(static p => p.Reason != LabelReason.Audit)];
        return new TeachingBudget
        {
            Now = now,
            Spent = new Money(Cost(picks)),
            Labels = picks.Count,
            LabelsByReason = picks.GroupBy(static p => p.Reason).ToDictionary(static g => g.Key, static g => g.Count()),
            LabelsByTask = chosen.GroupBy(static p => p.Candidate.Task).ToDictionary(static g => g.Key, static g => g.Count()),
            LabelsByCluster = chosen.Where(static p => p.Candidate.Cluster is not null).GroupBy(static p => p.Candidate.Cluster!.Value).ToDictionary(static g => g.Key, static g => g.Count()),
        };
    }

    private static long Cost(IEnumerable<TeachingPick> picks) => picks.Sum(static p => p.Candidate.EstimatedCost.Nanos);

    private static int Count(IEnumerable<TeachingPick> picks, LabelReason reason) => picks.Count(p => p.Reason == reason);

    private static int[] Sequences(IEnumerable<TeachingPick> picks) => [.. picks.Select(static p => (int)p.Candidate.Sequence)];
}
