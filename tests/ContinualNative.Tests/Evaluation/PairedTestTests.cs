using ContinualNative.Core.Evaluation;

namespace ContinualNative.Tests.Evaluation;

public sealed class PairedTestTests
{
    [Fact]
    public void Six_wins_without_a_loss_are_enough_and_five_are_not()
    {
        PairedTest test = new();
        test.Add(1, 5);
        Assert.True(test.Evidence < 20, $"{test.Evidence}");
        test.Add(0, 100);
        test.Add(1);
        Assert.InRange(test.Evidence, 20, 64);
        Assert.Equal((106, 6, 0), (test.Count, test.Wins, test.Losses));
        Assert.Equal(6 / 106.0, test.Gain, 12);
    }

    [Fact]
    public void Wealth_is_the_mean_over_the_bets()
    {
        PairedTest test = new();
        test.Add(1, 3);
        test.Add(-1, 2);
        double expected = 0;
        for (int i = 2; i <= 8; i++)
        {
            expected += 0.85 / 7 * Math.Pow(1 + i / 10.0, 3) * Math.Pow(1 - i / 10.0, 2);
        }
        // The whole stake on a win is lost.
        Assert.Equal(expected, test.Evidence, 12);
    }

    [Fact]
    public void Candidate_and_champion_exchanged_exchange_the_evidence()
    {
        PairedTest one = new(), other = new();
        foreach (double d in (double[])[1, -0.25, 0.5, 0, 0.75, -1, 1])
        {
            one.Add(d);
            other.Add(-d);
        }
        Assert.Equal(one.Evidence, other.EvidenceAgainst, 12);
        Assert.Equal(one.EvidenceAgainst, other.Evidence, 12);
        Assert.NotEqual(one.Evidence, one.EvidenceAgainst, 3);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void One_more_pair_adds_nothing_on_average_at_the_edge_of_the_null_hypothesis(double margin)
    {
        // E[d] = −margin with d of 1, 0 and −1.
        const double win = 0.2;
        double loss = win + margin;
        double mean = 0, against = 0;
        foreach ((double d, double p) in (ReadOnlySpan<(double, double)>)[(1, win), (0, 1 - win - loss), (-1, loss)])
        {
            PairedTest test = new(margin);
            test.Add(1, 3);
            test.Add(-1, 2);
            test.Add(d);
            mean += p * test.Evidence;
            against += p * test.EvidenceAgainst;
        }
        PairedTest before = new(margin);
        before.Add(1, 3);
        before.Add(-1, 2);
        Assert.Equal(before.Evidence, mean, 10);
        Assert.Equal(before.EvidenceAgainst, against, 10);
    }

    [Fact]
    public void Looked_at_after_every_pair_it_is_wrong_in_at_most_five_of_a_hundred()
    {
        Random random = new(3);
        const int runs = 2000;
        int crossed = 0;
        for (int run = 0; run < runs; run++)
        {
            PairedTest test = new();
            bool found = false;
            for (int n = 0; n < 400 && !found; n++)
            {
                test.Add(Draw(random, 0.1, 0.1));
                found = test.Evidence >= 20;
            }
            crossed += found ? 1 : 0;
        }
        // 0.05 and three standard deviations; and not a test that never says anything.
        Assert.InRange(crossed, runs * 0.01, runs * 0.065);
    }

    [Fact]
    public void Interval_holds_the_true_gain_at_every_look_and_closes_in_on_it()
    {
        Random random = new(4);
        const int runs = 200;
        int missed = 0;
        double width = 0;
        for (int run = 0; run < runs; run++)
        {
            PairedTest test = new();
            bool held = true;
            for (int n = 1; n <= 400; n++)
            {
                test.Add(Draw(random, 0.08, 0.05));
                if (n % 40 == 0)
                {
                    Proportion interval = test.Interval(0.1);
                    held &= interval.Low <= 0.03 && interval.High >= 0.03;
                }
            }
            missed += held ? 0 : 1;
            Proportion last = test.Interval(0.1);
            width += (last.High - last.Low) / runs;
        }
        Assert.InRange(missed, 0, 0.1 * runs + 12);
        Assert.InRange(width, 0.03, 0.12);
    }

    [Fact]
    public void Interval_excludes_zero_just_when_the_evidence_is_twice_what_the_test_needs()
    {
        PairedTest test = new();
        test.Add(1, 6);
        Assert.True(test.Interval(0.05).Low < 0 && test.Evidence < 40);
        test.Add(1);
        Assert.True(test.Interval(0.05).Low < 0 == test.Evidence < 40, $"{test.Interval(0.05)} {test.Evidence}");
        test.Add(1, 3);
        Assert.True(test.Interval(0.05).Low > 0 && test.Evidence > 40);
    }

    [Fact]
    public void Differences_restore_it()
    {
        Random random = new(5);
        PairedTest test = new(0.02);
        for (int i = 0; i < 300; i++)
        {
            test.Add(random.Next(-4, 6) / 5.0);
        }
        PairedTest restored = new(0.02);
        foreach ((double difference, int times) in test.Differences)
        {
            restored.Add(difference, times);
        }
        Assert.Equal(1, restored.Evidence / test.Evidence, 9);
        Assert.Equal((test.Count, test.Wins, test.Losses), (restored.Count, restored.Wins, restored.Losses));
    }

    [Fact]
    public void Graded_answers_count_by_how_much_they_differ()
    {
        PairedAnswer pair = new("r", "s", Champion: 0.5, Candidate: 0.75, ChampionRight: false, CandidateRight: false);
        PairedTest graded = new(), plain = new();
        for (int i = 0; i < 30; i++)
        {
            graded.Add(pair);
            plain.Add(pair, graded: false);
        }
        Assert.True(graded.Evidence > 20);
        Assert.Equal(1, plain.Evidence, 12);
    }

    [Fact]
    public void Much_evidence_stays_finite()
    {
        PairedTest test = new();
        test.Add(1, 100_000);
        Assert.True(double.IsFinite(test.Evidence) && test.Evidence > 1e200);
        Assert.Equal(0, test.EvidenceAgainst, 12);
    }

    [Theory]
    [InlineData(1.01)]
    [InlineData(double.NaN)]
    public void A_difference_out_of_range_is_refused(double difference) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new PairedTest().Add(difference));

    internal static double Draw(Random random, double wins, double losses)
    {
        double u = random.NextDouble();
        return u < wins ? 1 : u < wins + losses ? -1 : 0;
    }
}
