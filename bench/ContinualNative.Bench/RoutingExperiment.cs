using ContinualNative.Core.Routing;

namespace ContinualNative.Bench;

/// <summary>All replays of the routing bench, and what is made of them. Equal features and seeds give equal tables, on however many threads.</summary>
internal sealed class RoutingExperiment
{
    private const int Window = 500;
    private const int DriftWindow = 250;

    // Requests that the fixed rule learns its threshold on, and that no steady share or risk counts for any rule.
    private const int Learning = 500;

    private static readonly double[] Targets = [0.01, 0.02, 0.05, 0.10];
    private static readonly double[] Grid = [0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.125];
    private static readonly double[] Audits = [0.02, 0.05];

    private readonly RoutingStream _streams;
    private readonly RoutingReplay _replay;
    private readonly int _seeds;
    private readonly CancellationToken _cancel;
    private readonly RoutingRow[] _known;
    private readonly RoutingRow[] _unknown;
    private readonly List<RoutingTable> _tables = [];
    private readonly Dictionary<string, RoutingFigure> _figures = new(StringComparer.Ordinal);

    public RoutingExperiment(RoutingRow[] rows, int seeds, CancellationToken cancellationToken)
    {
        _known = [.. rows.Where(static r => r.Set == RoutingRow.Exchangeable)];
        _unknown = [.. rows.Where(static r => r.Set == RoutingRow.Drift)];
        _streams = new RoutingStream(_known, _unknown);
        _replay = new RoutingReplay(RoutingNovelty.Of(rows), [.. rows.Where(static r => r.Set == RoutingRow.Learned).Select(static r => r.Text)]);
        _seeds = seeds;
        _cancel = cancellationToken;
    }

    public IReadOnlyList<RoutingTable> Tables => _tables;

    public IReadOnlyDictionary<string, RoutingFigure> Figures => _figures;

    public void Run()
    {
        Data();
        Curves("known", "known intents only", _streams.Exchangeable, maxUp: 0.2);
        Curves("mixed", "half of the requests of unknown intents, from the first", _streams.Mixed, maxUp: 0.6);
        Risk();
        Drift("drift", "from request 3000 to 5500 half of the requests have unknown intents", _streams.Drifting, RoutingStream.Before + RoutingStream.During, maxUp: 0.16);
        Drift("redefined", "from request 3000 on every fifth intent is to be answered otherwise", _streams.Redefined, null, maxUp: 0.24);
    }

    private void Data() => _tables.Add(new RoutingTable(
        "answers",
        "The local model's answers",
        ["set", "utterances", "right", "mean ln p, right answers", "mean ln p, wrong answers", "novelty, mean"],
        [.. new[] { ("known intents", _known), ("unknown intents", _unknown) }.Select(set => new[]
        {
            RoutingCell.Text(set.Item1),
            RoutingCell.Number(set.Item2.Length, 0),
            RoutingCell.Share(set.Item2.Average(static r => r.Correct ? 1.0 : 0)),
            RoutingCell.Number(set.Item2.Where(static r => r.Correct).Select(static r => (double)r.MeanLogProb).DefaultIfEmpty(double.NaN).Average(), 3),
            RoutingCell.Number(set.Item2.Where(static r => !r.Correct).Average(static r => r.MeanLogProb), 3),
            RoutingCell.Number(set.Item2.Average(r => _replay.Novelty(r)), 3),
        })]));

