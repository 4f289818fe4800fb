using System.Collections.Concurrent;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Routing;

/// <summary>
/// Decides which model answers a request. Thread-safe: calibrations are read without a lock, budgets are counted under a short one; a decision allocates nothing but
/// itself.
/// <para>
/// For every request call <see cref="Before"/>, and where that is null <see cref="Judge"/> once, when the local answer (or its beginning) is there; or
/// <see cref="Failed"/> when there is none. Each of the three counts the request in the budgets.
/// </para>
/// <para>
/// <b>Risk and budget.</b> A request goes up when its probability is below the risk threshold and it is among the least sure share of recent requests that the
/// budget pays for, and the window has room. Where the budget keeps one back, its local answer is sent and the reason is <see cref="RouteReason.OverBudget"/>.
/// Requests for a fixed route are no decisions of the router's and are outside <see cref="RouterOptions.MaxEscalation"/>; the share of a key holds for them too.
/// </para>
/// <para>
/// <b>After a swap.</b> An adapter without a calibration of its own is judged by that of the task's adapter before it, with the threshold for half the target risk
/// (<see cref="CalibrationSide.CautiousThreshold"/>): a promoted adapter is meant to be better, but its confidence may mean something else. No bound holds then. The decision names
/// that calibration, whose adapter is another. It ends with the first calibration of the new adapter that has a threshold.
/// </para>
/// </summary>
public sealed class Router
{
    // Adapters per task whose calibrations are kept.
    private const int MostAdapters = 4;
    private const ulong Purpose = 0x726f75746500;

    private readonly RouterOptions _options;
    private readonly AuditSampler _sampler;
    private readonly EscalationBudget? _budget;
    private readonly Dictionary<string, EscalationBudget> _tasks;
    private readonly ConcurrentDictionary<string, EscalationBudget> _keys = new(StringComparer.Ordinal);
    private readonly Lock _updating = new();
    private volatile Dictionary<string, Calibration[]> _calibrations = new(StringComparer.Ordinal);
    private double _auditShare;

    /// <summary>Throws <see cref="ArgumentException"/> when the options are not valid.</summary>
    public Router(RouterOptions options)
    {
        options.Validate();
        _options = options;
        _auditShare = options.AuditShare;
        _sampler = new AuditSampler(options.Seed);
        _budget = options.MaxEscalation is { } share ? new EscalationBudget(share, options.BudgetWindow) : null;
        _tasks = options.TaskMaxEscalation.ToDictionary(static t => t.Key, t => new EscalationBudget(t.Value, options.BudgetWindow), StringComparer.Ordinal);
    }

