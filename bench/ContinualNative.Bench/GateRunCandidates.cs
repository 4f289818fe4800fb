using ContinualNative.Core.Evaluation;

namespace ContinualNative.Bench;

/// <summary>Candidates that are no better than the champion, and candidates that are.</summary>
internal static class GateRunCandidates
{
    private static readonly int[] Looks = [100, 200, 400, 800];

    public static IEnumerable<GateTable> Tables(int runs, int seed)
    {
        yield return False(runs, seed);
        yield return Power(runs, seed);
        yield return WholeGate(runs, seed);
    }

    private static GateTable False(int runs, int seed)
    {
        GateTable table = new($"### False promotions, {runs} null candidates each, looked at after every request\n\n\"Test\": the evidence reached 1/α = 20 within so many fresh pairs. \"Gate\": its verdict was Pass at any of the 400 or 800 looks.",
            "null candidates", "flips", "test, 400", "test, 800", "gate, 400", "gate, 800");
        (string Name, Func<Random, PairedAnswer> Draw)[] kinds =
        [
            ("same model, other seed of decoding", Decoding),
            ("recorded pairs resampled, sides by lot", Resampled(seed)),
            ("1 % wins, 1 % losses", Flips(0.01, 0.01)),
            ("3.5 % wins, 3.5 % losses", Flips(0.035, 0.035)),
            ("20 % wins, 20 % losses", Flips(0.2, 0.2)),
            ("graded scores, same distribution", Graded),
        ];
        foreach ((string name, Func<Random, PairedAnswer> draw) in kinds)
        {
            int test400 = 0, test800 = 0, gate400 = 0, gate800 = 0;
            long flips = 0;
            for (int run = 0; run < runs; run++)
            {
                PairedAnswer[] pairs = Draw(draw, seed, run, 800);
                flips += pairs.Count(static p => p.Candidate != p.Champion);
                int first = FirstLook(pairs);
                test400 += first <= 400 ? 1 : 0;
                test800 += first <= 800 ? 1 : 0;
                int? passed = PassedAt(new GateOptions { MostFresh = 800 }, pairs, 800, GateInputOf);
                gate400 += passed <= 400 ? 1 : 0;
                gate800 += passed is not null ? 1 : 0;
            }
            table.Add(name, $"{flips / 8.0 / runs:0.0} %", GateRunNumbers.Share(test400, runs), GateRunNumbers.Share(test800, runs), GateRunNumbers.Share(gate400, runs), GateRunNumbers.Share(gate800, runs));
        }
        return table;
    }

    private static GateTable Power(int runs, int seed)
    {
        GateTable table = new($"### Power of the paired test: the share of {runs} better candidates shown to be so by then, looked at after every request\n\nIn brackets the one-look exact sign test at 5 %, which may not be looked at before.",
            "wins − losses", "gain, points", "100", "200", "400", "800");
        foreach ((double wins, double losses) in ((double, double)[])[(0.04, 0.01), (0.05, 0.02), (0.08, 0.05), (0.08, 0.02), (0.15, 0.05), (0.25, 0.05)])
        {
            int[] found = new int[Looks.Length], once = new int[Looks.Length];
            for (int run = 0; run < runs; run++)
            {
                PairedAnswer[] pairs = Draw(Flips(wins, losses), seed, run, Looks[^1]);
                int first = FirstLook(pairs);
                for (int i = 0; i < Looks.Length; i++)
                {
                    found[i] += first <= Looks[i] ? 1 : 0;
                    once[i] += IsSignificant(pairs.Take(Looks[i])) ? 1 : 0;
                }
            }
            table.Add([$"{wins:0.##%} − {losses:0.##%}", $"{100 * (wins - losses):0.#}", .. Looks.Select((_, i) => $"{100.0 * found[i] / runs:0} % ({100.0 * once[i] / runs:0})")]);
        }
        return table;
    }

