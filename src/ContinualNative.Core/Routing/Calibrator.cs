using System.Runtime.InteropServices;

namespace ContinualNative.Core.Routing;

/// <summary>
/// Makes calibrations: a logistic model for the probability that a local answer is right, and a threshold on it by <see cref="RiskControl"/>. Deterministic: the
/// same samples in any order give the same calibrations. Has no state; thread-safe.
/// <para>
/// <b>Who may set a threshold.</b> Only audits of the adapter in question: they alone are exchangeable with the traffic to come. (So an answer of a new adapter to
/// an old request is one only if that request was drawn by the audit and the adapter did not learn from it; the caller sees to that, and marks all others as not
/// audited.) And none of them may have been used to fit the model, else its probabilities for them would be better than for the next request. The audits are
/// therefore split, by a hash of the request's id, which is independent of what they say: at first a quarter trains the model and the rest sets the threshold; the
/// more other samples there are to train on, the smaller the first part. Decision: split, not cross-fit. Thresholds from out-of-fold probabilities use every audit,
/// but belong to other models than the one in force, and the bound is lost; with a handful of coefficients a few dozen samples train the model well enough.
/// </para>
/// <para>
/// <b>The bound.</b> For a task with a threshold of <see cref="ThresholdScope.Task"/>, and requests that are exchangeable with its audits in the window: the
/// expected share of requests that get a wrong local answer is at most the target, whatever the model is worth. The expectation is over audits and requests. A bad
/// model only costs escalations. It does not hold for <see cref="ThresholdScope.AllTasks"/> and <see cref="ThresholdScope.All"/> task by task, nor under drift within
/// the window: <see cref="RiskMonitor"/> watches for that.
/// </para>
/// <para>
/// <b>Selection.</b> Other labels (answers that were escalated, or picked for labelling) train the model too, though they are no random sample. Picks by features
/// and by low probability leave P(right | features) as it is, so that a logistic model stays consistent; picks by failed outcome shift its intercept and nothing else
/// (case-control sampling: Prentice and Pyke 1979). One more coefficient, for "not an audit of this adapter since the last drift", takes up that shift in fitting,
/// and is left out in prediction. And they weigh at most as much as the audits together (or as <see cref="CalibrationOptions.MinimumSamples"/>), so that where the logistic form is
/// wrong, the fit follows the traffic.
/// </para>
/// <para>
/// <b>Few labels.</b> Three levels, each the prior of the next: everything; whole answers or streams; one task. A level with few samples stays near the one above.
/// </para>
/// </summary>
public sealed class Calibrator
{
    // Columns of a fit: intercept, features, the dummy for foreign samples.
    private const int Width = FeatureBasis.Count + 2;

    // Newest samples of either kind that one fit uses: more would hardly change a dozen coefficients, and a fit stays within milliseconds.
    private const int MostFitted = 3000;

    // Precisions of the priors, in samples: a sample adds at most ¼ to the information about a coefficient of a standardized column. The intercept of the first level is nearly free.
    private const double FirstSlope = 4;
    private const double FirstIntercept = 0.05;
    private const double NextSlope = 10;
    private const double NextIntercept = 1;
    private const double Foreign = 4;

    // What a sample of another adapter, or from before the last drift, counts beside one of this adapter.
    private const double OtherAdapterWeight = 0.5;
    private const double BeforeDriftWeight = 0.25;

    private const double MostTakenForFit = 0.25;
    private const ulong Purpose = 0x73706c697400;

    private readonly CalibrationOptions _options;

    /// <summary>Throws <see cref="ArgumentException"/> when the options are not valid.</summary>
    public Calibrator(CalibrationOptions options)
    {
        options.Validate();
        _options = options;
    }

