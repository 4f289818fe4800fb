using System.Runtime.InteropServices;

namespace ContinualNative.Core.Routing;

/// <summary>Whether a new label calls for new calibrations.</summary>
public enum Recalibration
{
    /// <summary>Not yet.</summary>
    None,

    /// <summary>Enough new audits have come.</summary>
    Due,

    /// <summary>The realized risk of a task has risen above its bound: at once, and without the audits from before (<see cref="RecalibrationTrigger.Since"/>).</summary>
    Drift,
}

/// <summary>
/// Says when to calibrate: after so many audits of a task, after the first few at a growing pace, and at once on drift, by a <see cref="RiskMonitor"/> for each task's
/// streams and whole answers. Thread-safe.
/// </summary>
public sealed class RecalibrationTrigger
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Task, bool Early), RiskMonitor> _monitors = [];
    private readonly Dictionary<string, (int Fresh, int Total)> _counts = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _since = new(StringComparer.Ordinal);
    private readonly int _every;
    private readonly double _meanRunLength;

    /// <summary>Starts with nothing seen.</summary>
    /// <param name="every">New audits of a task after which it is due; while it has had fewer than ten times as many, a tenth more is enough, and always at least one.</param>
    /// <param name="meanRunLength">Audits of a task between two false alarms, on average, at least.</param>
    public RecalibrationTrigger(int every = 50, double meanRunLength = 2000)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(every, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(meanRunLength, 1);
        _every = every;
        _meanRunLength = meanRunLength;
    }

    /// <summary>Per task, the position from which its traffic is as it is now; only tasks that have drifted. For <see cref="Calibrator.Fit"/>.</summary>
    public IReadOnlyDictionary<string, long> Since
    {
        get
        {
            lock (_gate)
            {
                return new Dictionary<string, long>(_since, StringComparer.Ordinal);
            }
        }
    }

    /// <summary>Adds a newly labelled audit. Samples that are no audits are ignored.</summary>
    /// <param name="sample">The sample, newer than the calibration.</param>
    /// <param name="inForce">The calibration that judges such answers, or null.</param>
    public Recalibration Add(in LabelledSample sample, Calibration? inForce)
    {
        if (!sample.Audited)
        {
            return Recalibration.None;
        }
        lock (_gate)
        {
            if (inForce is { TargetRisk: { } target }
                && string.Equals(inForce.Adapter, sample.Adapter, StringComparison.Ordinal)
                && sample.Sequence > inForce.NewestSequence
                && inForce.LossOf(sample) is { } loss)
            {
                double bound = RiskMonitor.BoundFor(target, inForce.Side(sample.Features.Early).ThresholdSamples);
                ref RiskMonitor? monitor = ref CollectionsMarshal.GetValueRefOrAddDefault(_monitors, (sample.Task, sample.Features.Early), out _);
                monitor ??= new RiskMonitor(bound, _meanRunLength);
                monitor.Bound = bound;
                if (monitor.Add(sample.Sequence, loss))
                {
                    _since[sample.Task] = Math.Max(monitor.ChangedAt!.Value, _since.GetValueOrDefault(sample.Task, long.MinValue));
                    _counts[sample.Task] = (0, 0);
                    return Recalibration.Drift;
                }
            }
            (int fresh, int total) = _counts.GetValueOrDefault(sample.Task);
            (fresh, total) = (fresh + 1, total + 1);
            bool due = fresh >= Math.Min(_every, Math.Max(1, total / 10));
            _counts[sample.Task] = (due ? 0 : fresh, total);
            return due ? Recalibration.Due : Recalibration.None;
        }
    }
}
