using System.Threading.Channels;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>
/// Keeps the router calibrated: from stored calibrations at the start, again as labels come in, at once when the audits tell that more goes wrong than is in
/// order, and after every swap of the adapter by asking the new one what recent labelled requests asked.
/// </summary>
internal sealed partial class CalibrationService(SignalHub hub, ServerState state, ILoggerFactory loggers) : BackgroundService
{
    private const int MostSamples = 20_000;
    private const int MostReplayed = 200;
    private const int MostAuditWindow = 20_000;
    private const int MostWatched = 512;
    private const int MostJudged = 4096;
    private const int MostHeld = 512;

    // New labels that are worth a new fit: few while there are few, then a share of what there is.
    private const int LeastNew = 10;
    private const int MostNew = 200;

    // After drift or a swap audits are what is missing: so many more of them, up to so large a share, until so many have come.
    private const double AuditBoost = 5;
    private const double MostAudits = 0.25;
    private const int BoostedAudits = 100;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly Channel<string> _labelled = Channel.CreateBounded<string>(new BoundedChannelOptions(4096) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
    private readonly ILogger _logger = loggers.CreateLogger("ContinualNative.Calibration");
    // Decision: an alarm may be false once in 200 audits, not in 2,000. A false one costs some dozens of requests routed up; on real utterances the stricter detector took four
    // times as many requests to notice that half of them had become unknown (bench/results/routing-2026-11-26.md).
    private readonly RecalibrationTrigger _trigger = new(meanRunLength: 200);
    private readonly HashSet<string> _watched = new(StringComparer.Ordinal);
    private readonly Queue<string> _watchedOrder = new();
    private readonly List<LabelledSample> _replayed = [];
    private int _waiting;
    private int _fitted;
    private int _boosted;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (hub.Store is not { } store || !hub.Frontier.IsConfigured)
        {
            return;
        }
        hub.Labelled += task => _labelled.Writer.TryWrite(task);
        try
        {
            Restore(store);
        }
        catch (StoreException e)
        {
            LogPostponed(_logger, e.Message);
        }
        ServedModel model;
        try
        {
            model = await state.Ready.WaitAsync(stoppingToken);
        }
        catch (Exception) when (!stoppingToken.IsCancellationRequested)
        {
            // The model can't be loaded: the server ends with the reason.
            return;
        }
        string champion = ChampionOf(model);
        try
        {
            HoldReports(store);
            CountWords(store, champion);
        }
        catch (StoreException e)
        {
            LogPostponed(_logger, e.Message);
        }
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await WaitAsync(stoppingToken);
                string now = ChampionOf(model);
                if (now != champion)
                {
                    await SwapAsync(store, model, now, stoppingToken);
                    champion = now;
                }
                else if (_waiting > 0)
                {
                    await store.FlushAsync(stoppingToken);
                    Recalibration call = Watch(store, champion);
                    if (call == Recalibration.Drift || _waiting >= (call == Recalibration.Due ? LeastNew : Math.Clamp(_fitted / 20, LeastNew, MostNew)))
                    {
                        if (HoldReports(store) || hub.IsRecountDue)
                        {
                            CountWords(store, champion);
                        }
                        await FitAsync(store, champion, stoppingToken);
                    }
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception e) when (e is StoreException or EngineException)
            {
                // What is in force stays in force; the next label tries again.
                LogPostponed(_logger, e.Message);
                await PauseAsync(stoppingToken);
            }
            catch (Exception e)
            {
                // Decision: a server whose calibration has a fault goes on with the one that it has; it would be stopped if this escaped.
                LogFailed(_logger, e);
                await PauseAsync(stoppingToken);
            }
        }
    }

    private async Task PauseAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.Delay(TimeSpan.FromSeconds(10), hub.Time, stoppingToken);
        }
        catch (OperationCanceledException)
        {
            // The loop ends.
        }
    }

    private static string ChampionOf(ServedModel model) => model.Engine.Adapters.Champion ?? ModelAddress.Base;

    private void Restore(TrafficStore store)
    {
        foreach ((long id, string task, _, _, string text) in store.Calibrations())
        {
            try
            {
                hub.Router.Update(Calibration.FromJson(text, id));
            }
            catch (FormatException e)
            {
                LogUnreadable(_logger, task, e.Message);
            }
        }
        hub.Novelty.Replace(store.KnownEmbeddings(hub.Novelty.Capacity));
    }

    // Only where the adapter changes, or who is believed: in between each label and report is counted as it comes.
    private void CountWords(TrafficStore store, string adapter) => hub.CountWords(store, adapter, MostJudged);

    // Holds reports against labels; gives whether somebody is believed now who was not before, or the other way round.
    private bool HoldReports(TrafficStore store)
    {
        if (hub.Curation.BelieveReports)
        {
            return false;
        }
        DateTimeOffset now = hub.Time.GetUtcNow();
        long last = store.LastSequence();
        string[] held = [.. store.SignalKeys(Math.Max(0, last - MostAuditWindow), last, MostAuditWindow).Where(static k => k.Labelled && k.Reported).TakeLast(MostHeld).Select(static k => k.RequestId)];
        KeyTrust trust = KeyTrust.From(store.SignalRequests(held), now, (task, a, b) => hub.Tasks.Find(task) is { Measure: not AgreementMeasure.Judge } definition
            ? definition.Passes(Agreement.Score(definition.Measure, a, b, static t => PromptEmbedder.Embed(t)))
            : Agreement.Score(AgreementMeasure.Normalized, a, b) >= 1);
        KeyTrust before = hub.Trust;
        hub.Trust = trust;
        return before.Figures.Concat(trust.Figures).Any(f => before.Of(f.KeyId, now) >= hub.Curation.MinimumTrust != trust.Of(f.KeyId, now) >= hub.Curation.MinimumTrust);
    }

    private async Task WaitAsync(CancellationToken cancellationToken)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Interval);
        try
        {
            await _labelled.Reader.WaitToReadAsync(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Time to look for another champion.
        }
        while (_labelled.Reader.TryRead(out _))
        {
            _waiting++;
        }
    }

    // Feeds the audits that are new; gives the most urgent of what they call for.
    private Recalibration Watch(TrafficStore store, string champion)
    {
        Recalibration call = Recalibration.None;
        foreach (LabelledSample sample in store.Samples(null, champion, MostWatched).Reverse())
        {
            if (!sample.Audited || !_watched.Add(sample.RequestId))
            {
                continue;
            }
            _watchedOrder.Enqueue(sample.RequestId);
            if (_watchedOrder.Count > 8 * MostWatched)
            {
                _watched.Remove(_watchedOrder.Dequeue());
            }
            if (_boosted > 0 && --_boosted == 0)
            {
                hub.Router.AuditShare = hub.Options.Audit;
            }
            switch (_trigger.Add(sample, hub.Router.CalibrationFor(sample.Task, sample.Adapter, sample.Features.Early)))
            {
                case Recalibration.Drift:
                    call = Recalibration.Drift;
                    Boost(BoostedAudits);
                    LogDrift(_logger, sample.Task, _trigger.Since[sample.Task]);
                    hub.AgreementHasFallen(sample.Task);
                    break;
                case Recalibration.Due when call == Recalibration.None:
                    call = Recalibration.Due;
                    break;
            }
        }
        return call;
    }

    private void Boost(int audits)
    {
        _boosted = audits;
        hub.Router.AuditShare = Math.Max(hub.Options.Audit, Math.Min(MostAudits, hub.Options.Audit * AuditBoost));
    }

    private async Task FitAsync(TrafficStore store, string champion, CancellationToken cancellationToken)
    {
        IReadOnlyList<LabelledSample> stored = store.Samples(null, null, MostSamples);
        // A request that the adapter has answered itself by now is no longer a replay.
        HashSet<string> own = [.. stored.Where(s => s.Adapter == champion).Select(static s => s.RequestId)];
        List<LabelledSample> samples = [.. stored, .. _replayed.Where(s => s.Adapter == champion && !own.Contains(s.RequestId))];
        Calibrator calibrator = new(hub.CalibrationOptions);
        foreach (Calibration calibration in calibrator.Fit(samples, champion, _trigger.Since))
        {
            long id = await store.SaveCalibrationAsync(calibration.Task, champion, calibration.ToJson(), cancellationToken);
            hub.Router.Update(calibration with { Id = id });
            hub.Metrics.Calibrated(calibration.Task);
        }
        hub.Novelty.Replace(store.KnownEmbeddings(hub.Novelty.Capacity));
        _fitted = samples.Count;
        _waiting = 0;
        LogFitted(_logger, samples.Count, champion);
    }

    private async Task SwapAsync(TrafficStore store, ServedModel model, string adapter, CancellationToken cancellationToken)
    {
        await store.FlushAsync(cancellationToken);
        HoldReports(store);
        CountWords(store, adapter);
        _replayed.RemoveAll(s => s.Adapter == adapter);
        long last = store.LastSequence();
        ILookup<string, string> audits = store.SignalKeys(Math.Max(0, last - MostAuditWindow), last, MostAuditWindow).Where(static k => k.Audited && k.Labelled).ToLookup(static k => k.Task, static k => k.RequestId);
        foreach (string task in store.Tasks())
        {
            if (hub.Tasks.Find(task) is not { } definition || definition.Measure == AgreementMeasure.Judge)
            {
                // Judging costs money, and nobody has said that a swap may.
                continue;
            }
            // Audits above all: no adapter has learned from them, so that they tell of the new one what they told of the old one.
            foreach (string id in audits[task].TakeLast(MostReplayed).Concat(store.RecentLabelled(task, MostReplayed / 2)).Distinct())
            {
                if (await ReplayAsync(store, model, definition, id, adapter, cancellationToken) is { } sample)
                {
                    _replayed.Add(sample);
                }
            }
        }
        LogReplayed(_logger, _replayed.Count(s => s.Adapter == adapter), adapter);
        if (BoostedAudits - _replayed.Count(s => s.Adapter == adapter && s.Audited) is > 0 and int missing)
        {
            Boost(missing);
        }
        await FitAsync(store, adapter, cancellationToken);
    }

    // What the new adapter answers to a labelled request, and whether that is right. null when it can't be told.
    private async Task<LabelledSample?> ReplayAsync(TrafficStore store, ServedModel model, TaskDefinition task, string id, string adapter, CancellationToken cancellationToken)
    {
        if (store.Find(id) is not { Erased: false, Request: { Prompt: { } prompt, Kind: RequestKind.Chat } request } stored
            || stored.Labels.LastOrDefault(static l => l.Answer is not null)?.Answer is not { } truth)
        {
            return null;
        }
        bool early = request.Decision.Features?.Early ?? false;
        if (await new Replayer(hub, model).AskAsync(prompt, adapter, early, seed: null, timed: false, cancellationToken) is not { } replay)
        {
            return null;
        }
        double agreement = Agreement.Score(task.Measure, replay.Answer, truth, static t => PromptEmbedder.Embed(t));
        float novelty = request.Embedding.Length > 0 ? hub.Novelty.Distance(request.Embedding.Span, leaveOutSelf: true) : 1;
        bool counted = stored.SeenBy.Count > 0 || stored.Labels.Any(static l => l.Correct == true);
        float wordRisk = RequestText.QuestionOf(prompt) is { } question ? hub.Words.Risk(question, leaveOutSelf: counted) : float.NaN;
        return new LabelledSample(
            stored.Sequence,
            id,
            task.Name,
            adapter,
            RoutingFeatures.Of(replay.Seen, replay.Result.PromptTokens, novelty, replay.Result.FinishReason == FinishReason.Length, early, wordRisk),
            task.Passes(agreement),
            // Decision: what any adapter has learned from is no audit of a later one, whether or not that one descends from it.
            request.Decision.Audited && stored.SeenBy.Count == 0,
            request.Decision.AuditProbability);
    }

    [LoggerMessage(1421, LogLevel.Information, "Calibrated on {Samples} labelled answers for the adapter '{Adapter}'")]
    private static partial void LogFitted(ILogger logger, int samples, string adapter);

    [LoggerMessage(1422, LogLevel.Warning, "More local answers of task '{Task}' go wrong than is in order, since request number {Sequence}: calibrating on what came after, with more audits for a while")]
    private static partial void LogDrift(ILogger logger, string task, long sequence);

    [LoggerMessage(1423, LogLevel.Information, "Asked the new adapter '{Adapter}' for {Samples} labelled requests again")]
    private static partial void LogReplayed(ILogger logger, int samples, string adapter);

    [LoggerMessage(1424, LogLevel.Warning, "The stored calibration of task '{Task}' is left out: {Reason}")]
    private static partial void LogUnreadable(ILogger logger, string task, string reason);

    [LoggerMessage(1426, LogLevel.Error, "Calibration failed; what is in force stays in force, and it is tried again")]
    private static partial void LogFailed(ILogger logger, Exception failure);

    [LoggerMessage(1425, LogLevel.Warning, "Calibration is postponed: {Reason}")]
    private static partial void LogPostponed(ILogger logger, string reason);
}