    /// <summary>Share of requests that are audited from now on, 0 to 1: raise it for a while to recalibrate faster after drift or a swap. Decisions carry the share that they were drawn with.</summary>
    public double AuditShare
    {
        get => Volatile.Read(ref _auditShare);
        set
        {
            if (!(value is >= 0 and <= 1))
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, "'audit' must be 0 to 1.");
            }
            Volatile.Write(ref _auditShare, value);
        }
    }

    /// <summary>Share of the last <see cref="RouterOptions.BudgetWindow"/> judged requests that the router sent up; null without a budget.</summary>
    public double? RecentEscalation => _budget is { } budget ? (double)budget.Used / _options.BudgetWindow : null;

    /// <summary>Puts a calibration in force at once, in place of an older one of its task and adapter.</summary>
    public void Update(Calibration calibration)
    {
        lock (_updating)
        {
            Dictionary<string, Calibration[]> next = new(_calibrations, StringComparer.Ordinal);
            Calibration[] others = next.GetValueOrDefault(calibration.Task, []);
            if (others.Length > 0 && !string.Equals(others[0].Adapter, calibration.Adapter, StringComparison.Ordinal))
            {
                // Another adapter's probabilities are another scale: its least sure answers are not among the least sure of both.
                _budget?.Forget();
                _tasks.GetValueOrDefault(calibration.Task)?.Forget();
                foreach (EscalationBudget key in _keys.Values)
                {
                    key.Forget();
                }
            }
            next[calibration.Task] = [calibration, .. others.Where(c => !string.Equals(c.Adapter, calibration.Adapter, StringComparison.Ordinal)).Take(MostAdapters - 1)];
            _calibrations = next;
        }
    }

    /// <summary>The calibration that judges such answers now; its adapter is another one while this one has none that will do. null: uncalibrated.</summary>
    public Calibration? CalibrationFor(string task, string adapter, bool early) => Find(task, adapter, early, out _);

    /// <summary>
    /// The decision that needs no local answer, or null: the request's or its key's fixed route, no frontier, or something that no frontier can do. "Never up" counts
    /// whichever of the two says it, so that neither can break the other's promise.
    /// </summary>
    public RouteDecision? Before(in RouteRequest request)
    {
        if (request.KeyPreference == RoutePreference.Local)
        {
            return Fixed(request, Route.Local, RouteReason.KeyPolicy);
        }
        if (request.Preference == RoutePreference.Local)
        {
            return Fixed(request, Route.Local, RouteReason.Requested);
        }
        if (!request.FrontierConfigured)
        {
            return Fixed(request, Route.Local, RouteReason.NoFrontier);
        }
        if (!request.Portable)
        {
            return Fixed(request, Route.Local, RouteReason.NotPortable);
        }
        bool requested = request.Preference == RoutePreference.Frontier;
        if (!requested && request.KeyPreference != RoutePreference.Frontier)
        {
            return null;
        }
        // Without this a client could spend more than its key's share by asking for it.
        return EscalationBudget.Spend(KeyBudget(request), null, null, up: true)
            ? Fixed(request, Route.Frontier, requested ? RouteReason.Requested : RouteReason.KeyPolicy)
            : Fixed(request, Route.Local, RouteReason.OverBudget);
    }

    /// <summary>The decision on a local answer. Where <see cref="Before"/> has one, that is it, with the features noted.</summary>
    public RouteDecision Judge(in RouteRequest request, in RoutingFeatures features)
    {
        if (Before(request) is { } before)
        {
            return Annotate(before, request, features);
        }
        EscalationBudget? key = KeyBudget(request);
        EscalationBudget? task = _tasks.GetValueOrDefault(request.Task);
        double draw = SipHash.Uniform(_options.Seed, Purpose, request.RequestId);
        Calibration? calibration = Find(request.Task, request.Adapter, features.Early, out double? threshold);
        CalibrationSide? side = calibration?.Side(features.Early);
        double? p = side?.Probability(features);

        bool uncalibrated = (p is null || threshold is null) && (p is null || _options.TargetOf(request.Task) is not null);

        // Of the budgets the stricter one draws the line.
        bool afford = true;
        double share = 1;
        double? line = null;
        Consider(key);
        Consider(task);
        Consider(_budget);

        bool wants, budgetOnly = false;
        RouteReason reason;
        if (p is { } probability && threshold is { } least)
        {
            threshold = least = Math.Max(least, _options.EscalateBelow);
            wants = probability < least;
            reason = wants ? RouteReason.Uncertain : RouteReason.Confident;
        }
        else if (p is not null && _options.TargetOf(request.Task) is null)
        {
            budgetOnly = true;
            wants = afford;
            threshold = line;
            reason = wants ? RouteReason.Uncertain : RouteReason.Confident;
        }
        else
        {
            // A model of the answers may be there before there are audits enough for a threshold.
            wants = _options.Uncalibrated == Route.Frontier || p < _options.EscalateBelow;
            reason = RouteReason.Uncalibrated;
        }
        bool up = EscalationBudget.Spend(key, task, _budget, wants && afford);
        if (wants && !up)
        {
            reason = RouteReason.OverBudget;
            threshold = afford || budgetOnly ? threshold : line ?? threshold;
        }
        (bool audited, double auditProbability) = Audit(request);
        if (uncalibrated && wants)
        {
            // Decision: what goes up without a judgement is drawn by a hash of its id and nothing else: it is a random sample too, with both answers there and paid
            // for. Counted as audits, these end the uncalibrated state after a tenth of the requests that the audit share alone would need.
            auditProbability = 1 - ((1 - auditProbability) * (1 - share));
            audited |= up;
        }
        return new RouteDecision
        {
            Route = up ? Route.Frontier : Route.Local,
            Reason = reason,
            PCorrect = p,
            Threshold = threshold,
            Features = features,
            Calibration = calibration?.Id ?? 0,
            Audited = audited,
            AuditProbability = auditProbability,
        };

        void Consider(EscalationBudget? budget)
        {
            if (budget is null)
            {
                return;
            }
            share = Math.Min(share, budget.Share);
            double its = 0;
            bool among = p is { } known && budget.IsAmongLeastSure(known, draw, out its);
            if (uncalibrated || p is null)
            {
                afford &= draw < budget.Share;
                return;
            }
            if (afford && (!among || line is null || its < line))
            {
                line = its;
            }
            afford &= among;
        }
    }

    /// <summary>
    /// The decision when the local model gave no usable answer: up, within the budgets, whatever the calibration; where it must not or cannot go up the route is local, and there is no answer to send.
    /// Decision: the budget holds here too. It is a promise about cost, and a broken local model is when it is needed most.
    /// </summary>
    public RouteDecision Failed(in RouteRequest request)
    {
        if (Before(request) is { } before)
        {
            return before;
        }
        bool up = EscalationBudget.Spend(KeyBudget(request), _tasks.GetValueOrDefault(request.Task), _budget, up: true);
        return Fixed(request, up ? Route.Frontier : Route.Local, up ? RouteReason.LocalFailed : RouteReason.OverBudget);
    }

    /// <summary>Adds to a decision that was made without a local answer what is known now that there is one (as of an audited request); the route stays.</summary>
    public RouteDecision Annotate(RouteDecision decision, in RouteRequest request, in RoutingFeatures features)
    {
        Calibration? calibration = Find(request.Task, request.Adapter, features.Early, out _);
        return decision with { Features = features, PCorrect = calibration?.Side(features.Early).Probability(features), Calibration = calibration?.Id ?? 0 };
    }

    private RouteDecision Fixed(in RouteRequest request, Route route, RouteReason reason)
    {
        (bool audited, double share) = Audit(request);
        return new RouteDecision { Route = route, Reason = reason, Audited = audited, AuditProbability = share };
    }

    // An audit sends the request up, which "never up" forbids and the others cannot.
    private (bool Audited, double Share) Audit(in RouteRequest request)
    {
        if (request.KeyPreference == RoutePreference.Local || request.Preference == RoutePreference.Local || !request.FrontierConfigured || !request.Portable)
        {
            return (false, 0);
        }
        double share = AuditShare;
        return (_sampler.IsAudited(request.RequestId, share), share);
    }

    private Calibration? Find(string task, string adapter, bool early, out double? threshold)
    {
        Dictionary<string, Calibration[]> calibrations = _calibrations;
        double? target = _options.TargetOf(task);
        Calibration[] own = calibrations.GetValueOrDefault(task, []);
        Calibration[] any = calibrations.GetValueOrDefault(Calibration.AnyTask, []);
        Calibration? modelOnly = null;
        for (int pass = 0; pass < 4; pass++)
        {
            // The task's before all tasks', and of each this adapter's before the last other one's.
            bool cautious = pass % 2 == 1;
            foreach (Calibration calibration in pass < 2 ? own : any)
            {
                CalibrationSide side = calibration.Side(early);
                if (!side.HasModel || string.Equals(calibration.Adapter, adapter, StringComparison.Ordinal) == cautious)
                {
                    continue;
                }
                if (target is null)
                {
                    threshold = null;
                    return calibration;
                }
                modelOnly ??= calibration;
                threshold = cautious ? side.CautiousThreshold : side.Threshold;
                // One for a laxer target than is asked for now says nothing.
                if (threshold is not null && calibration.TargetRisk <= target)
                {
                    return calibration;
                }
            }
        }
        threshold = null;
        return modelOnly;
    }

    private EscalationBudget? KeyBudget(in RouteRequest request)
    {
        if (request.KeyMaxEscalation is not { } wanted)
        {
            return null;
        }
        double share = double.IsNaN(wanted) ? 0 : Math.Clamp(wanted, 0, 1);
        string key = request.KeyId ?? "";
        if (_keys.TryGetValue(key, out EscalationBudget? budget) && budget.Share == share)
        {
            return budget;
        }
        EscalationBudget fresh = new(share, _options.BudgetWindow);
        return _keys.AddOrUpdate(key, static (_, made) => made, static (_, old, made) => old.Share == made.Share ? old : made, fresh);
    }
}
