using ContinualNative.Core.Evaluation;

namespace ContinualNative.Bench;

/// <summary>Rollback and canary.</summary>
internal static class GateRunRollout
{
    public static IEnumerable<GateTable> PairTables(int runs, int seed)
    {
        yield return Pairs(runs, seed);
    }

    public static IEnumerable<GateTable> RateTables(int runs, int seed)
    {
        yield return Rates(runs, seed);
        yield return Canary(runs, seed);
    }

    private static GateTable Pairs(int runs, int seed)
    {
        GateTable table = new($"### Rollback on pairs: a watch of 500 requests that the old champion answers too, {runs} watches each\n\nAll of α = 0.05 on pairs, or 0.8 of it beside outcomes. Delay: requests until the alarm, quantiles over all watches.",
            "new − old", "α on pairs", "alarms", "within 200", "10 %", "median", "90 %");
        foreach ((double wins, double losses) in ((double, double)[])[(0.01, 0.01), (0.035, 0.035), (0.1, 0.1), (0.25, 0.25), (0.005, 0.055), (0.01, 0.06), (0.02, 0.07), (0.04, 0.09), (0.01, 0.11), (0.03, 0.13)])
        {
            foreach (double share in (double[])[1, 0.8])
            {
                List<int> delays = [];
                for (int run = 0; run < runs; run++)
                {
                    Random random = new(GateRunNumbers.Seed(seed, run, 1));
                    RollbackTest test = new(new RollbackState { PairedShare = share });
                    while (!test.IsOver)
                    {
                        int flip = GateRunNumbers.Flip(random, wins, losses);
                        test.AddPair(oldRight: flip < 0, newRight: flip > 0);
                    }
                    if (test.Alarm)
                    {
                        delays.Add(test.Pairs);
                    }
                }
                AddDelays(table, [$"+{100 * wins:0.#} −{100 * losses:0.#} points", $"{0.05 * share:0.00}"], delays, runs);
            }
        }
        return table;
    }

    private static GateTable Rates(int runs, int seed)
    {
        GateTable table = new($"### Rollback on outcomes alone: a watch of 2000, against a record drawn anew each time, {runs} watches each", "good before, now", "record", "α on rates", "alarms", "within 200", "10 %", "median", "90 %");
        foreach ((double before, double now, int record) in ((double, double, int)[])
            [(0.93, 0.93, 200), (0.93, 0.93, 1000), (0.93, 0.93, 5000), (0.99, 0.99, 1000), (0.7, 0.7, 1000), (0.93, 0.95, 1000), (0.93, 0.88, 500), (0.93, 0.88, 1000), (0.93, 0.88, 5000), (0.93, 0.83, 1000), (0.93, 0.6, 1000)])
        {
            foreach (double share in (double[])(record == 1000 && before == 0.93 ? [0, 0.8] : [0]))
            {
                List<int> delays = [];
                for (int run = 0; run < runs; run++)
                {
                    Random random = new(GateRunNumbers.Seed(seed, run, 2));
                    int good = Enumerable.Range(0, record).Count(_ => random.NextDouble() < before);
                    RollbackTest test = new(new RollbackState { ReferenceGood = good, ReferenceCount = record, Window = 2000, PairedShare = share });
                    while (!test.IsOver)
                    {
                        test.AddOutcome(random.NextDouble() < now);
                    }
                    if (test.Alarm)
                    {
                        delays.Add(test.Outcomes);
                    }
                }
                AddDelays(table, [$"{100 * before:0} %, {100 * now:0} %", $"{record}", $"{0.05 * (1 - share):0.00}"], delays, runs);
            }
        }
        return table;
    }

    private static GateTable Canary(int runs, int seed)
    {
        GateTable table = new($"### Canary: stopped before 200 or 1000 of its own requests, every one with an outcome, {runs} each", "good champion, candidate", "share", "stopped of 200", "of 1000", "median of 1000");
        foreach ((double champion, double candidate, double share) in ((double, double, double)[])
            [(0.93, 0.93, 0.1), (0.93, 0.93, 0.5), (0.99, 0.99, 0.1), (0.7, 0.7, 0.1), (0.93, 0.88, 0.1), (0.93, 0.83, 0.1), (0.93, 0.7, 0.1), (0.93, 0.4, 0.1)])
        {
            List<int> stops = [];
            for (int run = 0; run < runs; run++)
            {
                Random random = new(GateRunNumbers.Seed(seed, run, 3));
                CanaryTest test = new(new CanaryState { MinimumRequests = 1000 });
                while (test.Decision == GateDecision.Undecided)
                {
                    bool mine = random.NextDouble() < share;
                    test.AddOutcome(mine, random.NextDouble() < (mine ? candidate : champion));
                    if (mine)
                    {
                        test.AddRequest();
                    }
                }
                if (test.Decision == GateDecision.Reject)
                {
                    stops.Add(test.State.Requests);
                }
            }
            table.Add($"{100 * champion:0} %, {100 * candidate:0} %", $"{share}", GateRunNumbers.Share(stops.Count(static s => s <= 200), runs), GateRunNumbers.Share(stops.Count, runs),
                GateRunNumbers.Quantile(stops, runs, 0.5));
        }
        return table;
    }

    private static void AddDelays(GateTable table, string[] first, List<int> delays, int runs) => table.Add([
        .. first, GateRunNumbers.Share(delays.Count, runs), $"{100.0 * delays.Count(static d => d <= 200) / runs:0} %",
        GateRunNumbers.Quantile(delays, runs, 0.1), GateRunNumbers.Quantile(delays, runs, 0.5), GateRunNumbers.Quantile(delays, runs, 0.9)]);
}
