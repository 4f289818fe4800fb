using System.Threading.Channels;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Engine;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>
/// Runs update cycles beside serving, one at a time: takes up the one that a restart cut off, begins new ones when a trigger calls, and watches each new champion.
/// A failing cycle never ends the server.
/// </summary>
internal sealed partial class CycleService : BackgroundService
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);

    private readonly SignalHub _hub;
    private readonly ServerState _state;
    private readonly ServeOptions _options;
    private readonly ILogger _logger;
    private readonly Channel<Asked> _asked =
        Channel.CreateBounded<Asked>(new BoundedChannelOptions(16) { SingleReader = true });
    private readonly TaskCompletionSource<Parts> _parts = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private (long Cycle, CancellationTokenSource Cancel)? _running;
    private Asked? _next;
    private TaskCompletionSource _look = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Promoter? _promoter;
    private volatile CycleProgress? _progress;
    private volatile RollbackWatch? _watch;

    public CycleService(SignalHub hub, ServerState state, ServeOptions options, ILoggerFactory loggers)
    {
        _hub = hub;
        _state = state;
        _options = options;
        _logger = loggers.CreateLogger("ContinualNative.Cycles");
        state.BeforeReady = RestoreAsync;
    }

    /// <summary>How often the stages that wait for traffic, and the watch, look for it.</summary>
    public TimeSpan Interval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>What the running cycle does now, or null.</summary>
    public CycleProgress? Progress => _progress;

    /// <summary>The watch over the last promotion, or null.</summary>
    public Core.Evaluation.RollbackState? Watch => _watch?.State;

    /// <summary>
    /// Begins a cycle. Throws <see cref="StoreException"/> (Conflict) while one runs, and <see cref="EngineException"/> (InvalidRequest) where this server can run none.
    /// </summary>
    /// <param name="trigger">What sets it off.</param>
    /// <param name="cause">The same for people.</param>
    /// <param name="curation">Another curation than the policy's, for this one cycle (not for what a restart makes of it); null: the policy's.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    public async Task<CycleRecord> BeginAsync(CycleTrigger trigger, string cause, CurationOptions? curation, CancellationToken cancellationToken)
    {
        if (WhyNot() is { } reason)
        {
            throw new EngineException(EngineError.InvalidRequest, reason);
        }
        TaskCompletionSource<CycleRecord> begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await _asked.Writer.WriteAsync(new Asked(trigger, cause, curation, begun), cancellationToken);
        return await begun.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Cancels the running cycle; false when it is not the one that runs.</summary>
    public bool Cancel(long cycle)
    {
        lock (_gate)
        {
            if (_running is not { } running || running.Cycle != cycle)
            {
                return false;
            }
            running.Cancel.Cancel();
            return true;
        }
    }

    /// <summary>
    /// Ends when the stage that waits for traffic has looked at all that there is by now; at once where no cycle runs. For whoever makes the traffic, and makes it faster than any clients would.
    /// </summary>
    public async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        // The look that ends next may have begun before.
        for (int looks = 0; looks < 2; looks++)
        {
            Task look = Volatile.Read(ref _look).Task;
            lock (_gate)
            {
                if (_running is null)
                {
                    return;
                }
            }
            await look.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Makes an adapter champion because somebody says so. Throws <see cref="EngineException"/> and <see cref="StoreException"/>.</summary>
    public async Task<PromotionRecord> PromoteAsync(string adapter, string by, CancellationToken cancellationToken)
    {
        Parts parts = await PartsAsync(cancellationToken);
        return await parts.Promoter.PromoteAsync(adapter, PromotionReason.Manual, Promoter.ByHand(by, parts.Context.Store.LastSequence()), null, cancellationToken);
    }

    /// <summary>Brings the champion before this one back. Throws <see cref="EngineException"/> (Conflict) when there is none.</summary>
    public async Task<PromotionRecord> RollBackAsync(string by, CancellationToken cancellationToken)
    {
        Parts parts = await PartsAsync(cancellationToken);
        return await parts.Promoter.RollBackAsync(PromotionReason.ManualRollback, Promoter.ByHand(by, parts.Context.Store.LastSequence()), cancellationToken);
    }

    /// <summary>The shelf of adapters. Throws <see cref="EngineException"/> (InvalidRequest) where there is no store.</summary>
    public async Task<AdapterShelf> ShelfAsync(CancellationToken cancellationToken) => (await PartsAsync(cancellationToken)).Context.Shelf;

    public override void Dispose()
    {
        _promoter?.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (_hub.Store is not { } store)
        {
            return;
        }
        ServedModel model;
        try
        {
            model = await _state.Ready.WaitAsync(stoppingToken);
        }
        catch (Exception)
        {
            // The server stops, or ends with the reason.
            return;
        }
        Promoter promoter = _promoter!;
        CycleContext context = new()
        {
            Hub = _hub,
            Model = model,
            Store = store,
            Shelf = promoter.Shelf,
            Serve = _options,
            Options = _hub.CycleOptions,
            Curation = _hub.Curation,
            Logger = _logger,
            Report = progress => _progress = progress,
            Pause = PauseAsync,
        };
        _parts.SetResult(new Parts(context, promoter));
        if (WhyNot() is not null)
        {
            await WatchLoopAsync(context, promoter, stoppingToken);
            return;
        }
        await Task.WhenAll(WatchLoopAsync(context, promoter, stoppingToken), CycleLoopAsync(context, promoter, stoppingToken));
    }

    // Before the first request is taken: it is the champion's to answer.
    private async Task RestoreAsync(ServedModel model, CancellationToken cancellationToken)
    {
        if (_hub.Store is not { } store)
        {
            return;
        }
        _promoter = new Promoter(_hub, model, new AdapterShelf(_options.Data, store), store, _logger);
        try
        {
            await _promoter.RestoreAsync(_options.Adapter, cancellationToken);
        }
        catch (StoreException e)
        {
            LogStoreFailed(_logger, e.Message);
        }
    }

    private string? WhyNot() =>
        !_hub.KeepsTexts ? "This server can't run update cycles: it stores no texts to learn from (--record)."
        : _options.GpuLayers != 0 && _hub.CycleOptions.Device is null
            ? "This server can't run update cycles: layers are on the GPU (--gpu-layers), and the policy names no GPU to train on (\"update\": {\"device\": 0})."
        : null;

    private Task<Parts> PartsAsync(CancellationToken cancellationToken) =>
        _hub.Store is null
            ? throw new EngineException(EngineError.InvalidRequest, "This server keeps no adapters: it stores nothing (--record off).")
            : _parts.Task.WaitAsync(cancellationToken);

    private async Task CycleLoopAsync(CycleContext context, Promoter promoter, CancellationToken stoppingToken)
    {
        using CycleTriggers triggers = new(context);
        bool resumed = false;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!resumed)
                {
                    triggers.Recall();
                    if (context.Store.ActiveCycle() is { } active)
                    {
                        LogResumed(_logger, active.Id, active.State);
                        await RunAsync(context, promoter, active, stoppingToken);
                        triggers.CycleEnded();
                    }
                    resumed = true;
                }
                if (await NextAsync(context, promoter, triggers, stoppingToken) is ({ } cycle, var curation))
                {
                    await RunAsync(curation is null ? context : context with { Curation = curation }, promoter, cycle, stoppingToken);
                    triggers.CycleEnded();
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (StoreException e)
            {
                LogStoreFailed(_logger, e.Message);
                resumed = false;
                await DelayAsync(Pause, stoppingToken);
            }
            catch (Exception e)
            {
                // Decision: a fault in a cycle must not end the server, as it would if this escaped. The cycle stays where it is, and is taken up again.
                LogFault(_logger, e);
                resumed = false;
                await DelayAsync(Pause, stoppingToken);
            }
        }
    }

    // Waits for somebody to ask, or for a trigger.
    private async Task<(CycleRecord? Cycle, CurationOptions? Curation)> NextAsync(CycleContext context, Promoter promoter, CycleTriggers triggers, CancellationToken stoppingToken)
    {
        Asked? asked = Interlocked.Exchange(ref _next, null);
        if (asked is null)
        {
            using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
            limit.CancelAfter(Interval);
            try
            {
                asked = await _asked.Reader.ReadAsync(limit.Token);
            }
            catch (OperationCanceledException) when (!stoppingToken.IsCancellationRequested)
            {
                // Time to look at the triggers.
            }
        }
        if (asked is { } request)
        {
            try
            {
                CycleRecord cycle = await BeginAsync(context, promoter, request.Trigger, request.Cause, stoppingToken);
                request.Begun.SetResult(cycle);
                return (cycle, request.Curation);
            }
            catch (Exception e)
            {
                request.Begun.SetException(e);
                return default;
            }
        }
        return triggers.Due() is { } due ? (await BeginAsync(context, promoter, due.Trigger, due.Cause, stoppingToken), null) : default;
    }

    private static Task<CycleRecord> BeginAsync(CycleContext context, Promoter promoter, CycleTrigger trigger, string cause, CancellationToken cancellationToken) =>
        context.Store.BeginCycleAsync(trigger, cause, promoter.Champion, id => NameOf(context, id), cancellationToken);

    // Ids of adapters are given by people too.
    private static string NameOf(CycleContext context, long cycle)
    {
        string name = $"c{cycle}";
        return File.Exists(context.Shelf.PathOf(name)) || context.Store.Adapter(name) is not null ? $"c{cycle}-{context.Now.ToUnixTimeSeconds()}" : name;
    }

    private async Task RunAsync(CycleContext context, Promoter promoter, CycleRecord cycle, CancellationToken stoppingToken)
    {
        CycleRunner runner = new(context, promoter);
        using CancellationTokenSource cancel = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        lock (_gate)
        {
            _running = (cycle.Id, cancel);
        }
        // Requests that asked for a cycle while this one runs are told so now, and not when it has ended.
        Task refusing = RefuseAsync(context.Store, cancel.Token);
        try
        {
            await runner.RunAsync(cycle, cancel.Token);
            await TidyAsync(context, promoter, stoppingToken);
        }
        catch (OperationCanceledException) when (!stoppingToken.IsCancellationRequested)
        {
            await runner.CancelAsync(cycle);
        }
        finally
        {
            lock (_gate)
            {
                _running = null;
            }
            EndLook();
            _progress = null;
            await cancel.CancelAsync();
            await refusing;
        }
    }

    private Task PauseAsync(CancellationToken cancellationToken)
    {
        EndLook();
        return Task.Delay(Interval, cancellationToken);
    }

    private void EndLook() => Interlocked.Exchange(ref _look, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    private async Task RefuseAsync(TrafficStore store, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                Asked asked = await _asked.Reader.ReadAsync(cancellationToken);
                try
                {
                    if (store.ActiveCycle() is null)
                    {
                        // It has ended, and only tidies up: whoever asks now gets the next one. Not back into the queue, which may be full, and is not read any more once this one has tidied up.
                        _next = asked;
                        return;
                    }
                }
                catch (StoreException e)
                {
                    asked.Begun.SetException(e);
                    continue;
                }
                asked.Begun.SetException(new StoreException(StoreError.Conflict, "An update cycle runs already. Wait until it ends, or cancel it."));
            }
        }
        catch (OperationCanceledException)
        {
            // The cycle has ended.
        }
    }

    // Old files go, and adapters that nothing needs any more leave the engine.
    private async Task TidyAsync(CycleContext context, Promoter promoter, CancellationToken cancellationToken)
    {
        string champion = promoter.Champion;
        HashSet<string> needed = [champion];
        if (promoter.Previous is { } previous)
        {
            needed.Add(previous);
        }
        if (AdapterShelf.OriginOf(context.Store, champion == ModelAddress.Base ? null : context.Store.Adapter(champion)) is { } origin)
        {
            needed.Add(origin.Id);
        }
        // The last candidate too: requests that were assigned to it a moment ago find it still, and its cycle takes it away in a moment.
        needed.UnionWith(context.Store.Cycles(1).Select(static c => c.Candidate));
        foreach (string adapter in context.Model.Engine.Adapters.List().Select(static a => a.Id).Where(id => !needed.Contains(id) && context.Store.Adapter(id) is { Origin: AdapterOrigin.Trained }).ToArray())
        {
            try
            {
                context.Model.Engine.Adapters.Unload(adapter);
            }
            catch (EngineException)
            {
                // Somebody was faster, or has promoted it.
            }
        }
        try
        {
            foreach (string removed in await context.Shelf.RetainAsync(context.Options.KeepAdapters, needed, cancellationToken))
            {
                LogRemoved(_logger, removed);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogStoreFailed(_logger, e.Message);
        }
    }

    private async Task WatchLoopAsync(CycleContext context, Promoter promoter, CancellationToken stoppingToken)
    {
        long over = 0;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                PromotionRecord? last = context.Store.LastPromotion();
                if (last?.Number != _watch?.Promotion)
                {
                    _watch = last?.Number == over ? null : RollbackWatch.For(context, last);
                }
                if (_watch is { } watch && await watch.LookAsync(stoppingToken) is { } test)
                {
                    if (test.Alarm)
                    {
                        LogRollback(_logger, promoter.Champion, test.Reason);
                        await promoter.RollBackAsync(PromotionReason.Rollback, System.Text.Json.JsonSerializer.Serialize(new { reason = test.Reason, test = test.State }, CycleJson.Options), stoppingToken);
                    }
                    else if (test.IsOver)
                    {
                        over = watch.Promotion;
                        _watch = null;
                    }
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception e) when (e is StoreException or EngineException or IOException)
            {
                LogStoreFailed(_logger, e.Message);
                await DelayAsync(Pause, stoppingToken);
            }
            catch (Exception e)
            {
                LogFault(_logger, e);
                await DelayAsync(Pause, stoppingToken);
            }
            await DelayAsync(Interval, stoppingToken);
        }
    }

    private static async Task DelayAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        try
        {
            await Task.Delay(time, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // The loop ends.
        }
    }

    private sealed record Asked(CycleTrigger Trigger, string Cause, CurationOptions? Curation, TaskCompletionSource<CycleRecord> Begun);

    private sealed record Parts(CycleContext Context, Promoter Promoter);

    [LoggerMessage(1521, LogLevel.Information, "Cycle {Cycle} goes on: {State}")]
    private static partial void LogResumed(ILogger logger, long cycle, CycleState state);

    [LoggerMessage(1522, LogLevel.Warning, "Update cycles wait: {Reason}")]
    private static partial void LogStoreFailed(ILogger logger, string reason);

    [LoggerMessage(1523, LogLevel.Error, "An update cycle has a fault; it is taken up again")]
    private static partial void LogFault(ILogger logger, Exception failure);

    [LoggerMessage(1524, LogLevel.Information, "The file of adapter '{Adapter}' was removed: newer ones are kept")]
    private static partial void LogRemoved(ILogger logger, string adapter);

    [LoggerMessage(1525, LogLevel.Warning, "The champion '{Champion}' is taken back: {Reason}")]
    private static partial void LogRollback(ILogger logger, string champion, string reason);
}
