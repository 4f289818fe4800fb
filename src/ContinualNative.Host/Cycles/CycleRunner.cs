using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;
using ContinualNative.Storage;
using ContinualNative.Training;

namespace ContinualNative.Host.Cycles;

/// <summary>
/// Takes one cycle from the state that it is in to its end. Every state can be taken up again after a crash: what a step needs is in the store, or is computed anew;
/// training goes on from its checkpoint. Nothing becomes champion but by <see cref="Promoter"/>, in the transaction that ends the cycle.
/// </summary>
internal sealed partial class CycleRunner(CycleContext context, Promoter promoter)
{
    private CycleRecord _cycle = null!;
    private CuratedSet? _set;
    private GateEvidence? _evidence;
    private GateVerdict? _verdict;

    /// <summary>Runs to the end. Throws <see cref="OperationCanceledException"/> with the cycle as it stands: it goes on another time, or is cancelled by the caller.</summary>
    public async Task<CycleRecord> RunAsync(CycleRecord cycle, CancellationToken cancellationToken)
    {
        _cycle = cycle;
        try
        {
            while (_cycle.IsActive)
            {
                LogState(context.Logger, _cycle.Id, _cycle.State);
                context.Report(new CycleProgress(_cycle.Id, _cycle.State, "begins", null, null));
                MustStillBeChampion();
                await StepAsync(cancellationToken);
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested && e is CycleStop or TrainingException or TrainerException or ParityException or EngineException or IOException or UnauthorizedAccessException or PolicyOptionException)
        {
            bool refused = e is CycleStop;
            await EndAsync(refused ? CycleState.Rejected : CycleState.Failed, null, e.Message);
        }
        CleanUp();
        LogEnded(context.Logger, _cycle.Id, _cycle.State, _cycle.Outcome);
        return _cycle;
    }

    /// <summary>Ends a cycle that was to be cancelled.</summary>
    public async Task<CycleRecord> CancelAsync(CycleRecord cycle)
    {
        _cycle = context.Store.Cycle(cycle.Id) ?? cycle;
        if (_cycle.IsActive)
        {
            await EndAsync(CycleState.Cancelled, null, "Cancelled.");
            CleanUp();
        }
        return _cycle;
    }

    private Task StepAsync(CancellationToken cancellationToken) => _cycle.State switch
    {
        CycleState.Curating => CurateAsync(cancellationToken),
        CycleState.Training => TrainAsync(cancellationToken),
        CycleState.Evaluating => EvaluateAsync(cancellationToken),
        CycleState.Shadow => ShadowAsync(cancellationToken),
        _ => CanaryAsync(cancellationToken),
    };

    private async Task CurateAsync(CancellationToken cancellationToken)
    {
        await context.Store.FlushAsync(cancellationToken);
        long upTo = context.Store.LastSequence();
        CuratedSet set = await CurateAsync(upTo, cancellationToken);
        int fresh = set.Train.Count(static t => !t.Example.Replay);
        if (fresh < context.Options.MinimumExamples)
        {
            throw new CycleStop($"There are {fresh} fresh examples to learn from, and a cycle wants {context.Options.MinimumExamples}: it takes more labels (--teach-per-day, --audit), or more outcomes.");
        }
        await context.Store.SaveDatasetAsync(_cycle.Id, set.Hash, set.Report.ToJson(), [.. set.Train.Select(static t => t.Example)], cancellationToken);
        _cycle = await context.Store.AdvanceCycleAsync(_cycle.Id, CycleState.Curating, CycleState.Training, "curate", set.Report.ToJson(), "", upTo, cancellationToken);
        _set = set;
    }

    private async Task TrainAsync(CancellationToken cancellationToken)
    {
        CuratedSet set = await SetAsync(cancellationToken);
        AdapterRecord? parent = ParentOf();
        // Before the first step: whoever is erased while it trains is listed with this adapter.
        await context.Store.RecordAdapterAsync(_cycle.Candidate, parent?.Id, [.. set.Train.Select(static t => t.Example.RequestId).Distinct()], cancellationToken);
        CycleTraining training = new(context.Model, context.Serve, context.Options, context.Curation, context.Shelf);
        DateTimeOffset begun = context.Now;
        TrainedAdapter trained = await training.RunAsync(_cycle, set.Train, parent, new Steps(this), cancellationToken);
        await context.Shelf.RecordAsync(
            new AdapterRecord
            {
                Id = _cycle.Candidate,
                Parent = parent?.Id,
                Origin = AdapterOrigin.Trained,
                Status = AdapterStatus.Candidate,
                At = context.Now,
                Model = context.Model.Fingerprint,
                Cycle = _cycle.Id,
            },
            cancellationToken);
        await context.Store.RecordAsync(
            new LedgerEntry { At = begun, Kind = LedgerKind.Training, Amount = Money.FromDollars(context.Serve.MachinePrice * (decimal)(trained.Seconds / 3600)), Seconds = trained.Seconds }, cancellationToken);
        _cycle = await context.Store.AdvanceCycleAsync(_cycle.Id, CycleState.Training, CycleState.Evaluating, "train", trained.ToJson(), cancellationToken: cancellationToken);
    }

    private async Task EvaluateAsync(CancellationToken cancellationToken)
    {
        (GateVerdict verdict, GateEvidence evidence) = await MeasureAsync(cancellationToken);
        await context.Store.SaveEvaluationAsync(_cycle.Id, _cycle.Candidate, "gate", context.Now, GateVerdictJson.Write(verdict), cancellationToken);
        if (verdict.Decision == GateDecision.Reject)
        {
            await EndAsync(CycleState.Rejected, ("evaluate", GateVerdictJson.Write(verdict)), verdict.Summary);
            return;
        }
        (_verdict, _evidence) = (verdict, evidence);
        _cycle = await context.Store.AdvanceCycleAsync(_cycle.Id, CycleState.Evaluating, CycleState.Shadow, "evaluate", GateVerdictJson.Write(verdict), cancellationToken: cancellationToken);
    }

    private async Task ShadowAsync(CancellationToken cancellationToken)
    {
        if (_evidence is null)
        {
            // Taken up again: what was measured before is measured anew, with the same labels.
            (_verdict, _evidence) = await MeasureAsync(cancellationToken);
        }
        ShadowStage stage = new(Attentive, _cycle, new EvaluateStage(context, _cycle));
        (GateVerdict verdict, ShadowResult result) = await stage.RunAsync(_evidence, cancellationToken);
        await context.Store.SaveEvaluationAsync(_cycle.Id, _cycle.Candidate, "shadow", context.Now, GateVerdictJson.Write(verdict), cancellationToken);
        if (verdict.Decision != GateDecision.Pass)
        {
            await EndAsync(CycleState.Rejected, ("shadow", result.ToJson()), verdict.Summary);
            return;
        }
        _verdict = verdict;
        _cycle = await context.Store.AdvanceCycleAsync(_cycle.Id, CycleState.Shadow, CycleState.Canary, "shadow", result.ToJson(), cancellationToken: cancellationToken);
    }

    private async Task CanaryAsync(CancellationToken cancellationToken)
    {
        await context.Shelf.LoadAsync(context.Model, _cycle.Candidate, cancellationToken);
        await context.Store.FlushAsync(cancellationToken);
        long since = CanarySince() ?? context.Store.LastSequence();
        await context.Store.NoteCycleAsync(_cycle.Id, "canary", new CanaryResult { Since = since }.ToJson(), cancellationToken);
        (string? refusal, CanaryResult result) = await new CanaryStage(Attentive, _cycle).RunAsync(since, cancellationToken);
        if (refusal is not null)
        {
            await EndAsync(CycleState.Rejected, ("canary", result.ToJson()), refusal);
            return;
        }
        await context.Store.NoteCycleAsync(_cycle.Id, "canary", result.ToJson(), cancellationToken);
        await PromoteAsync(result, cancellationToken);
    }

    // Stages that wait for traffic look, too, whether there is still what they compare with.
    private CycleContext Attentive => context with
    {
        Pause = async cancel =>
        {
            MustStillBeChampion();
            await context.Pause(cancel);
        },
    };

    private void MustStillBeChampion()
    {
        if (promoter.Champion != _cycle.Champion)
        {
            throw new CycleStop($"Meanwhile '{promoter.Champion}' became champion; '{_cycle.Candidate}' was compared with '{_cycle.Champion}'.");
        }
    }

    private async Task PromoteAsync(CanaryResult canary, CancellationToken cancellationToken)
    {
        MustStillBeChampion();
        string gate = _verdict is { } verdict ? GateVerdictJson.Write(verdict) : context.Store.Evaluations(_cycle.Candidate)[^1].Json;
        string evidence = $$"""{"sequence":{{context.Store.LastSequence()}},"gate":{{gate}},"canary":{{canary.ToJson()}}}""";
        try
        {
            await promoter.PromoteAsync(_cycle.Candidate, PromotionReason.Gate, evidence, _cycle, cancellationToken);
        }
        catch (StoreException e) when (e.Error == StoreError.Conflict)
        {
            throw new CycleStop(e.Message);
        }
        _cycle = context.Store.Cycle(_cycle.Id)!;
    }

    private async Task<(GateVerdict Verdict, GateEvidence Evidence)> MeasureAsync(CancellationToken cancellationToken)
    {
        await context.Shelf.LoadAsync(context.Model, _cycle.Candidate, cancellationToken);
        await context.Shelf.LoadAsync(context.Model, _cycle.Champion, cancellationToken);
        return await new EvaluateStage(context, _cycle).RunAsync(await SetAsync(cancellationToken), cancellationToken);
    }

    private async Task<CuratedSet> SetAsync(CancellationToken cancellationToken) =>
        _set ??= await CurateAsync(_cycle.Sequence, cancellationToken);

    private Task<CuratedSet> CurateAsync(long upTo, CancellationToken cancellationToken) => Task.Run(
        () => CurateStage.Curate(context.Store, context.Curation, Same, _cycle.Id, upTo, _cycle.StartedAt), cancellationToken);

    private bool Same(string task, string a, string b) => a == b || new CycleEvaluator(context.Hub, context.Model).Score(task, a, b).Right;

    // Warm from the champion, but from where it all began every so many cycles: what was learned wrongly once does not stay for ever.
    private AdapterRecord? ParentOf()
    {
        AdapterRecord? champion = _cycle.Champion == ModelAddress.Base ? null : context.Store.Adapter(_cycle.Champion);
        return context.Options.FromBaseEvery > 0 && _cycle.Id % context.Options.FromBaseEvery == 0 ? AdapterShelf.OriginOf(context.Store, champion) : champion;
    }

    private long? CanarySince()
    {
        using JsonDocument detail = JsonDocument.Parse(_cycle.Detail);
        return detail.RootElement.TryGetProperty("canary", out JsonElement canary) && canary.TryGetProperty("since", out JsonElement since) ? since.GetInt64() : null;
    }

    private async Task EndAsync(CycleState end, (string Step, string Json)? step, string outcome)
    {
        _cycle = await context.Store.AdvanceCycleAsync(_cycle.Id, _cycle.State, end, step?.Step, step?.Json, outcome);
        if (end is CycleState.Rejected or CycleState.Cancelled && context.Store.Adapter(_cycle.Candidate) is { Status: AdapterStatus.Candidate })
        {
            await context.Store.SetAdapterAsync(_cycle.Candidate, AdapterStatus.Rejected);
        }
    }

    private void CleanUp()
    {
        string folder = CycleTraining.FolderOf(context.Serve.Data, _cycle.Id);
        try
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotCleaned(context.Logger, folder, e.Message);
        }
        if (_cycle.State != CycleState.Promoted && IsSpare())
        {
            // Requests that were assigned to it a moment ago find it still; sequences that run on it keep it anyway.
            context.Hub.Track(async () =>
            {
                await Task.Delay(TimeSpan.FromSeconds(2));
                if (IsSpare())
                {
                    context.Model.Engine.Adapters.Unload(_cycle.Candidate);
                }
            });
        }

        bool IsSpare() => context.Model.Engine.Adapters.Contains(_cycle.Candidate) && promoter.Champion != _cycle.Candidate;
    }

    private sealed class Steps(CycleRunner runner) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => runner.ReportStep(value);
    }

    private void ReportStep(TrainingProgress now) => context.Report(new CycleProgress(
        _cycle.Id,
        CycleState.Training,
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"step {now.Step} of {now.Steps}, loss {now.Loss:0.000}, {now.TokensPerSecond:0} tok/s"),
        (double)now.Step / Math.Max(1, now.Steps),
        now.TimeLeft));

    [LoggerMessage(1511, LogLevel.Information, "Cycle {Cycle}: {State}")]
    private static partial void LogState(ILogger logger, long cycle, CycleState state);

    [LoggerMessage(1512, LogLevel.Information, "Cycle {Cycle} ended: {State}. {Outcome}")]
    private static partial void LogEnded(ILogger logger, long cycle, CycleState state, string outcome);

    [LoggerMessage(1513, LogLevel.Warning, "The folder '{Folder}' could not be removed: {Reason}")]
    private static partial void LogNotCleaned(ILogger logger, string folder, string reason);
}