    /// <summary>
    /// The calibrations of an adapter: one for every task among the samples, in ordinal order, and last that for all other tasks (<see cref="Calibration.AnyTask"/>).
    /// </summary>
    /// <param name="samples">Labelled answers of this and of earlier adapters, in any order. A request occurs once per adapter.</param>
    /// <param name="adapter">The adapter.</param>
    /// <param name="since">Per task, the position from which the traffic is as it is now (see <see cref="RiskMonitor.ChangedAt"/>): older audits set no threshold. Tasks that are not named have no such position.</param>
    public IReadOnlyList<Calibration> Fit(IReadOnlyList<LabelledSample> samples, string adapter, IReadOnlyDictionary<string, long>? since = null)
    {
        LabelledSample[] ordered = NewestFirst(samples);
        Dictionary<(string Task, bool Early), Group> groups = [];
        for (int i = 0; i < ordered.Length; i++)
        {
            ref readonly LabelledSample sample = ref ordered[i];
            ref Group? group = ref CollectionsMarshal.GetValueRefOrAddDefault(groups, (sample.Task, sample.Features.Early), out _);
            group ??= new Group();
            bool current = since is null || !since.TryGetValue(sample.Task, out long start) || sample.Sequence >= start;
            bool ours = string.Equals(sample.Adapter, adapter, StringComparison.Ordinal);
            group.Add(i, native: sample.Audited && ours && current, weight: (ours ? 1 : OtherAdapterWeight) * (current ? 1 : BeforeDriftWeight), _options.Window);
        }
        foreach (Group group in groups.Values)
        {
            group.Split(ordered, _options);
        }

        Group[] all = [.. groups.OrderBy(static g => g.Key.Task, StringComparer.Ordinal).ThenBy(static g => g.Key.Early).Select(static g => g.Value)];
        Standard standard = Standard.Of(ordered, all);
        bool enough = ordered.Length >= _options.MinimumSamples;
        double[] everything = Model(ordered, all, standard, First(), FirstPrecision());
        Dictionary<bool, (double[] Coefficients, Group[] Groups)> sides = [];
        foreach (bool early in (bool[])[false, true])
        {
            Group[] ofSide = [.. groups.Where(g => g.Key.Early == early).OrderBy(static g => g.Key.Task, StringComparer.Ordinal).Select(static g => g.Value)];
            sides[early] = (Model(ordered, ofSide, standard, everything, NextPrecision()), ofSide);
        }

        long newest = ordered.Length > 0 ? ordered[0].Sequence : 0;
        // What tasks without enough audits share; by target.
        Dictionary<(bool Early, double Target), CalibrationSide?> borrowed = [];
        List<Calibration> calibrations = [];
        foreach (string task in groups.Keys.Select(static k => k.Task).Distinct().Order(StringComparer.Ordinal))
        {
            if (task != Calibration.AnyTask)
            {
                calibrations.Add(Make(task));
            }
        }
        calibrations.Add(Make(Calibration.AnyTask));
        return calibrations;

        Calibration Make(string task) => new()
        {
            Task = task,
            Adapter = adapter,
            TargetRisk = _options.TargetOf(task),
            NewestSequence = newest,
            Whole = Side(task, false),
            Early = Side(task, true),
        };

        CalibrationSide Side(string task, bool early)
        {
            if (!enough)
            {
                return new CalibrationSide { Coefficients = [], Means = [], InverseScales = [] };
            }
            double? target = _options.TargetOf(task);
            (double[] ofSide, Group[] sideGroups) = sides[early];
            CalibrationSide own = groups.TryGetValue((task, early), out Group? group) && task != Calibration.AnyTask
                ? WithThreshold(standard.Side(Model(ordered, [group], standard, ofSide, NextPrecision()), group.Fitted), ordered, [group], ThresholdScope.Task, target)
                : standard.Side(ofSide, Count(sideGroups));
            if (target is null || own.Threshold is not null)
            {
                return own;
            }
            ref CalibrationSide? shared = ref CollectionsMarshal.GetValueRefOrAddDefault(borrowed, (early, target.Value), out _);
            shared ??= WithThreshold(standard.Side(ofSide, Count(sideGroups)), ordered, sideGroups, ThresholdScope.AllTasks, target) is { Threshold: not null } ofTasks
                ? ofTasks
                : WithThreshold(standard.Side(everything, Count(all)), ordered, all, ThresholdScope.All, target);
            return shared.Threshold is null ? own : shared;
        }
    }

