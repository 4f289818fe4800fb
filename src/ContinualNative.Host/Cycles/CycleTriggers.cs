using ContinualNative.Core.Cycles;
using ContinualNative.Core.Cycles.Drift;
using ContinualNative.Core.Routing;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;
using Cronos;

namespace ContinualNative.Host.Cycles;

/// <summary>What begins a cycle by itself: the schedule, enough new labels, drift, a new teacher. Not thread-safe but for what the hub calls.</summary>
internal sealed class CycleTriggers : IDisposable
{
    private const int MostCounted = 100_000;

    private static readonly TimeSpan CountEvery = TimeSpan.FromSeconds(10);

    private readonly CycleContext _context;
    private readonly CronExpression? _schedule;
    private readonly Lock _gate = new();
    private readonly PageHinkley _confidence = new();
    private readonly EmbeddingDrift _embeddings = new(PromptEmbedder.Dimensions);
    private DateTimeOffset? _next;
    private long _counted;
    private long _labelsSince;
    private string? _drift;
    private NewTeacher? _teacher;

    public CycleTriggers(CycleContext context)
    {
        _context = context;
        _schedule = context.Options.Schedule is { } cron ? Parse(cron) : null;
        _next = _schedule?.GetNextOccurrence(context.Now.UtcDateTime);
        if (context.Options.OnDrift)
        {
            context.Hub.Judged += Judged;
            context.Hub.AgreementFell += AgreementFell;
        }
    }

    /// <summary>Takes from the store what came after the last cycle and before this server began. Throws <see cref="StoreException"/>.</summary>
    public void Recall()
    {
        _labelsSince = _context.Store.Cycles(100).Select(static c => c.Sequence).FirstOrDefault(static s => s > 0);
        _teacher = _context.Options.OnNewTeacher ? Unanswered(_context.Store) : null;
    }

    /// <summary>A cron expression of five fields, or six with seconds first. Throws <see cref="SettingException"/>, which names <paramref name="source"/>.</summary>
    public static CronExpression Parse(string cron, string? source = null)
    {
        try
        {
            return CronExpression.Parse(cron, cron.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length == 6 ? CronFormat.IncludeSeconds : CronFormat.Standard);
        }
        catch (CronFormatException e)
        {
            throw new SettingException("schedule", $"'{cron}' is no cron expression ({e.Message.TrimEnd('.')}); '0 3 * * *' is every night at three (UTC)", source);
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
        if (_context.Options.OnNewTeacher && (_context.Hub.TakeNewTeacher() ?? _teacher) is { } change)
        {
            _teacher = null;
            return (CycleTrigger.NewTeacher, $"'{change.Endpoint}' answers with '{change.Teacher}'");
        }
        lock (_gate)
        {
            if (_drift is { } drift)
            {
                _drift = null;
                return (CycleTrigger.Drift, drift);
            }
        }
        return _context.Options.LabelCount > 0 ? Labels() : null;
    }

    /// <summary>A cycle has ended, however: what called for one until now is answered by it. Throws <see cref="StoreException"/>.</summary>
    public void CycleEnded()
    {
        _labelsSince = _context.Store.LastSequence();
        _context.Hub.TakeNewTeacher();
        _teacher = null;
        lock (_gate)
        {
            _drift = null;
            _confidence.Reset();
            _embeddings.Reset();
        }
    }

    public void Dispose()
    {
        _context.Hub.Judged -= Judged;
        _context.Hub.AgreementFell -= AgreementFell;
    }

    // A version that no cycle has followed: the server that saw it come ended before one began.
    private static NewTeacher? Unanswered(TrafficStore store)
    {
        DateTimeOffset last = store.Cycles(1) is [var cycle] ? cycle.ChangedAt : default;
        return store.Teachers().GroupBy(static t => t.Endpoint, StringComparer.Ordinal).SelectMany(static g => g.Skip(1)).Where(t => t.FirstSeen > last)
            .Select(static t => new NewTeacher(t.Endpoint, t.Teacher)).LastOrDefault();
    }

    private (CycleTrigger Trigger, string Cause)? Labels()
    {
        if (_counted != 0 && System.Diagnostics.Stopwatch.GetElapsedTime(_counted) < CountEvery)
        {
            return null;
        }
        _counted = System.Diagnostics.Stopwatch.GetTimestamp();
        int fresh = _context.Store.SignalKeys(_labelsSince, long.MaxValue, MostCounted).Count(static k => k.Labelled);
        return fresh >= _context.Options.LabelCount ? (CycleTrigger.Labels, $"{fresh} new labels") : null;
    }

    private void Judged(RoutingFeatures features, ReadOnlyMemory<float> embedding)
    {
        lock (_gate)
        {
            if (_confidence.Add(features.MeanLogProb))
            {
                _drift ??= "the model has become less sure of its answers";
                _confidence.Reset();
            }
            if (!embedding.IsEmpty && _embeddings.Add(embedding.Span))
            {
                _drift ??= string.Create(System.Globalization.CultureInfo.InvariantCulture, $"the prompts have changed: distance {_embeddings.Distance:0.000}, threshold {_embeddings.Threshold:0.000}");
                _embeddings.Reset();
            }
        }
    }

    private void AgreementFell(string task)
    {
        lock (_gate)
        {
            _drift ??= $"audits of task '{task}' find more wrong local answers than is in order";
        }
    }
}
