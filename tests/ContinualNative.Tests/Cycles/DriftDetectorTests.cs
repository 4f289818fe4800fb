using ContinualNative.Core.Cycles.Drift;

namespace ContinualNative.Tests.Cycles;

public sealed class DriftDetectorTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Page_Hinkley_alarms_as_seldom_as_was_asked_whatever_the_confidences_look_like(int shape)
    {
        Random random = new(1);
        // A short run length, so that there is something to count.
        PageHinkley test = new(500, 2000);
        int alarms = 0;
        long watched = 0;
        while (watched < 400_000)
        {
            watched += test.IsWatching ? 1 : 0;
            double z = Normal(random);
            alarms += test.Add(shape switch { 0 => z, 1 => 1 / (1 + Math.Exp(-4 - 2 * z)), _ => Math.Min(0.9, z) }) ? 1 : 0;
        }
        // 200 at most were asked for; and it is no dead wire.
        Assert.InRange(alarms, 20, 200);
    }

    [Fact]
    public void Page_Hinkley_finds_a_fall_and_dates_it()
    {
        Random random = new(2);
        PageHinkley test = new();
        List<int> delays = [];
        List<int> off = [];
        for (int run = 0; run < 60; run++)
        {
            test.Reset();
            for (int i = 0; i < 700; i++)
            {
                test.Add(Normal(random));
            }
            if (!test.IsWatching)
            {
                // A false alarm; its reference would hold what is to be found.
                continue;
            }
            int n = 1;
            int since = 0;
            while (!test.Add(Normal(random) - 1))
            {
                since = test.Since;
                n++;
            }
            delays.Add(n);
            off.Add(Math.Abs(since - n));
        }
        delays.Sort();
        off.Sort();
        Assert.InRange(delays.Count, 55, 60);
        Assert.InRange(delays[delays.Count / 2], 10, 35);
        Assert.InRange(off[off.Count / 2], 0, 25);
        Assert.False(test.IsWatching);
    }

    [Fact]
    public void Page_Hinkley_does_not_mind_a_rise()
    {
        Random random = new(3);
        PageHinkley test = new();
        for (int i = 0; i < 5000; i++)
        {
            Assert.False(test.Add(Normal(random) + (i < 500 ? 0 : 2)));
        }
        Assert.True(test.IsWatching);
        Assert.InRange(test.Statistic, 0, 2);
        Assert.Throws<ArgumentException>(() => test.Add(double.NaN));
    }

    [Fact]
    public void A_longer_run_length_takes_a_higher_threshold()
    {
        double[] thresholds = [.. new double[] { 1000, 10_000, 100_000 }.Select(static m => new PageHinkley(500, m).Threshold)];
        Assert.Equal(thresholds.Order(), thresholds);
        Assert.InRange(thresholds[2] - thresholds[1], 4, 8);
    }

    [Fact]
    public void Embeddings_alarm_as_seldom_as_was_asked_without_a_change()
    {
        Random random = new(4);
        float[][] centres = Centres(random, 12);
        EmbeddingDrift test = new(Dimension, 128, 32, 1000);
        int alarms = 0;
        long watched = 0;
        while (watched < 60_000)
        {
            watched += test.IsWatching ? 1 : 0;
            alarms += test.Add(Prompt(random, centres, random.Next(10))) ? 1 : 0;
        }
        // 60 were asked for.
        Assert.InRange(alarms, 10, 100);
    }

    [Theory]
    [InlineData(0.5, 96)]
    [InlineData(0.2, 400)]
    public void Embeddings_of_new_kinds_are_found(double share, int within)
    {
        Random random = new(5);
        float[][] centres = Centres(random, 12);
        EmbeddingDrift test = new(Dimension);
        List<int> delays = [];
        for (int run = 0; run < 15; run++)
        {
            test.Reset();
            for (int i = 0; i < 640; i++)
            {
                test.Add(Prompt(random, centres, random.Next(10)));
            }
            int n = 1;
            while (!test.Add(Prompt(random, centres, random.NextDouble() < share ? 10 + random.Next(2) : random.Next(10))))
            {
                n++;
            }
            delays.Add(n);
        }
        delays.Sort();
        Assert.InRange(delays[7], 1, within);
    }

    [Fact]
    public void Distance_is_that_of_the_means()
    {
        EmbeddingDrift test = new(2, 16, 8, 1000);
        for (int i = 0; i < 16; i++)
        {
            test.Add([i % 2, 1]);
        }
        Assert.True(double.IsNaN(test.Distance) && test.Threshold > 0);
        for (int i = 0; i < 8; i++)
        {
            test.Add([i % 2, 1]);
        }
        Assert.Equal(0, test.Distance, 9);
        bool alarmed = false;
        for (int i = 0; i < 8 && !alarmed; i++)
        {
            alarmed = test.Add([i % 2, 9]);
        }
        Assert.True(alarmed);
        // Two of the last eight, each eight away: the mean moved by two.
        Assert.Equal(4, test.Distance, 9);
        Assert.Throws<ArgumentException>(() => test.Add([1f]));
    }

    [Fact]
    public void Equal_embeddings_change_with_the_first_different_one()
    {
        EmbeddingDrift test = new(3, 16, 8, 1000);
        for (int i = 0; i < 40; i++)
        {
            Assert.False(test.Add([1, 2, 3]));
        }
        Assert.False(test.Add([1, 2, 4]));
        Assert.True(test.Add([1, 2, 3]));
    }

    private const int Dimension = 64;

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static float[][] Centres(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, Dimension).Select(_ => (float)(Normal(random) / 8)).ToArray())];

    private static float[] Prompt(Random random, float[][] centres, int kind) => [.. centres[kind].Select(x => x + (float)(0.05 * (random.NextDouble() - 0.5)))];
}