    // Ties (a request under two adapters) in an order that does not depend on the caller's.
    private static LabelledSample[] NewestFirst(IReadOnlyList<LabelledSample> samples)
    {
        long[] keys = new long[samples.Count];
        int[] order = new int[samples.Count];
        for (int i = 0; i < keys.Length; i++)
        {
            (keys[i], order[i]) = (~samples[i].Sequence, i);
        }
        Array.Sort(keys, order);
        for (int from = 0; from < keys.Length;)
        {
            int to = from + 1;
            while (to < keys.Length && keys[to] == keys[from])
            {
                to++;
            }
            if (to - from > 1)
            {
                order.AsSpan(from, to - from).Sort((a, b) =>
                    string.CompareOrdinal(samples[a].RequestId, samples[b].RequestId) is not 0 and var byId ? byId : string.CompareOrdinal(samples[a].Adapter, samples[b].Adapter));
            }
            from = to;
        }
        return [.. order.Select(i => samples[i])];
    }

    private static int Count(Group[] groups) => groups.Sum(static g => g.Fitted);

    private CalibrationSide WithThreshold(CalibrationSide side, LabelledSample[] samples, Group[] groups, ThresholdScope scope, double? target)
    {
        int[] indices = [.. groups.SelectMany(static g => g.Held)];
        double[] predicted = new double[indices.Length];
        bool[] correct = new bool[indices.Length];
        // Decision: the inverse of the audit probability weighs tasks, not single audits. Within one task audits stand for the traffic whatever the share was when each
        // was drawn, as long as nothing drifts; weighed singly, one audit drawn at 2 % after a hundred drawn at 100 % would outweigh them all, and no target could be met
        // until there are as many again. Between tasks whose shares differ, the mean inverse keeps the mixture right.
        double[] weights = [.. groups.SelectMany(g => Enumerable.Repeat(g.MeanInverseProbability(samples), g.Held.Count))];
        // By age over all groups, so that the forgetting is one.
        Array.Sort(indices, weights);
        for (int i = 0; i < indices.Length; i++)
        {
            ref readonly LabelledSample sample = ref samples[indices[i]];
            predicted[i] = side.Probability(sample.Features);
            correct[i] = sample.Correct;
            if (_options.HalfLife is { } halfLife)
            {
                weights[i] *= Math.Max(Math.Pow(0.5, i / halfLife), 1e-12);
            }
        }
        double? threshold = target is null ? null : RiskControl.Threshold(predicted, correct, weights, target.Value);
        return side with
        {
            Threshold = threshold,
            CautiousThreshold = target is null ? null : RiskControl.Threshold(predicted, correct, weights, target.Value / 2),
            Scope = threshold is null ? ThresholdScope.None : scope,
            ThresholdSamples = indices.Length,
            EscalationShare = threshold is { } t ? (double)predicted.Count(p => p < t) / predicted.Length : null,
            Quality = CalibrationQuality.Of(predicted, correct),
        };
    }

    private double[] Model(LabelledSample[] samples, Group[] groups, Standard standard, double[] mean, double[] precision)
    {
        (int Index, bool Native, double Weight)[] fit = Newest(groups);
        double native = 0, foreign = 0;
        foreach ((_, bool isNative, double weight) in fit)
        {
            native += isNative ? weight : 0;
            foreign += isNative ? 0 : weight;
        }
        double scale = foreign > 0 ? Math.Min(1, Math.Max(native, _options.MinimumSamples) / foreign) : 1;
        double[] rows = new double[fit.Length * Width];
        bool[] positive = new bool[fit.Length];
        double[] weights = new double[fit.Length];
        for (int i = 0; i < fit.Length; i++)
        {
            (int index, bool isNative, double weight) = fit[i];
            Span<double> row = rows.AsSpan(i * Width, Width);
            row[0] = 1;
            standard.Write(samples[index].Features, row[1..^1]);
            row[^1] = isNative ? 0 : 1;
            positive[i] = samples[index].Correct;
            weights[i] = isNative ? weight : weight * scale;
        }
        return LogisticRegression.Fit(rows, positive, weights, mean, precision);
    }

