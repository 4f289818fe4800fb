using ContinualNative.Core.Evaluation;

namespace ContinualNative.Tests.Evaluation;

/// <summary>Rollback, canary, and the comparison of rates that both use.</summary>
public sealed class RolloutTests
{
    private static readonly RollbackState PairsOnly = new() { PairedShare = 1 };

    [Theory]
    [InlineData(0.035, 0.035)]
    [InlineData(0.25, 0.25)]
    public void Rollback_alarms_falsely_in_at_most_five_of_a_hundred_watches(double wins, double losses)
    {
        Random random = new(1);
        const int runs = 1000;
        int alarms = Enumerable.Range(0, runs).Count(_ => Watch(random, wins, losses).Alarm);
        Assert.InRange(alarms, 5, runs * 0.05 + 21);
    }

    [Fact]
    public void Rollback_finds_a_drop_of_five_points_in_two_hundred_requests_more_often_than_not()
    {
        Random random = new(2);
        RollbackTest[] watches = [.. Enumerable.Range(0, 400).Select(_ => Watch(random, 0.01, 0.06))];
        Assert.All(watches.Where(static w => w.Alarm), static w => Assert.Contains($"{w.State.Losses} wrong", w.Reason, StringComparison.Ordinal));
        Assert.InRange(watches.Count(static w => w.Alarm && w.Pairs <= 200), 400 * 0.6, 400);
        Assert.InRange(watches.Count(static w => w.Alarm), 400 * 0.93, 400);
    }

    [Fact]
    public void Threshold_of_a_window_is_exact()
    {
        // Of so few flips only a run of losses can cross; of five the chance is 1/32, of four 1/16.
        RollbackTest test = new(PairsOnly with { Window = 5 });
        for (int i = 0; i < 4; i++)
        {
            Assert.False(test.AddPair(oldRight: true, newRight: false));
        }
        Assert.True(test.AddPair(oldRight: true, newRight: false));
        // The longer the watch, the higher, up to what holds for ever.
        Assert.True(Threshold(5) < Threshold(50));
        Assert.True(Threshold(50) <= Threshold(500));
        Assert.InRange(Threshold(500), 8, 20);
        Assert.Equal(20, Threshold(100_000), 9);

        static double Threshold(int window) => new RollbackTest(PairsOnly with { Window = window }).PairedThreshold;
    }

    [Fact]
    public void What_is_hard_for_both_champions_is_no_alarm()
    {
        RollbackTest test = new(PairsOnly);
        while (!test.IsOver)
        {
            test.AddPair(oldRight: false, newRight: false);
        }
        Assert.False(test.Alarm);
        Assert.Equal(500, test.Pairs);
    }

    [Fact]
    public void Outcomes_alone_find_a_drop_and_a_larger_one_sooner()
    {
        RollbackState state = new() { ReferenceGood = 930, ReferenceCount = 1000, Window = 2000, PairedShare = 0 };
        int median10 = Median(0.83), median33 = Median(0.6);
        Assert.InRange(median10, 20, 150);
        Assert.InRange(median33, 3, 20);

        int Median(double good)
        {
            Random random = new(3);
            List<int> delays = [];
            for (int run = 0; run < 41; run++)
            {
                RollbackTest test = new(state);
                while (!test.IsOver)
                {
                    test.AddOutcome(random.NextDouble() < good);
                }
                Assert.True(test.Alarm);
                Assert.Contains("1000", test.Reason, StringComparison.Ordinal);
                delays.Add(test.Outcomes);
            }
            delays.Sort();
            return delays[20];
        }
    }

    [Fact]
    public void A_stored_watch_goes_on_where_it_was()
    {
        Random random = new(4);
        RollbackTest whole = new(new RollbackState { ReferenceGood = 90, ReferenceCount = 100 }), parts = whole;
        for (int i = 0; i < 60 && !whole.Alarm; i++)
        {
            parts = new RollbackTest(parts.State);
            bool old = random.NextDouble() < 0.95, now = random.NextDouble() < 0.8;
            whole.AddPair(old, now);
            whole.AddOutcome(now);
            parts.AddPair(old, now);
            parts.AddOutcome(now);
            Assert.Equal(whole.State, parts.State);
        }
        Assert.True(whole.Alarm);
        RollbackState after = whole.State;
        // An alarm stays, whatever comes.
        Assert.True(new RollbackTest(after).AddOutcome(good: true));
        Assert.Equal(after, whole.State);
    }

