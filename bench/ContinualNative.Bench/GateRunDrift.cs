using ContinualNative.Core.Cycles.Drift;

namespace ContinualNative.Bench;

/// <summary>Drift detectors: false alarms and delays.</summary>
internal static class GateRunDrift
{
    private const int Dimension = 256;

    public static IEnumerable<GateTable> ConfidenceTables(int runs, int seed)
    {
        yield return PageHinkleyFalse(runs, seed);
        yield return PageHinkleyDelays(runs, seed);
    }

    /// <summary>A tenth of the runs: each takes longer than one of confidences.</summary>
    public static IEnumerable<GateTable> EmbeddingTables(int runs, int seed)
    {
        yield return EmbeddingFalse(Math.Max(runs / 10, 1), seed);
        yield return EmbeddingDelays(Math.Max(runs / 10, 1), seed);
    }

    private static GateTable PageHinkleyFalse(int runs, int seed)
    {
        GateTable table = new($"### Page-Hinkley without a change: {runs} streams of 5000 watched confidences\n\nλ by rank for one false alarm in 10,000; the last column is the same δ and λ with (x − mean) ÷ deviation of the reference.",
            "confidences", "reference", "δ", "λ", "false alarms per 1000", "streams with one", "by mean and deviation, per 1000");
        foreach ((string name, Func<Random, double, double> draw) in Shapes)
        {
            foreach ((int reference, double slack) in ((int, double)[])[(500, 0.25), (500, 0.5), (200, 0.25), (2000, 0.25)])
            {
                int alarms = 0, streams = 0, plain = 0;
                // Its scores take longer to compute than a stream.
                PageHinkley test = new(reference, 10_000, slack);
                for (int run = 0; run < runs; run++)
                {
                    Random random = new(GateRunNumbers.Seed(seed, run, 4));
                    test.Reset();
                    double[] values = [.. Enumerable.Range(0, reference + 5000).Select(_ => draw(random, 0))];
                    (int Watched, int Alarms) seen = default;
                    foreach (double value in values)
                    {
                        seen.Alarms += test.Add(value) ? 1 : 0;
                    }
                    alarms += seen.Alarms;
                    streams += seen.Alarms > 0 ? 1 : 0;
                    plain += PlainAlarms(values, reference, slack, test.Threshold);
                }
                table.Add(name, $"{reference}", $"{slack}", $"{test.Threshold:0.0}", $"{alarms / 5.0 / runs:0.000}", GateRunNumbers.Share(streams, runs), $"{plain / 5.0 / runs:0.000}");
            }
        }
        return table;
    }

    private static GateTable PageHinkleyDelays(int runs, int seed)
    {
        GateTable table = new($"### Page-Hinkley after a fall of the confidences, reference 500, λ for 10,000: delay in requests, {runs} streams", "fall, deviations of the logit", "δ", "10 %", "median", "90 %");
        foreach (double fall in (double[])[0.25, 0.5, 1, 2])
        {
            foreach (double slack in (double[])[0.25, 0.5])
            {
                List<int> delays = [];
                PageHinkley test = new(500, 10_000, slack);
                for (int run = 0; run < runs; run++)
                {
                    Random random = new(GateRunNumbers.Seed(seed, run, 5));
                    test.Reset();
                    for (int i = 0; i < 700; i++)
                    {
                        test.Add(Logistic(random, 0));
                    }
                    // After a false alarm a new reference is under way: such a stream does not count as found.
                    bool ready = test.IsWatching;
                    int n = 1;
                    while (n <= 5000 && !test.Add(Logistic(random, fall)))
                    {
                        n++;
                    }
                    if (ready && n <= 5000)
                    {
                        delays.Add(n);
                    }
                }
                table.Add($"{fall}", $"{slack}", GateRunNumbers.Quantile(delays, runs, 0.1), GateRunNumbers.Quantile(delays, runs, 0.5), GateRunNumbers.Quantile(delays, runs, 0.9));
            }
        }
        return table;
    }

    private static GateTable EmbeddingFalse(int runs, int seed)
    {
        GateTable table = new($"### Embedding drift without a change: {runs} streams of 5000 watched embeddings of 256 numbers\n\n30 kinds of request with frequencies ∝ 1/rank; the threshold is for one false alarm in 10,000.", "reference", "recent", "false alarms per 1000", "streams with one");
        foreach ((int reference, int recent) in ((int, int)[])[(512, 128), (256, 64), (1024, 128)])
        {
            int alarms = 0, streams = 0;
            for (int run = 0; run < runs; run++)
            {
                GateRunPrompts prompts = new(GateRunNumbers.Seed(seed, run, 6));
                EmbeddingDrift test = new(Dimension, reference, recent);
                int before = alarms;
                for (int i = 0; i < reference + 5000; i++)
                {
                    alarms += test.Add(prompts.Next(0)) ? 1 : 0;
                }
                streams += alarms > before ? 1 : 0;
            }
            table.Add($"{reference}", $"{recent}", $"{alarms / 5.0 / runs:0.000}", GateRunNumbers.Share(streams, runs));
        }
        return table;
    }

    private static GateTable EmbeddingDelays(int runs, int seed)
    {
        GateTable table = new($"### Embedding drift after new kinds of request took a share of the traffic: delay in requests, reference 512, recent 128, {runs} streams", "share of new kinds", "found within 2000", "10 %", "median", "90 %");
        foreach (double share in (double[])[0.05, 0.1, 0.2, 0.5])
        {
            List<int> delays = [];
            for (int run = 0; run < runs; run++)
            {
                GateRunPrompts prompts = new(GateRunNumbers.Seed(seed, run, 7));
                EmbeddingDrift test = new(Dimension);
                for (int i = 0; i < 768; i++)
                {
                    test.Add(prompts.Next(0));
                }
                bool ready = test.IsWatching;
                int n = 1;
                while (n <= 2000 && !test.Add(prompts.Next(share)))
                {
                    n++;
                }
                if (ready && n <= 2000)
                {
                    delays.Add(n);
                }
            }
            table.Add($"{share}", GateRunNumbers.Share(delays.Count, runs), GateRunNumbers.Quantile(delays, runs, 0.1), GateRunNumbers.Quantile(delays, runs, 0.5), GateRunNumbers.Quantile(delays, runs, 0.9));
        }
        return table;
    }

    private static readonly (string Name, Func<Random, double, double> Draw)[] Shapes =
    [
        ("normal", static (random, fall) => GateRunNumbers.Normal(random) - fall),
        ("crowded below 1", Logistic),
        ("nine of ten equal", static (random, _) => random.NextDouble() < 0.9 ? 1 : random.NextDouble()),
    ];

    private static double Logistic(Random random, double fall) => 1 / (1 + Math.Exp(-3 - 1.5 * (GateRunNumbers.Normal(random) - fall)));

    private static int PlainAlarms(double[] values, int reference, double slack, double threshold)
    {
        int alarms = 0, from = 0;
        double mean = 0, deviation = 1, sum = 0;
        for (int i = 0; i < values.Length; i++)
        {
            if (i - from < reference)
            {
                if (i - from == reference - 1)
                {
                    ArraySegment<double> first = new(values, from, reference);
                    mean = first.Average();
                    deviation = Math.Sqrt(first.Average(x => (x - mean) * (x - mean)));
                }
                continue;
            }
            sum = Math.Max(0, sum - (values[i] - mean) / deviation - slack);
            if (sum > threshold)
            {
                (alarms, from, sum) = (alarms + 1, i + 1, 0);
            }
        }
        return alarms;
    }
}
