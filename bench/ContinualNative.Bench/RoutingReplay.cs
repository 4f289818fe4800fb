using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Bench;

/// <summary>How a replay goes.</summary>
internal sealed record RoutingReplayOptions
{
    /// <summary>Largest expected share of requests that get a wrong local answer.</summary>
    public double TargetRisk { get; init; } = 0.05;

    /// <summary>Share of the requests that are audited once there is a threshold.</summary>
    public double AuditShare { get; init; } = 0.05;

    /// <summary>
    /// Share that is audited while there is no threshold; null: the same. Then every request goes up, so that both answers are there anyway and an audit costs nothing.
    /// </summary>
    public double? AuditShareWithoutThreshold { get; init; } = 1;

    /// <summary>Whether the alarms of <see cref="RecalibrationTrigger"/> are heeded: what was before a change sets no threshold any more.</summary>
    public bool Detector { get; init; } = true;

    /// <summary>Whether the router knows how far a prompt is from what was learned.</summary>
    public bool Novelty { get; init; } = true;

    /// <summary>Whether the router knows on which words the model was wrong.</summary>
    public bool Words { get; init; } = true;

    /// <summary>Audits between two false alarms, on average, at least.</summary>
    public double MeanRunLength { get; init; } = 2000;

    /// <summary>Audits after which the weight of an older one has halved; null: all weigh the same.</summary>
    public double? HalfLife { get; init; }
}

/// <summary>What became of every request of one replay.</summary>
/// <param name="Up">Whether it went up.</param>
/// <param name="Wrong">Whether a wrong local answer was sent.</param>
/// <param name="Audited">Whether it was audited.</param>
/// <param name="Judged">Whether there was a threshold.</param>
/// <param name="Alarms">Requests at which the detector alarmed.</param>
/// <param name="Middle">The model in force after half of the requests; null when there was none.</param>
/// <param name="Later">What the router would have known of each request of the other half at that time.</param>
internal sealed record RoutingRun(bool[] Up, bool[] Wrong, bool[] Audited, bool[] Judged, IReadOnlyList<int> Alarms, CalibrationSide? Middle, RoutingFeatures[] Later);

/// <summary>
/// Lives a stream of recorded requests as a server would: each is judged by the router as it then is; the frontier's answer, which is the data set's label, is
/// known of those that went up or are audited; and from these the calibration is renewed.
/// </summary>
/// <param name="novelty">Of every text that is asked.</param>
/// <param name="learned">What the adapter was trained on.</param>
internal sealed class RoutingReplay(IReadOnlyDictionary<string, float> novelty, IReadOnlyList<string> learned)
{
    private const string Task = "intent";
    private const string Adapter = "first";

    /// <summary>The distance of a text to those that were learned.</summary>
    public float Novelty(RoutingRow row) => novelty[row.Text];

    /// <summary>Replays with the router. Equal seeds give equal runs.</summary>
    public RoutingRun Run(IReadOnlyList<RoutingRow> stream, RoutingReplayOptions options, int seed)
    {
        int n = stream.Count;
        RoutingRun run = new(new bool[n], new bool[n], new bool[n], new bool[n], [], null, []);
        List<int> alarms = [];
        CalibrationSide? middle = null;
        RoutingFeatures[] later = [];
        WordRiskIndex words = new();
        foreach (string text in learned)
        {
            words.Add(text, right: true);
        }
        Router router = new(new RouterOptions { TargetRisk = options.TargetRisk, MaxEscalation = null, AuditShare = options.AuditShare, Seed = (ulong)seed });
        Calibrator calibrator = new(new CalibrationOptions { TargetRisk = options.TargetRisk, HalfLife = options.HalfLife, Seed = (ulong)seed });
        List<LabelledSample> samples = [];
        RecalibrationTrigger trigger = new(meanRunLength: options.MeanRunLength);
        Calibration? calibration = null;
        for (int i = 0; i < n; i++)
        {
            RoutingRow row = stream[i];
            string id = $"{seed}-{i}";
            router.AuditShare = calibration?.Whole.Threshold is null ? options.AuditShareWithoutThreshold ?? options.AuditShare : options.AuditShare;
            RouteDecision decision = router.Judge(new RouteRequest(id, Task, Adapter), Features(row));
            run.Up[i] = decision.Route == Route.Frontier;
            run.Wrong[i] = !run.Up[i] && !row.Correct;
            run.Audited[i] = decision.Audited;
            run.Judged[i] = decision.Threshold is not null;
            if (run.Up[i] || decision.Audited)
            {
                LabelledSample sample = new(i, id, Task, Adapter, decision.Features!.Value, row.Correct, decision.Audited, decision.AuditProbability);
                samples.Add(sample);
                words.Add(row.Text, row.Correct);
                Recalibration what = trigger.Add(sample, calibration);
                if (what == Recalibration.Drift)
                {
                    alarms.Add(i);
                }
                if (what != Recalibration.None)
                {
                    calibration = calibrator.Fit(samples, Adapter, options.Detector ? trigger.Since : null)[0];
                    router.Update(calibration);
                }
            }
            if (i == n / 2)
            {
                middle = calibration?.Whole;
                later = [.. stream.Skip(i + 1).Select(Features)];
            }
        }
        return run with { Alarms = alarms, Middle = middle, Later = later };

        RoutingFeatures Features(RoutingRow row) => RoutingFeatures.Of(
            row.Confidence, row.PromptTokens, options.Novelty ? novelty[row.Text] : 1, row.Truncated, early: false, options.Words ? words.Risk(row.Text) : float.NaN);
    }

    /// <summary>
    /// The rule without a model: the first requests all go up, a threshold on the mean log-probability is set once on their outcomes by the same conformal risk
    /// control, and holds from then on.
    /// </summary>
    public static RoutingRun Fixed(IReadOnlyList<RoutingRow> stream, double targetRisk, int learn)
    {
        int n = stream.Count;
        RoutingRun run = new(new bool[n], new bool[n], new bool[n], new bool[n], [], null, []);
        double threshold = RiskControl.Threshold([.. stream.Take(learn).Select(Raw)], [.. stream.Take(learn).Select(static r => r.Correct)], [], targetRisk) ?? 1;
        for (int i = 0; i < n; i++)
        {
            run.Judged[i] = i >= learn;
            run.Up[i] = i < learn || Raw(stream[i]) < threshold;
            run.Wrong[i] = !run.Up[i] && !stream[i].Correct;
        }
        return run;
    }

    /// <summary>The raw score: geometric mean of the probabilities of the answer's tokens, which orders as their mean log-probability does.</summary>
    public static double Raw(RoutingRow row) => Math.Clamp(Math.Exp(row.MeanLogProb), 1e-6, 1 - 1e-6);
}