    private static (int Index, bool Native, double Weight)[] Newest(Group[] groups) =>
    [
        .. groups.SelectMany(static g => g.Native.Take(MostFitted)).Order().Take(MostFitted).Select(static i => (i, true, 1.0)),
        .. groups.SelectMany(static g => g.Foreign.Take(MostFitted)).OrderBy(static f => f.Index).Take(MostFitted).Select(static f => (f.Index, false, f.Weight)),
    ];

    private static double[] First()
    {
        double[] mean = new double[Width];
        FeatureBasis.Prior.CopyTo(mean.AsSpan(1));
        return mean;
    }

    private static double[] FirstPrecision() => [FirstIntercept, .. Enumerable.Repeat(FirstSlope, FeatureBasis.Count), Foreign];

    private static double[] NextPrecision() => [NextIntercept, .. Enumerable.Repeat(NextSlope, FeatureBasis.Count), Foreign];

    // The samples of one task and side, newest first.
    private sealed class Group
    {
        private readonly List<int> _window = [];

        // Indices of the samples that set the threshold; the model never sees them.
        public List<int> Held { get; } = [];

        // Indices of the audits that train the model.
        public List<int> Native { get; private set; } = [];

        public List<(int Index, double Weight)> Foreign { get; } = [];

        public int Fitted => Native.Count + Foreign.Count;

        public void Add(int index, bool native, double weight, int window)
        {
            if (!native)
            {
                Foreign.Add((index, weight));
            }
            else if (_window.Count < window)
            {
                _window.Add(index);
            }
            else
            {
                Native.Add(index);
            }
        }

        // Requests that each of the audits stands for, on average.
        public double MeanInverseProbability(LabelledSample[] samples) =>
            Held.Select(i => 1 / Math.Clamp(double.IsNaN(samples[i].AuditProbability) ? 1 : samples[i].AuditProbability, 1e-4, 1)).DefaultIfEmpty(1).Average();

        public void Split(LabelledSample[] samples, CalibrationOptions options)
        {
            double others = Native.Count + Math.Min(Foreign.Count, options.FitSamples) / 2.0;
            double taken = _window.Count == 0 ? 0 : Math.Clamp((options.FitSamples - others) / _window.Count, 0, MostTakenForFit);
            List<int> train = [];
            foreach (int index in _window)
            {
                (SipHash.Uniform(options.Seed, Purpose, samples[index].RequestId) < taken ? train : Held).Add(index);
            }
            // All of the window is newer than what is in already.
            Native = [.. train, .. Native];
        }
    }

    // Mean and inverse standard deviation of every column over the samples that models are fitted to.
    private sealed record Standard(double[] Means, double[] InverseScales)
    {
        public static Standard Of(LabelledSample[] samples, Group[] groups)
        {
            double[] means = new double[FeatureBasis.Count];
            double[] squares = new double[FeatureBasis.Count];
            int[] counts = new int[FeatureBasis.Count];
            Span<double> columns = stackalloc double[FeatureBasis.Count];
            foreach ((int index, _, _) in Newest(groups))
            {
                FeatureBasis.Write(samples[index].Features, columns);
                for (int j = 0; j < columns.Length; j++)
                {
                    if (!double.IsNaN(columns[j]))
                    {
                        // Welford 1962: no difference of large sums.
                        double off = columns[j] - means[j];
                        means[j] += off / ++counts[j];
                        squares[j] += off * (columns[j] - means[j]);
                    }
                }
            }
            double[] inverse = new double[FeatureBasis.Count];
            for (int j = 0; j < inverse.Length; j++)
            {
                double deviation = counts[j] > 1 ? Math.Sqrt(squares[j] / counts[j]) : 0;
                inverse[j] = deviation > 1e-6 ? 1 / deviation : 0;
            }
            return new Standard(means, inverse);
        }

        public void Write(in RoutingFeatures features, Span<double> row)
        {
            FeatureBasis.Write(features, row);
            for (int j = 0; j < row.Length; j++)
            {
                row[j] = CalibrationSide.Standardize(row[j], Means[j], InverseScales[j]);
            }
        }

        public CalibrationSide Side(double[] coefficients, int fitted) => new()
        {
            Coefficients = coefficients[..^1],
            Means = Means,
            InverseScales = InverseScales,
            FitSamples = fitted,
        };
    }
}