    private static GateTable WholeGate(int runs, int seed)
    {
        GateTable table = new($"### The whole gate on {runs} better candidates, with guards on data where they are as good as the champion\n\nTwo golden suites of 50 and six old slices of 40, with 2 % wins and 2 % losses each; looked at after every 10 fresh pairs, at most 400 or 800.",
            "fresh", "passed of 400", "passed of 800", "rejected by golden", "backward", "flips");
        foreach ((double wins, double losses) in ((double, double)[])[(0.05, 0.02), (0.08, 0.02), (0.15, 0.05), (0.25, 0.05)])
        {
            int passed400 = 0, passed800 = 0;
            Dictionary<string, int> against = new() { ["golden"] = 0, ["backward"] = 0, ["flips"] = 0 };
            for (int run = 0; run < runs; run++)
            {
                PairedAnswer[] pairs = Draw(Flips(wins, losses), seed, run, 800);
                PairedAnswer[] rest = Draw(Flips(0.02, 0.02), seed + 7919, run, 340);
                GateInput Input(IReadOnlyList<PairedAnswer> fresh) => new()
                {
                    Fresh = fresh,
                    Golden = new Dictionary<string, IReadOnlyList<PairedAnswer>> { ["one"] = rest[..50], ["two"] = rest[50..100] },
                    Old = [.. rest[100..].Select(static (p, i) => p with { Slice = $"old {i / 40}" })],
                };
                GateVerdict? last = null;
                int? at = PassedAt(new GateOptions { MostFresh = 800 }, pairs, 800, Input, 10, v => last = v);
                passed400 += at <= 400 ? 1 : 0;
                passed800 += at is not null ? 1 : 0;
                foreach (string name in last!.Checks.Where(static c => c.Decision == GateDecision.Reject).Select(static c => c.Name).Distinct().Where(against.ContainsKey))
                {
                    against[name]++;
                }
            }
            table.Add($"{wins:0.##%} − {losses:0.##%}", GateRunNumbers.Share(passed400, runs), GateRunNumbers.Share(passed800, runs),
                GateRunNumbers.Share(against["golden"], runs), GateRunNumbers.Share(against["backward"], runs), GateRunNumbers.Share(against["flips"], runs));
        }
        return table;
    }

    private static GateInput GateInputOf(IReadOnlyList<PairedAnswer> fresh) => new() { Fresh = fresh };

    // Pairs after which the evidence was first enough; beyond all for never.
    private static int FirstLook(PairedAnswer[] pairs)
    {
        PairedTest test = new();
        for (int n = 0; n < pairs.Length; n++)
        {
            test.Add(pairs[n]);
            if (test.Evidence >= 20)
            {
                return n + 1;
            }
        }
        return int.MaxValue;
    }

    private static int? PassedAt(GateOptions options, PairedAnswer[] pairs, int most, Func<IReadOnlyList<PairedAnswer>, GateInput> input, int every = 1, Action<GateVerdict>? seen = null)
    {
        for (int n = every; n <= most; n += every)
        {
            GateVerdict verdict = Gate.Judge(options, input(new ArraySegment<PairedAnswer>(pairs, 0, n)));
            seen?.Invoke(verdict);
            if (verdict.Decision != GateDecision.Undecided)
            {
                return verdict.Decision == GateDecision.Pass ? n : null;
            }
        }
        return null;
    }

    // P(X ≥ wins) for fair flips, summed from the far end.
    private static bool IsSignificant(IEnumerable<PairedAnswer> pairs)
    {
        int wins = 0, n = 0;
        foreach (PairedAnswer pair in pairs)
        {
            wins += pair.Candidate > pair.Champion ? 1 : 0;
            n += pair.Candidate != pair.Champion ? 1 : 0;
        }
        double term = Math.Pow(0.5, n), tail = 0;
        for (int k = n; k >= wins; k--)
        {
            tail += term;
            term *= (double)k / (n - k + 1);
        }
        return tail <= 0.05;
    }

    private static PairedAnswer[] Draw(Func<Random, PairedAnswer> draw, int seed, int run, int count)
    {
        Random random = new(GateRunNumbers.Seed(seed, run, 0));
        return [.. Enumerable.Range(0, count).Select(i => draw(random) with { RequestId = $"r{i}" })];
    }

    private static PairedAnswer Make(bool champion, bool candidate) => new("", "fresh", champion ? 1 : 0, candidate ? 1 : 0, champion, candidate);

    // Most requests are easy or hard, a few in between: right with probability u^¼ of a uniform u, 0.8 on average.
    private static PairedAnswer Decoding(Random random)
    {
        double p = Math.Sqrt(Math.Sqrt(random.NextDouble()));
        return Make(random.NextDouble() < p, random.NextDouble() < p);
    }

    private static Func<Random, PairedAnswer> Resampled(int seed)
    {
        Random record = new(seed);
        PairedAnswer[] pool = [.. Enumerable.Range(0, 300).Select(_ => Decoding(record))];
        return random =>
        {
            PairedAnswer pair = pool[random.Next(pool.Length)];
            return random.Next(2) == 0 ? pair : Make(pair.CandidateRight, pair.ChampionRight);
        };
    }

    private static Func<Random, PairedAnswer> Flips(double wins, double losses) => random => GateRunNumbers.Flip(random, wins, losses) switch
    {
        1 => Make(champion: false, candidate: true),
        -1 => Make(champion: true, candidate: false),
        _ => random.NextDouble() < 0.85 ? Make(champion: true, candidate: true) : Make(champion: false, candidate: false),
    };

    private static PairedAnswer Graded(Random random)
    {
        double difficulty = random.NextDouble();
        double champion = Score(), candidate = Score();
        return new PairedAnswer("", "fresh", champion, candidate, champion >= 0.8, candidate >= 0.8);

        double Score() => Math.Round(Math.Clamp(1.2 - difficulty / 2 + 0.15 * GateRunNumbers.Normal(random), 0, 1), 2);
    }
}