    // The order that the model in force after half of a stream gives the other half, which it has seen nothing of, beside other orders of the same half; and where
    // the router itself goes at several targets.
    private void Curves(string name, string what, Func<int, RoutingRow[]> stream, double maxUp)
    {
        RoutingReplayOptions with = new();
        RoutingRun[][] runs = All($"{name}: models", [with, with with { Novelty = false }, with with { Words = false }], stream);
        string[] methods = ["fitted", "fitted without novelty", "fitted without words", "mean log-probability", "random", "oracle"];
        const int Steps = 50;
        double[][][] curves = [.. methods.Select(_ => new double[_seeds][])];
        CalibrationQuality[][] quality = [.. Enumerable.Range(0, 4).Select(_ => new CalibrationQuality[_seeds])];
        List<double> pooled = [];
        List<bool> pooledCorrect = [];
        for (int seed = 0; seed < _seeds; seed++)
        {
            RoutingRow[] order = stream(seed);
            RoutingRow[] rest = order[((order.Length / 2) + 1)..];
            bool[] correct = [.. rest.Select(static r => r.Correct)];
            double[][] scores =
            [
                Probabilities(runs[0][seed]),
                Probabilities(runs[1][seed]),
                Probabilities(runs[2][seed]),
                [.. rest.Select(RoutingReplay.Raw)],
                new double[rest.Length],
                [.. rest.Select(static r => r.Correct ? 1.0 : 0)],
            ];
            for (int m = 0; m < methods.Length; m++)
            {
                double[] risk = RoutingMetrics.RiskByRoutedUp(scores[m], correct, new Random(seed));
                curves[m][seed] = [.. Enumerable.Range(0, Steps + 1).Select(k => risk[k * rest.Length / Steps])];
                if (m < quality.Length)
                {
                    quality[m][seed] = CalibrationQuality.Of(scores[m], correct)!;
                }
            }
            pooled.AddRange(scores[0]);
            pooledCorrect.AddRange(correct);
        }

        _tables.Add(new RoutingTable(
            $"quality_{name}",
            $"Probabilities on requests to come: {what}",
            ["score", "area under ROC", "Brier", "calibration error", "log loss"],
            [.. quality.Select((q, m) => new[]
            {
                RoutingCell.Text(methods[m]),
                RoutingCell.Number(RoutingMetrics.Mean(q.Select(static x => x.Auc ?? double.NaN)), 4),
                RoutingCell.Number(RoutingMetrics.Mean(q.Select(static x => x.Brier)), 4),
                RoutingCell.Number(RoutingMetrics.Mean(q.Select(static x => x.ExpectedCalibrationError)), 4),
                RoutingCell.Number(RoutingMetrics.Mean(q.Select(static x => x.LogLoss)), 4),
            })]));
        _tables.Add(new RoutingTable(
            $"reliability_{name}",
            $"Reliability of the fitted probability, all orders together: {what}",
            ["tenth of the answers, least sure first", "mean probability", "right"],
            [.. RoutingMetrics.Reliability(pooled, pooledCorrect, 10).Select(static (bin, i) => new[]
            {
                RoutingCell.Number(i + 1, 0), RoutingCell.Share(bin.Probability), RoutingCell.Share(bin.Correct),
            })]));

        RoutingRun[][] online = All($"{name}: targets", [.. Grid.Select(t => with with { TargetRisk = t })], stream);
        (double Share, double Risk)[] points = [.. online.Select(runsOfTarget => (Steady(runsOfTarget, static r => r.Up).Mean, Steady(runsOfTarget, static r => r.Wrong).Mean))];
        double[] shares = [.. Enumerable.Range(0, Steps + 1).Select(static k => (double)k / Steps)];
        double[][] means = [.. curves.Select(c => Enumerable.Range(0, Steps + 1).Select(k => c.Average(s => s[k])).ToArray())];
        _tables.Add(new RoutingTable(
            $"curve_{name}",
            $"Wrong answers sent, of all requests, by the share routed up: {what}",
            ["rule", "0 %", "10 %", "20 %", "30 %", "40 %", "50 %", "60 %", "70 %", "80 %", "90 %", "area"],
            [.. methods.Select((method, m) => (RoutingCell[])
            [
                RoutingCell.Text(method),
                .. Enumerable.Range(0, 10).Select(k => RoutingCell.Share(means[m][k * Steps / 10], 2)),
                RoutingCell.Number(RoutingMetrics.Mean(curves[m].Select(c => RoutingMetrics.Area(shares.Zip(c)))), 4),
            ])]));
        _tables.Add(new RoutingTable(
            $"points_{name}",
            $"The router at several targets, from request {Learning} on, audits of 5 %: {what}",
            ["target risk", "wrong answers sent", "routed up"],
            [.. Grid.Select((t, i) => new[] { RoutingCell.Share(t), RoutingCell.Share(Steady(online[i], static r => r.Wrong)), RoutingCell.Share(Steady(online[i], static r => r.Up)) })]));
        _figures.Add($"routing-curve-{name}", new RoutingFigure
        {
            Title = $"Risk and cost: {what}",
            Across = "share of requests routed up (cost)",
            Up = "share of requests with a wrong answer sent (risk)",
            MaxAcross = 1,
            MaxUp = maxUp,
            TickAcross = 0.1,
            TickUp = maxUp / 5,
            Series =
            [
                Line("random", "#999999", 4, dashed: true),
                Line("fixed threshold on mean log-probability", "#d95f02", 3),
                Line("fitted probability, without novelty", "#66a61e", 1),
                Line("fitted probability, without words", "#a6761d", 2),
                Line("fitted probability", "#1b6ca8", 0),
                new RoutingSeries("the router, by target risk", "#1b6ca8", [.. points.OrderBy(static p => p.Share)], Dots: true, Dashed: true),
                Line("oracle", "#444444", 5, dashed: true),
                new RoutingSeries("always frontier", "#7570b3", [(1, 0)], Dots: true),
            ],
        });

        RoutingSeries Line(string label, string color, int method, bool dashed = false) => new(label, color, [.. shares.Zip(means[method])], Dashed: dashed);
    }