    [Fact]
    public void A_watch_that_cannot_be_is_refused()
    {
        Assert.Throws<ArgumentException>(static () => new RollbackTest(new RollbackState { ReferenceGood = 2, ReferenceCount = 1 }));
        Assert.Throws<ArgumentException>(static () => new RollbackTest(new RollbackState { Alpha = 0 }));
        Assert.Throws<ArgumentException>(static () => new CanaryTest(new CanaryState { CandidateBad = -1 }));
    }

    [Theory]
    [InlineData(0.93, 0.93, 0, 0.07)]
    [InlineData(0.93, 0.7, 0.9, 1)]
    public void Canary_stops_a_disaster_and_lets_an_equal_pass(double champion, double candidate, double least, double most)
    {
        Random random = new(5);
        const int runs = 150;
        int stopped = 0;
        for (int run = 0; run < runs; run++)
        {
            CanaryTest test = new(new CanaryState { MinimumRequests = 200 });
            while (test.Decision == GateDecision.Undecided)
            {
                bool mine = random.Next(10) == 0;
                test.AddOutcome(mine, random.NextDouble() < (mine ? candidate : champion));
                if (mine)
                {
                    test.AddRequest();
                }
            }
            Assert.Equal(test.Decision == GateDecision.Reject, test.Reason.Length > 0);
            stopped += test.Decision == GateDecision.Reject ? 1 : 0;
        }
        Assert.InRange(stopped / (double)runs, least, most);
    }

    [Fact]
    public void A_decided_canary_stays_as_it_is()
    {
        CanaryTest test = new(new CanaryState { MinimumRequests = 2 });
        Assert.Equal(GateDecision.Undecided, test.AddRequest());
        Assert.Equal(GateDecision.Pass, test.AddRequest());
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(GateDecision.Pass, test.AddOutcome(candidate: true, good: false));
        }
        Assert.Equal(2, new CanaryTest(test.State).State.Requests);
    }

    [Fact]
    public void Rates_are_compared_as_by_the_integrals()
    {
        // One failure of one against an empty record: ∫ E[p shifted] dπ ÷ ∫ p dπ, the denominator being ½ under Jeffreys' prior, by the midpoint rule of another size.
        double sum = 0;
        foreach (double shift in (double[])[0.3, 0.6, 1, 1.6, 2.5])
        {
            const int n = 20_000;
            for (int k = 0; k < n; k++)
            {
                double p = Math.Pow(Math.Sin(Math.PI * (k + 0.5) / (2 * n)), 2);
                double odds = p / (1 - p) * Math.Exp(shift);
                sum += odds / (1 + odds) / n / 5;
            }
        }
        Assert.Equal(sum / 0.5, RateComparison.Evidence(0, 0, 1, 0), 5);
        Assert.Equal(1, RateComparison.Evidence(50, 950, 0, 0), 9);
        Assert.True(RateComparison.Evidence(70, 930, 24, 176) > RateComparison.Evidence(70, 930, 14, 186));
        Assert.True(RateComparison.Evidence(700, 9300, 24, 176) > RateComparison.Evidence(7, 93, 24, 176));
        Assert.True(double.IsFinite(RateComparison.Evidence(0, 1_000_000, 1_000_000, 0)));
    }

    private static RollbackTest Watch(Random random, double wins, double losses)
    {
        RollbackTest test = new(PairsOnly);
        while (!test.IsOver)
        {
            double flip = PairedTestTests.Draw(random, wins, losses);
            test.AddPair(oldRight: flip <= 0, newRight: flip >= 0);
        }
        return test;
    }
}
