using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Engine;
using ContinualNative.Host.Adapters;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Host.Training;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>Changes the champion: first in the store, in one transaction with the evidence, then in the engine. A restart finds what the store says.</summary>
internal sealed partial class Promoter(SignalHub hub, ServedModel model, AdapterShelf shelf, TrafficStore store, ILogger logger) : IDisposable
{
    /// <summary>Changes of champion that are looked at: more than a rollback ever goes back.</summary>
    public const int MostRead = 1000;

    // One change at a time: the champion of the store and that of the engine must not part.
    private readonly SemaphoreSlim _gate = new(1, 1);

    /// <summary>Where the adapters are.</summary>
    public AdapterShelf Shelf => shelf;

    /// <summary>The champion now.</summary>
    public string Champion => model.Engine.Adapters.Champion ?? ModelAddress.Base;

    /// <summary>The champion to go back to; null: there is none.</summary>
    public string? Previous => PreviousOf(store.Promotions(MostRead), Champion);

    /// <summary>The changes of champion that an adapter came or went by, newest first.</summary>
    public static PromotionRecord[] Of(TrafficStore store, string adapter) => [.. store.Promotions(MostRead).Where(p => p.Adapter == adapter || p.Previous == adapter)];

    /// <summary>
    /// Makes an adapter the champion. Throws <see cref="EngineException"/> (NotFound, BadFile) when it can't be loaded, and <see cref="StoreException"/>; the champion is
    /// unchanged then.
    /// </summary>
    /// <param name="adapter">The adapter; <see cref="ModelAddress.Base"/>: the bare model.</param>
    /// <param name="reason">Why.</param>
    /// <param name="evidence">What justifies it, as JSON.</param>
    /// <param name="cycle">The cycle that ends with it, or null.</param>
    /// <param name="cancellationToken">Stops before the store is written to.</param>
    public async Task<PromotionRecord> PromoteAsync(string adapter, PromotionReason reason, string evidence, CycleRecord? cycle, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            await shelf.LoadAsync(model, adapter, cancellationToken);
            PromotionRecord promotion = await store.PromoteAsync(
                new PromotionRecord
                {
                    At = hub.Time.GetUtcNow(),
                    Adapter = adapter,
                    Previous = Champion,
                    Reason = reason,
                    Cycle = cycle?.Id,
                    Evidence = evidence,
                },
                cycle is null ? null : (cycle.Id, cycle.State, CycleState.Promoted, $"'{adapter}' is champion."),
                CancellationToken.None);
            model.Engine.Adapters.Promote(adapter == ModelAddress.Base ? null : adapter);
            LogPromoted(logger, adapter, promotion.Previous, reason);
            return promotion;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Takes the champion back: the one before it answers again. Throws <see cref="EngineException"/> (Conflict) when there is none before.</summary>
    public async Task<PromotionRecord> RollBackAsync(PromotionReason reason, string evidence, CancellationToken cancellationToken)
    {
        string previous = Previous
            ?? throw new EngineException(EngineError.Conflict, $"There is nothing to roll back to: '{Champion}' followed no other champion.", "id");
        return await PromoteAsync(previous, reason, evidence, null, cancellationToken);
    }

    /// <summary>
    /// Brings the store's champion into a freshly loaded engine; where its file is broken, the one before it, rollbacks undone, whose file is whole. Until an update or a person has chosen a champion, it is
    /// <paramref name="startAdapter"/>, which goes into the data folder, so that updates begin with it and can be taken back to it. Gives what answers now.
    /// </summary>
    /// <param name="startAdapter">The file that the engine was started with, or null.</param>
    /// <param name="cancellationToken">Stops before the store is written to.</param>
    public async Task<string> RestoreAsync(string? startAdapter, CancellationToken cancellationToken)
    {
        IReadOnlyList<PromotionRecord> promotions = store.Promotions(MostRead);
        if (promotions.All(static p => p.Reason == PromotionReason.Start))
        {
            await StartAsync(startAdapter, promotions is [{ } last, ..] ? last.Adapter : ModelAddress.Base, cancellationToken);
            return Champion;
        }
        if (startAdapter is not null)
        {
            LogStartIgnored(logger, startAdapter, promotions[0].Adapter);
            // The engine has it under the name of its file, which may be that of an adapter of the store.
            string named = Champion;
            model.Engine.Adapters.Promote(null);
            model.Engine.Adapters.Unload(named);
        }
        string champion = promotions[0].Adapter;
        string broken = "";
        foreach (string adapter in StackOf(promotions).AsEnumerable().Reverse().Append(ModelAddress.Base).Distinct())
        {
            try
            {
                await shelf.LoadAsync(model, adapter, cancellationToken);
            }
            catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
            {
                LogBroken(logger, adapter, e.Message);
                broken = broken.Length > 0 ? broken : e.Message;
                continue;
            }
            model.Engine.Adapters.Promote(adapter == ModelAddress.Base ? null : adapter);
            if (adapter != champion)
            {
                LogFellBack(logger, champion, adapter);
                await RecordFallAsync(adapter, champion, broken);
            }
            return adapter;
        }
        return Champion;
    }

    // What can't be taken in answers nevertheless: that is what was asked for.
    private async Task StartAsync(string? path, string last, CancellationToken cancellationToken)
    {
        if (path is not null)
        {
            try
            {
                await TakeInAsync(path, cancellationToken);
            }
            catch (Exception e) when (e is EngineException or IOException or UnauthorizedAccessException)
            {
                LogStartNotTaken(logger, path, e.Message.TrimEnd('.'));
            }
        }
        // Taken in or not: a candidate is compared with what answers, and the store has to know what that is.
        if (Champion != last)
        {
            await store.PromoteAsync(
                new PromotionRecord { At = hub.Time.GetUtcNow(), Adapter = Champion, Previous = last, Reason = PromotionReason.Start, Evidence = ByHand("start", store.LastSequence()) }, cancellationToken: cancellationToken);
        }
    }

    // Under the name that the engine gave it, or where another file has that, with the beginning of its hash.
    private async Task TakeInAsync(string path, CancellationToken cancellationToken)
    {
        string id = Champion, hash = FileHash.Of(path);
        if (store.Adapter(id) is { } other && !AdapterIntake.IsDeleted(other) && other.Hash != hash)
        {
            string name = id;
            id = $"{name[..Math.Min(name.Length, 48)]}-{hash[..8]}";
            await model.Engine.Adapters.LoadAsync(id, path, cancellationToken);
            model.Engine.Adapters.Promote(id);
            model.Engine.Adapters.Unload(name);
        }
        if (store.Adapter(id) is { File: not null } present && present.Hash == hash && IsWhole(present))
        {
            return;
        }
        await new AdapterIntake(shelf, store, BaseModel.Of(model), hub.Time).TakeAsync(id, path, "named when the server started", AdapterIntake.CopyOf(path, cancellationToken), cancellationToken);
    }

    private bool IsWhole(AdapterRecord adapter)
    {
        try
        {
            shelf.Verify(adapter);
            return true;
        }
        catch (EngineException)
        {
            return false;
        }
    }

    // Decision: the store is told. A candidate is compared with what answers, and the store refuses to promote one that was compared with another champion than its own.
    private async Task RecordFallAsync(string adapter, string champion, string reason) => await store.PromoteAsync(new PromotionRecord
    {
        At = hub.Time.GetUtcNow(),
        Adapter = adapter,
        Previous = champion,
        Reason = PromotionReason.Rollback,
        Evidence = JsonSerializer.Serialize(new { by = "restart", reason, sequence = store.LastSequence() }, CycleJson.Options),
    });

    /// <summary>The champion that was in force before the present one came, rollbacks undone; null when there is none.</summary>
    /// <param name="promotions">Newest first.</param>
    /// <param name="champion">The present one.</param>
    public static string? PreviousOf(IReadOnlyList<PromotionRecord> promotions, string champion)
    {
        List<string> stack = StackOf(promotions);
        return stack.Count > 1 && stack[^1] == champion ? stack[^2] : null;
    }

    // A stack of champions: a promotion puts one on, a rollback takes off those that are above the one that it goes back to.
    private static List<string> StackOf(IReadOnlyList<PromotionRecord> promotions)
    {
        List<string> stack = [];
        foreach (PromotionRecord promotion in promotions.Reverse())
        {
            if (stack.Count == 0)
            {
                stack.Add(promotion.Previous);
            }
            bool back = promotion.Reason is PromotionReason.Rollback or PromotionReason.ManualRollback && stack.Count > 1;
            int at = back ? stack.LastIndexOf(promotion.Adapter, stack.Count - 2) : -1;
            if (at >= 0)
            {
                stack.RemoveRange(at + 1, stack.Count - at - 1);
            }
            else if (stack[^1] != promotion.Adapter)
            {
                // A champion that was named at a start may be promoted once more, to stay.
                stack.Add(promotion.Adapter);
            }
        }
        return stack;
    }

    public void Dispose() => _gate.Dispose();

    /// <summary>Evidence of a promotion that nobody asked a gate about.</summary>
    public static string ByHand(string by, long sequence) => JsonSerializer.Serialize(new { by, sequence }, CycleJson.Options);

    [LoggerMessage(1501, LogLevel.Information, "'{Adapter}' is champion in place of '{Previous}' ({Reason})")]
    private static partial void LogPromoted(ILogger logger, string adapter, string previous, PromotionReason reason);

    [LoggerMessage(1502, LogLevel.Error, "The adapter '{Adapter}' can't be used: {Reason}")]
    private static partial void LogBroken(ILogger logger, string adapter, string reason);

    [LoggerMessage(1503, LogLevel.Error, "The champion '{Champion}' could not be restored; '{Adapter}' answers instead")]
    private static partial void LogFellBack(ILogger logger, string champion, string adapter);

    [LoggerMessage(1505, LogLevel.Warning, "--adapter {Path} answers, but it can't be taken into the data folder: {Reason}. Until it is, updates begin with the bare model, and after a restart nothing can be taken back to it")]
    private static partial void LogStartNotTaken(ILogger logger, string path, string reason);

    [LoggerMessage(1504, LogLevel.Warning, "--adapter {Path} is not used: '{Champion}' was promoted since, and stays champion. 'continual adapters import' and 'promote' bring another one in")]
    private static partial void LogStartIgnored(ILogger logger, string path, string champion);
}