    private void Risk()
    {
        RoutingReplayOptions[] options = [.. Audits.SelectMany(static a => Targets.Select(t => new RoutingReplayOptions { TargetRisk = t, AuditShare = a }))];
        RoutingReplayOptions[] plain = [.. Targets.Select(static t => new RoutingReplayOptions { TargetRisk = t, AuditShare = 0.02, AuditShareWithoutThreshold = null })];
        RoutingReplayOptions[] all = [.. options, .. plain];
        RoutingRun[][] runs = All("risk", all, _streams.Exchangeable);
        int windows = _known.Length / Window;
        _tables.Add(new RoutingTable(
            "risk",
            $"Realized risk on exchangeable requests ({_known.Length} in {_seeds} orders)",
            ["audits", "audits without a threshold", "target", "risk, all requests", $"risk, windows of {Window} after the first", "highest window (mean over orders)", "single windows above the target", "requests to the first threshold", "up, all requests", "up, after the first window", "audits beside", "false alarms an order"],
            [.. all.Select((o, i) =>
            {
                (double Mean, double Error)[] byWindow = [.. Enumerable.Range(1, windows - 1).Select(w => RoutingMetrics.Mean(runs[i].Select(r => ShareOf(r.Wrong, w * Window, Window))))];
                return new[]
                {
                    RoutingCell.Share(o.AuditShare, 0),
                    RoutingCell.Text(o.AuditShareWithoutThreshold is { } s ? $"{s:P0}" : "the same"),
                    RoutingCell.Share(o.TargetRisk, 0),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(static r => ShareOf(r.Wrong, 0, r.Wrong.Length)))),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(r => ShareOf(r.Wrong, Window, (windows - 1) * Window)))),
                    RoutingCell.Share(byWindow.MaxBy(static m => m.Mean)),
                    RoutingCell.Share(runs[i].Average(r => Enumerable.Range(1, windows - 1).Average(w => ShareOf(r.Wrong, w * Window, Window) > o.TargetRisk ? 1.0 : 0)), 0),
                    RoutingCell.Number(runs[i].Average(static r => Array.IndexOf(r.Judged, true) is var at && at >= 0 ? at : r.Judged.Length), 0),
                    RoutingCell.Share(runs[i].Average(static r => ShareOf(r.Up, 0, r.Up.Length))),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(r => ShareOf(r.Up, Window, (windows - 1) * Window))), 1),
                    RoutingCell.Share(runs[i].Average(static r => r.Audited.Zip(r.Up, static (a, u) => a && !u ? 1.0 : 0).Average())),
                    RoutingCell.Number(runs[i].Average(static r => r.Alarms.Count), 2),
                };
            })]));
        RoutingRun[][] five = runs[Targets.Length..(2 * Targets.Length)];
        _tables.Add(new RoutingTable(
            "windows",
            "Realized risk by window of 500 requests, audits of 5 %, mean over orders",
            ["requests", .. Targets.Select(static t => $"target {t:P0}")],
            [.. Enumerable.Range(0, windows).Select(w => (RoutingCell[])
            [
                RoutingCell.Text($"{w * Window} – {((w + 1) * Window) - 1}"),
                .. five.Select(r => RoutingCell.Share(RoutingMetrics.Mean(r.Select(x => ShareOf(x.Wrong, w * Window, Window))))),
            ])]));
    }

    private void Drift(string name, string what, Func<int, RoutingRow[]> stream, int? back, double maxUp)
    {
        RoutingReplayOptions with = new();
        (string Name, string Color, Func<RoutingRow[], int, RoutingRun> Run)[] rules =
        [
            ("router", "#1b6ca8", (s, seed) => _replay.Run(s, with, seed)),
            ("without detector", "#66a61e", (s, seed) => _replay.Run(s, with with { Detector = false }, seed)),
            ("without novelty", "#e6ab02", (s, seed) => _replay.Run(s, with with { Novelty = false }, seed)),
            ("without words", "#a6761d", (s, seed) => _replay.Run(s, with with { Words = false }, seed)),
            ("an alarm in 200 audits", "#1b9e77", (s, seed) => _replay.Run(s, with with { MeanRunLength = 200 }, seed)),
            ("half-life of 100 audits", "#7570b3", (s, seed) => _replay.Run(s, with with { HalfLife = 100 }, seed)),
            ("audits of 20 %", "#e7298a", (s, seed) => _replay.Run(s, with with { AuditShare = 0.2 }, seed)),
            ("fixed threshold on mean log-probability", "#d95f02", (s, _) => RoutingReplay.Fixed(s, with.TargetRisk, Learning)),
        ];
        RoutingRun[][] runs = All(name, [.. rules.Select(static r => r.Run)], stream);
        int length = runs[0][0].Up.Length;
        const int From = RoutingStream.Before;
        int to = back ?? length;
        _tables.Add(new RoutingTable(
            name,
            $"Target 5 %, audits 5 % ({_seeds} orders): {what}",
            ["rule", "risk before", $"first {DriftWindow} of the change", "during", "after", "up before", "up during", "up after", "requests until back under the target", "wrong answers beyond the target until then", "alarms before", "orders with an alarm", "requests to it"],
            [.. rules.Select((rule, i) =>
            {
                int recovered = Recovery(runs[i], From, to, with.TargetRisk);
                double[] first = [.. runs[i].Select(r => r.Alarms.Where(a => a >= From && a < to).Select(static a => (double)a - From).DefaultIfEmpty(double.NaN).First()).Where(double.IsFinite)];
                return new[]
                {
                    RoutingCell.Text(rule.Name),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(static r => ShareOf(r.Wrong, Learning, From - Learning)))),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(static r => ShareOf(r.Wrong, From, DriftWindow))), 1),
                    RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(r => ShareOf(r.Wrong, From, to - From)))),
                    to == length ? RoutingCell.Text("–") : RoutingCell.Share(RoutingMetrics.Mean(runs[i].Select(r => ShareOf(r.Wrong, to, length - to)))),
                    RoutingCell.Share(runs[i].Average(static r => ShareOf(r.Up, Learning, From - Learning))),
                    RoutingCell.Share(runs[i].Average(r => ShareOf(r.Up, From, to - From))),
                    to == length ? RoutingCell.Text("–") : RoutingCell.Share(runs[i].Average(r => ShareOf(r.Up, to, length - to))),
                    recovered < 0 ? RoutingCell.Text("not in this phase") : RoutingCell.Number(recovered, 0),
                    RoutingCell.Number(runs[i].Average(r => r.Wrong[From..(recovered < 0 ? to : From + recovered)].Sum(w => (w ? 1 : 0) - with.TargetRisk)), 0),
                    RoutingCell.Number(runs[i].Average(static r => r.Alarms.Count(static a => a < From)), 2),
                    RoutingCell.Number(first.Length, 0),
                    RoutingCell.Number(first.DefaultIfEmpty(double.NaN).Average(), 0),
                };
            })]));
        int from = From - (2 * DriftWindow);
        _tables.Add(new RoutingTable(
            $"{name}_windows",
            $"The same by windows of {DriftWindow}: risk and, in brackets, share routed up, in percent",
            ["requests", .. rules.Select(static r => r.Name)],
            [.. Enumerable.Range(from / DriftWindow, (length - from) / DriftWindow).Select(w => (RoutingCell[])
            [
                RoutingCell.Text($"{w * DriftWindow} – {((w + 1) * DriftWindow) - 1}"),
                .. runs.Select(r => RoutingCell.Text($"{100 * r.Average(x => ShareOf(x.Wrong, w * DriftWindow, DriftWindow)):0.0} ({100 * r.Average(x => ShareOf(x.Up, w * DriftWindow, DriftWindow)):0})")),
            ])]));
        const int Smooth = 125;
        _figures.Add($"routing-{name}", new RoutingFigure
        {
            Title = char.ToUpperInvariant(what[0]) + what[1..],
            Across = $"request (windows of {Smooth}, mean over {_seeds} orders)",
            Up = "share of requests with a wrong answer sent (risk)",
            MaxAcross = length,
            MaxUp = maxUp,
            TickAcross = 1000,
            TickUp = 0.02,
            AcrossIsShare = false,
            Marks = back is { } at ? [(From, "change"), (at, "back")] : [(From, "change")],
            Series =
            [
                .. rules.Select((rule, i) => new RoutingSeries(rule.Name, rule.Color, [.. Enumerable.Range(0, length / Smooth).Select(w => ((w + 0.5) * Smooth, runs[i].Average(r => ShareOf(r.Wrong, w * Smooth, Smooth))))])),
                new RoutingSeries("target", "#444444", [(0, with.TargetRisk), (length, with.TargetRisk)], Dashed: true),
            ],
        });
    }

    // Requests from the change until the mean risk over orders, of the 250 that follow, is at most the target; −1: not before the phase ends.
    private static int Recovery(RoutingRun[] runs, int from, int to, double target)
    {
        double[] risk = [.. Enumerable.Range(from, to - from).Select(i => runs.Average(r => r.Wrong[i] ? 1.0 : 0))];
        for (int k = 0; k + DriftWindow <= risk.Length; k++)
        {
            if (risk[k..(k + DriftWindow)].Average() <= target)
            {
                return k;
            }
        }
        return -1;
    }

    private (double Mean, double Error) Steady(RoutingRun[] runs, Func<RoutingRun, bool[]> flags) =>
        RoutingMetrics.Mean(runs.Select(r => ShareOf(flags(r), Learning, flags(r).Length - Learning)));

    private static double[] Probabilities(RoutingRun run) => [.. run.Later.Select(f => run.Middle!.Probability(f))];

    private static double ShareOf(bool[] flags, int from, int count) => (double)flags.AsSpan(from, count).Count(true) / count;

    private RoutingRun[][] All(string what, IReadOnlyList<RoutingReplayOptions> options, Func<int, RoutingRow[]> stream) =>
        All(what, [.. options.Select<RoutingReplayOptions, Func<RoutingRow[], int, RoutingRun>>(o => (s, seed) => _replay.Run(s, o, seed))], stream);

    private RoutingRun[][] All(string what, IReadOnlyList<Func<RoutingRow[], int, RoutingRun>> rules, Func<int, RoutingRow[]> stream)
    {
        RoutingRun[][] runs = [.. rules.Select(_ => new RoutingRun[_seeds])];
        RoutingProgress progress = new(what, "replays", rules.Count * _seeds);
        Parallel.For(0, rules.Count * _seeds, new ParallelOptions { CancellationToken = _cancel }, i =>
        {
            runs[i / _seeds][i % _seeds] = rules[i / _seeds](stream(i % _seeds), i % _seeds);
            progress.Add();
        });
        return runs;
    }
}
