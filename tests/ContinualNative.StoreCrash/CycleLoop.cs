using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage;

namespace ContinualNative.StoreCrash;

/// <summary>Runs update cycles one after the other without training anything, and takes up the one that a killed process left. Every third candidate is refused.</summary>
internal sealed class CycleLoop(TrafficStore store, Action<string> tell)
{
    private static readonly CuratedExample[] Examples =
    [
        .. Enumerable.Range(1, 200).Select(static i => new CuratedExample { RequestId = i.ToString("x24"), Task = "t", Slice = "t 2026-W10", Source = ExampleSource.Teacher, Weight = 1 }),
    ];

    /// <summary>Never ends. Tells <c>id state</c> once a state is acknowledged.</summary>
    public async Task RunAsync()
    {
        while (true)
        {
            CycleRecord cycle = store.ActiveCycle() ?? await store.BeginCycleAsync(CycleTrigger.Manual, "crash", Champion(), static id => "c" + id);
            CycleState state = await StepAsync(cycle);
            tell($"{cycle.Id} {(int)state}");
        }
    }

    private async Task<CycleState> StepAsync(CycleRecord cycle)
    {
        switch (cycle.State)
        {
            case CycleState.Curating:
                await store.SaveDatasetAsync(cycle.Id, "hash", "{}", Examples);
                return await AdvanceAsync(cycle, CycleState.Training, "curate");
            case CycleState.Training:
                await store.NoteCycleAsync(cycle.Id, "train", """{"step":1}""");
                await store.SaveAdapterAsync(new AdapterRecord { Id = cycle.Candidate, Origin = AdapterOrigin.Trained, At = DateTimeOffset.UtcNow, Model = "m", Cycle = cycle.Id });
                return await AdvanceAsync(cycle, CycleState.Evaluating, "train");
            case CycleState.Evaluating:
                await store.SaveEvaluationAsync(cycle.Id, cycle.Candidate, "gate", DateTimeOffset.UtcNow, "{}");
                return await AdvanceAsync(cycle, CycleState.Shadow, "evaluate");
            case CycleState.Shadow:
                return await AdvanceAsync(cycle, CycleState.Canary, "shadow");
            default:
                if (cycle.Id % 3 == 0)
                {
                    return await AdvanceAsync(cycle, CycleState.Rejected, "canary");
                }
                PromotionRecord promotion = new() { At = DateTimeOffset.UtcNow, Adapter = cycle.Candidate, Previous = Champion(), Reason = PromotionReason.Gate, Cycle = cycle.Id };
                await store.PromoteAsync(promotion, (cycle.Id, CycleState.Canary, CycleState.Promoted, "better"));
                return CycleState.Promoted;
        }
    }

    private async Task<CycleState> AdvanceAsync(CycleRecord cycle, CycleState to, string step) =>
        (await store.AdvanceCycleAsync(cycle.Id, cycle.State, to, step, """{"done":true}""")).State;

    private string Champion() => store.LastPromotion()?.Adapter ?? ModelAddress.Base;
}
