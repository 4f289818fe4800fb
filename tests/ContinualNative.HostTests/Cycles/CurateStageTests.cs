using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Cycles;
using ContinualNative.HostTests.Commands;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Cycles;

public sealed class CurateStageTests : IDisposable
{
    private readonly TestStore _store = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task Broken_is_what_the_champion_and_the_candidates_since_have_broken_and_is_the_same_when_a_cycle_is_resumed()
    {
        await _store.FillAsync();
        await using TrafficStore store = _store.Open();
        Assert.Empty(CurateStage.Broken(store, long.MaxValue));
        await EndAsync(store, ["before"], promoted: false);
        await EndAsync(store, ["accepted"], promoted: true);
        await EndAsync(store, null, promoted: false);
        await EndAsync(store, ["x", "y"], promoted: false);
        await EndAsync(store, ["y", "z"], promoted: false);
        Assert.Equal(["y", "z", "x", "accepted"], CurateStage.Broken(store, long.MaxValue));
        Assert.Equal(["x", "y", "accepted"], CurateStage.Broken(store, 5));
        Assert.Equal(["before"], CurateStage.Broken(store, 2));

        // A champion that was taken back is none: what it broke and what those before it broke counts.
        await store.SetAdapterAsync("c2", AdapterStatus.RolledBack, Cancelled);
        Assert.Equal(["y", "z", "x", "accepted", "before"], CurateStage.Broken(store, long.MaxValue));
    }

    // null: a verdict of a version that did not keep it.
    private static async Task EndAsync(TrafficStore store, string[]? broken, bool promoted)
    {
        CycleRecord cycle = await store.BeginCycleAsync(CycleTrigger.Manual, "", ModelAddress.Base, static id => $"c{id}", Cancelled);
        await store.RecordAdapterAsync(cycle.Candidate, null, [], Cancelled);
        await store.SaveAdapterAsync(
            new AdapterRecord { Id = cycle.Candidate, Origin = AdapterOrigin.Trained, Status = AdapterStatus.Candidate, At = DateTimeOffset.UtcNow, Model = "m", File = "f", Hash = "h", Rank = 1, Cycle = cycle.Id }, Cancelled);
        GateVerdict verdict = Gate.Judge(new GateOptions(), new GateInput { Fresh = [] }) with { Broken = broken };
        await store.SaveEvaluationAsync(cycle.Id, cycle.Candidate, "gate", DateTimeOffset.UtcNow, GateVerdictJson.Write(verdict), Cancelled);
        if (promoted)
        {
            PromotionRecord promotion = new() { Number = 0, Adapter = cycle.Candidate, Previous = ModelAddress.Base, At = DateTimeOffset.UtcNow, Reason = PromotionReason.Gate, Evidence = "{}", Cycle = cycle.Id };
            await store.PromoteAsync(promotion, (cycle.Id, CycleState.Curating, CycleState.Promoted, "better"), Cancelled);
        }
        else
        {
            await store.AdvanceCycleAsync(cycle.Id, CycleState.Curating, CycleState.Rejected, null, null, "worse", cancellationToken: Cancelled);
        }
    }
}
