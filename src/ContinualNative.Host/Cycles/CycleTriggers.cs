using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Cycles.Drift;
using ContinualNative.Core.Routing;
using ContinualNative.Storage;
using Cronos;

namespace ContinualNative.Host.Cycles;

/// <summary>What begins a cycle by itself: the schedule, enough new labels, drift, a new teacher. Not thread-safe but for what the hub calls.</summary>
internal sealed class CycleTriggers : IDisposable
{
    private static readonly TimeSpan CountEvery = TimeSpan.FromSeconds(10);

    private readonly CycleContext _context;
    private readonly CronExpression? _schedule;
    private readonly Lock _gate = new();
    private readonly PageHinkley _confidence = new(new PageHinkleyOptions());
    private readonly EmbeddingDrift _embeddings = new(new EmbeddingDriftOptions());
    private DateTimeOffset? _next;
    private long _counted;
    private string? _drift;
    private string? _teacher;

    public CycleTriggers(CycleContext context)
    {
        _context = context;
        _schedule = context.Options.Schedule is { } cron ? Parse(cron) : null;
        _next = _schedule?.GetNextOccurrence(context.Now.UtcDateTime);
        if (context.Options.OnDrift)
        {
            context.Hub.Judged += Judged;
        }
        if (context.Options.OnNewTeacher)
        {
            context.Hub.NewTeacher += NewTeacher;
        }
    }

    /// <summary>A cron expression of five fields, or six with seconds first. Throws <see cref="FormatException"/>.</summary>
    public static CronExpression Parse(string cron)
    {
        try
        {
            return CronExpression.Parse(cron, cron.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length == 6 ? CronFormat.IncludeSeconds : CronFormat.Standard);
        }
        catch (CronFormatException e)
        {
            throw new FormatException(e.Message.TrimEnd('.'), e);
        }
    }

    /// <summary>What calls for a cycle now, or null. Throws <see cref="StoreException"/>.</summary>
    public (CycleTrigger Trigger, string Cause)? Due()
    {
        if (_next is { } next && _context.Now >= next)
        {
            // Occurrences that were missed while a cycle ran count as one.
            _next = _schedule!.GetNextOccurrence(_context.Now.UtcDateTime);
            return (CycleTrigger.Schedule, $"schedule '{_context.Options.Schedule}'");
        }
        lock (_gate)
        {
            if (_teacher is { } teacher)
            {
                _teacher = null;
                return (CycleTrigger.NewTeacher, teacher);
            }
            if (_drift is { } drift)
            {
                _drift = null;
                return (CycleTrigger.Drift, drift);
            }
        }
        return _context.Options.LabelCount > 0 ? Labels() : null;
    }

    /// <summary>A cycle has ended: what called for one until now is answered by it.</summary>
    public void CycleEnded()
    {
        lock (_gate)
        {
            (_drift, _teacher) = (null, null);
            _confidence.Restart();
            _embeddings.Restart();
        }
    }

    public void Dispose()
    {
        _context.Hub.Judged -= Judged;
        _context.Hub.NewTeacher -= NewTeacher;
    }

    private (CycleTrigger Trigger, string Cause)? Labels()
    {
        if (_counted != 0 && System.Diagnostics.Stopwatch.GetElapsedTime(_counted) < CountEvery)
        {
            return null;
        }
        _counted = System.Diagnostics.Stopwatch.GetTimestamp();
        IReadOnlyList<SignalKey> fresh = _context.Store.SignalKeys(CurateStage.Since(_context.Store, long.MaxValue), long.MaxValue, _context.Options.LabelCount + 1);
        return fresh.Count(static k => k.Labelled) >= _context.Options.LabelCount ? (CycleTrigger.Labels, $"{_context.Options.LabelCount} new labels") : null;
    }

    private void Judged(RoutingFeatures features, ReadOnlyMemory<float> embedding)
    {
        lock (_gate)
        {
            if (_confidence.Add(features.MeanLogProb))
            {
                _drift ??= _confidence.Reason;
            }
            if (!embedding.IsEmpty && _embeddings.Add(embedding.Span))
            {
                _drift ??= _embeddings.Reason;
            }
        }
    }

    private void NewTeacher(string endpoint, string teacher)
    {
        lock (_gate)
        {
            _teacher = $"'{endpoint}' answers with '{teacher}'";
        }
    }
}
