using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Sampling;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Draws against the exact distribution, computed here in double precision by sorting the whole row. Seeds are fixed: a failure repeats.</summary>
public sealed class SamplingTests
{
    private const int Draws = 12_000;

    public static TheoryData<string, SamplingOptions> Cases => new()
    {
        { "plain", new SamplingOptions() },
        { "cold", new SamplingOptions { Temperature = 0.5f } },
        { "hot", new SamplingOptions { Temperature = 2f } },
        { "top-k 1", new SamplingOptions { TopK = 1 } },
        { "top-k 7", new SamplingOptions { TopK = 7 } },
        { "top-k above the vocabulary", new SamplingOptions { TopK = 5000 } },
        { "top-p 0.1", new SamplingOptions { TopP = 0.1f } },
        { "top-p 0.8", new SamplingOptions { TopP = 0.8f } },
        { "top-p 0.999", new SamplingOptions { TopP = 0.999f } },
        { "min-p 0.02", new SamplingOptions { MinP = 0.02f } },
        { "min-p 0.5", new SamplingOptions { MinP = 0.5f } },
        { "min-p 1", new SamplingOptions { MinP = 1f } },
        { "all three", new SamplingOptions { Temperature = 1.5f, TopK = 40, TopP = 0.9f, MinP = 0.05f } },
        { "presence", new SamplingOptions { PresencePenalty = 1.5f } },
        { "frequency", new SamplingOptions { FrequencyPenalty = 0.7f } },
        { "negative frequency", new SamplingOptions { FrequencyPenalty = -0.3f } },
        { "repeat", new SamplingOptions { RepeatPenalty = 1.4f } },
        { "penalties and limits", new SamplingOptions { Temperature = 0.8f, RepeatPenalty = 1.1f, PresencePenalty = 0.5f, FrequencyPenalty = 0.2f, TopP = 0.95f, TopK = 60 } },
        { "bias", new SamplingOptions { LogitBias = new Dictionary<int, float> { [3] = 4f, [4] = -3f, [5] = -100f, [90] = 6f } } },
        { "bias and penalties", new SamplingOptions { Temperature = 1.2f, PresencePenalty = 1f, LogitBias = new Dictionary<int, float> { [3] = 4f, [7] = -100f, [200] = 5f } } },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Draws_follow_the_exact_distribution(string name, SamplingOptions options)
    {
        foreach (int vocabulary in (int[])[301, 2051])
        {
            float[] logits = Row(vocabulary, seed: 17);
            logits[vocabulary / 2] = float.NegativeInfinity;
            int[] said = [.. Enumerable.Range(0, 12).Select(static i => i % 3 == 0 ? 3 : i)];
            double[] exact = Exact(logits, options, said);
            double logSum = LogSum(logits);
            SamplerScratch scratch = new();
            using TokenSampler sampler = new(options with { Seed = 1234 }, null, 100);
            foreach (int token in said)
            {
                sampler.Accept(token);
            }

            int[] counts = new int[vocabulary];
            float[] row = new float[vocabulary];
            for (int i = 0; i < Draws; i++)
            {
                logits.CopyTo(row, 0);
                int token = sampler.Next(row, LogitStatistics.Of(row), scratch, out float logProb);
                counts[token]++;
                if (counts[token] == 1)
                {
                    // Under the bare model, whatever was done to the row since.
                    Assert.Equal(logits[token] - logSum, logProb, 1e-4);
                }
            }

            double statistic = 0;
            int cells = 0;
            double restExpected = 0;
            int restSeen = 0;
            for (int token = 0; token < vocabulary; token++)
            {
                double expected = exact[token] * Draws;
                if (exact[token] == 0)
                {
                    Assert.True(counts[token] == 0, $"{name}, {vocabulary}: token {token} was drawn, but can't be.");
                }
                else if (expected < 8)
                {
                    restExpected += expected;
                    restSeen += counts[token];
                }
                else
                {
                    statistic += (counts[token] - expected) * (counts[token] - expected) / expected;
                    cells++;
                }
            }
            if (restExpected >= 8)
            {
                statistic += (restSeen - restExpected) * (restSeen - restExpected) / restExpected;
                cells++;
            }
            double freedom = cells - 1;
            // The chi-square distribution by Wilson and Hilferty's cube root (PNAS 17, 1931): 4.5 standard deviations, one in 300,000.
            double z = freedom < 1 ? 0 : (Math.Cbrt(statistic / freedom) - (1 - (2 / (9 * freedom)))) / Math.Sqrt(2 / (9 * freedom));
            Assert.True(z < 4.5, $"{name}, {vocabulary} tokens: chi-square {statistic:F1} with {freedom} degrees of freedom, z = {z:F2}");
        }
    }

    [Fact]
    public void Zero_temperature_takes_the_likeliest_and_penalties_count()
    {
        float[] logits = Row(1000, 3);
        int best = Array.IndexOf(logits, logits.Max());
        SamplerScratch scratch = new();
        using TokenSampler greedy = new(new SamplingOptions { Temperature = 0 }, null, 10);
        Assert.Equal(best, greedy.Next([.. logits], LogitStatistics.Of(logits), scratch, out _));
        using TokenSampler penalized = new(new SamplingOptions { Temperature = 0, FrequencyPenalty = 2 }, null, 200);
        HashSet<int> seen = [];
        for (int i = 0; i < 100; i++)
        {
            int token = penalized.Next([.. logits], LogitStatistics.Of(logits), scratch, out _);
            seen.Add(token);
            penalized.Accept(token);
        }
        Assert.True(seen.Count > 20);
    }

    [Fact]
    public void A_flat_row_of_a_large_vocabulary_keeps_to_its_nucleus()
    {
        // 151,936 tokens as in Qwen, all about as likely: the nucleus is half of them.
        float[] logits = Row(151_936, 8, spread: 0.01f);
        SamplingOptions options = new() { TopP = 0.5f, Seed = 2 };
        double[] exact = Exact(logits, options, []);
        Assert.InRange(exact.Count(static p => p > 0), 70_000, 80_000);
        SamplerScratch scratch = new();
        using TokenSampler sampler = new(options, null, 1);
        float edge = logits.Order().ElementAt(logits.Length / 2);
        HashSet<int> seen = [];
        for (int i = 0; i < 40; i++)
        {
            int token = sampler.Next([.. logits], LogitStatistics.Of(logits), scratch, out _);
            seen.Add(token);
            // On the edge, the order of two tokens whose weights differ by less than a float can tell is free.
            Assert.True(exact[token] > 0 || logits[token] > edge - 1e-4);
        }
        Assert.True(seen.Count > 35);
    }

    [Fact]
    public void Nothing_possible_gives_no_token()
    {
        float[] logits = new float[50];
        Array.Fill(logits, float.NegativeInfinity);
        SamplerScratch scratch = new();
        foreach (SamplingOptions options in (SamplingOptions[])[new(), new() { Temperature = 0 }, new() { TopK = 3 }, new() { TopP = 0.5f, MinP = 0.1f }])
        {
            using TokenSampler sampler = new(options, null, 1);
            Assert.Equal(-1, sampler.Next([.. logits], LogitStatistics.Of(logits), scratch, out _));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(255)]
    [InlineData(257)]
    [InlineData(2047)]
    [InlineData(2048)]
    [InlineData(2049)]
    [InlineData(32_003)]
    [InlineData(151_939)]
    public void Statistics_equal_a_double_precision_oracle(int size)
    {
        foreach (float spread in (float[])[0f, 0.1f, 3f, 30f, 1000f])
        {
            for (int holes = 0; holes < 3; holes++)
            {
                float[] row = Row(size, (ulong)(size + holes), spread);
                for (int i = 0; i < size && holes > 0; i++)
                {
                    // Every third, or all but a few: a grammar leaves little.
                    if (holes == 1 ? i % 3 == 1 : i % 997 != 0)
                    {
                        row[i] = float.NegativeInfinity;
                    }
                }
                LogitStatistics statistics = LogitStatistics.Of(row);
                double max = row.Max();
                double sum = row.Sum(x => Math.Exp(x - max));
                double entropy = -row.Where(static x => !float.IsNegativeInfinity(x)).Sum(x => Math.Exp(x - max) / sum * (x - max - Math.Log(sum)));
                Assert.Equal(Array.IndexOf(row, row.Max()), statistics.Argmax);
                Assert.Equal(max, statistics.Max);
                // Measured at most 6.1e-5 at |logit| up to 4000, where a float's step is 2.4e-4, and 9.5e-6 below 100.
                Assert.Equal(max + Math.Log(sum), statistics.LogSumExp, Math.Max(2e-5, Math.Abs(max) * 1.3e-7));
                Assert.Equal(entropy, statistics.Entropy, 1e-4);
            }
        }
    }

    [Fact]
    public void Statistics_of_an_impossible_row_say_so()
    {
        LogitStatistics statistics = LogitStatistics.Of([float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity]);
        Assert.True(float.IsNegativeInfinity(statistics.LogSumExp));
        Assert.Equal(0, statistics.Entropy);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(257)]
    [InlineData(32_003)]
    public void The_likeliest_tokens_are_those_of_a_sorted_row(int size)
    {
        float[] row = Row(size, (ulong)size);
        TokenLogProb[] top = new TokenLogProb[Math.Min(20, size)];
        new SamplerScratch().Top(row, LogitStatistics.Of(row), top);
        double logSum = LogSum(row);
        int[] expected = [.. Enumerable.Range(0, size).OrderByDescending(i => row[i]).ThenBy(static i => i).Take(top.Length)];
        Assert.Equal(expected, top.Select(static t => t.Token));
        Assert.All(top, t => Assert.Equal(row[t.Token] - logSum, t.LogProb, 2e-5));
    }

    private static double LogSum(float[] row)
    {
        double max = row.Max();
        return max + Math.Log(row.Sum(x => Math.Exp(x - max)));
    }

    private static float[] Row(int size, ulong seed, float spread = 3f)
    {
        Random random = new((int)seed);
        float[] row = new float[size];
        for (int i = 0; i < size; i++)
        {
            // Box and Muller; the sum makes −0 a 0.
            row[i] = 0f + (float)(spread * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return row;
    }

    /// <summary>Bias, penalties, temperature, top-k, min-p, top-p, by their definitions.</summary>
    private static double[] Exact(float[] row, SamplingOptions options, int[] said)
    {
        double[] logits = [.. row.Select(static x => (double)x)];
        foreach ((int token, float bias) in options.LogitBias)
        {
            logits[token] = bias <= -100 ? double.NegativeInfinity : logits[token] + bias;
        }
        foreach (IGrouping<int, int> token in said.GroupBy(static t => t))
        {
            double x = logits[token.Key];
            x = x > 0 ? x / options.RepeatPenalty : x * options.RepeatPenalty;
            logits[token.Key] = x - options.PresencePenalty - (options.FrequencyPenalty * token.Count());
        }
        double max = logits.Max();
        List<(int Token, double Weight)> left = [.. logits.Select((x, i) => (i, Math.Exp((x - max) / options.Temperature))).Where(static p => p.Item2 > 0).OrderByDescending(static p => p.Item2)];
        if (options.TopK > 0)
        {
            left = [.. left.Take(options.TopK)];
        }
        left = [.. left.Where(p => p.Weight >= options.MinP * (1 - 1e-9))];
        if (options.TopP < 1)
        {
            double target = options.TopP * left.Sum(static p => p.Weight);
            double running = 0;
            int kept = 0;
            while (kept < left.Count && running < target)
            {
                running += left[kept++].Weight;
            }
            left = left[..kept];
        }
        double total = left.Sum(static p => p.Weight);
        double[] exact = new double[row.Length];
        foreach ((int token, double weight) in left)
        {
            exact[token] = weight / total;
        }
        return exact;
    }
}
