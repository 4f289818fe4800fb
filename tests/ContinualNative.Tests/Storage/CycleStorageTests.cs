using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class CycleStorageTests
{
    private static readonly CycleState[] Steps = [CycleState.Curating, CycleState.Training, CycleState.Evaluating, CycleState.Shadow, CycleState.Canary];

    [Fact]
    public async Task A_cycle_goes_through_its_states_and_keeps_what_each_step_left()
    {
        await using StoreFixture fixture = Open();
        Assert.Null(fixture.Store.ActiveCycle());
        CycleRecord begun = await BeginAsync(fixture.Store, CycleTrigger.Drift, "embedding distance 0.4");
        CycleRecord expected = new()
        {
            Id = 1,
            State = CycleState.Curating,
            Trigger = CycleTrigger.Drift,
            Cause = "embedding distance 0.4",
            Champion = "base",
            Candidate = "c1",
            StartedAt = Start,
            ChangedAt = Start,
        };
        Assert.Equal(expected, begun);
        fixture.Time.Advance(TimeSpan.FromMinutes(1));
        CycleRecord training = await fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, "curate", """{"examples":12,"loss":0.1}""", sequence: 77);
        expected = expected with { State = CycleState.Training, ChangedAt = Start.AddMinutes(1), Sequence = 77, Detail = """{"curate":{"examples":12,"loss":0.1}}""" };
        Assert.Equal(expected, training);
        Assert.True(await fixture.Store.NoteCycleAsync(1, "train", """{"step":1}"""));
        Assert.True(await fixture.Store.NoteCycleAsync(1, "train", """{"step":2}"""));
        expected = expected with { Detail = """{"curate":{"examples":12,"loss":0.1},"train":{"step":2}}""" };
        Assert.Equal(expected, fixture.Store.ActiveCycle());
        Assert.Equal(expected, fixture.Store.Cycle(1));
        await fixture.ReopenAsync();
        Assert.Equal(expected, fixture.Store.ActiveCycle());
        CycleRecord ended = await fixture.Store.AdvanceCycleAsync(1, CycleState.Training, CycleState.Failed, null, null, "no room");
        Assert.Equal(expected with { State = CycleState.Failed, Outcome = "no room" }, ended);
        Assert.False(ended.IsActive);
        Assert.Null(fixture.Store.ActiveCycle());
        Assert.False(await fixture.Store.NoteCycleAsync(1, "train", "{}"));
        Assert.Null(fixture.Store.Cycle(2));
        Assert.Equal(2, (await BeginAsync(fixture.Store)).Id);
        Assert.Equal([2, 1], fixture.Store.Cycles(9).Select(c => c.Id));
        Assert.Equal([2], fixture.Store.Cycles(1).Select(c => c.Id));
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task A_state_that_changed_meanwhile_is_not_changed_again()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        await fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Cancelled, null, null, "by hand");
        CycleRecord before = fixture.Store.Cycle(1)!;
        StoreException e = await Assert.ThrowsAsync<StoreException>(() => fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, "curate", "{}", sequence: 9));
        Assert.Equal((StoreError.Conflict, "Cycle 1 is Cancelled and not Curating."), (e.Error, e.Message));
        Assert.Equal(before, fixture.Store.Cycle(1));
        Assert.Equal("There is no cycle 5.", (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.AdvanceCycleAsync(5, CycleState.Curating, CycleState.Training, null, null))).Message);
        Assert.Null(fixture.Store.Statistics.Failing);
    }

    [Fact]
    public async Task What_cannot_be_meant_is_refused_before_it_is_queued()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.AdvanceCycleAsync(1, CycleState.Rejected, CycleState.Training, null, null));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, "curate", null));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, "curate", "{"));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, "a\"b", "{}"));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.BeginCycleAsync(CycleTrigger.Manual, "", "a b", id => "c" + id));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.SaveAdapterAsync(Adapter("base")));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.PromoteAsync(Promotion("c1", "base") with { Evidence = "" }));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.PromoteAsync(Promotion("c1", "base"), (1, CycleState.Curating, CycleState.Training, "")));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.SaveDatasetAsync(1, "h", "{}", [Example(1) with { Weight = 0 }]));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.SaveDatasetAsync(1, "h", "{}", [Example(1) with { RequestId = "x" }]));
        await fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Cancelled, null, null);
        StoreException e = await Assert.ThrowsAsync<StoreException>(() => fixture.Store.BeginCycleAsync(CycleTrigger.Manual, "", "base", _ => "base"));
        Assert.Equal(StoreError.Failed, e.Error);
        Assert.Null(fixture.Store.ActiveCycle());
    }

    /// <summary>Two stores stand for two processes: each has a writer of its own.</summary>
    [Fact]
    public async Task Of_many_that_begin_at_once_in_two_processes_one_does()
    {
        await using StoreFixture fixture = Open();
        await using TrafficStore second = TrafficStore.Open(fixture.Options, time: fixture.Time);
        for (int round = 1; round <= 5; round++)
        {
            CycleRecord?[] begun = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() => TryBeginAsync(i % 2 == 0 ? fixture.Store : second))));
            CycleRecord one = Assert.Single(begun, c => c is not null)!;
            Assert.Equal((round, "c" + round), (one.Id, one.Candidate));
            Assert.Equal(one, second.ActiveCycle());
            Assert.Equal(one, fixture.Store.ActiveCycle());
            await second.AdvanceCycleAsync(one.Id, CycleState.Curating, CycleState.Cancelled, null, null);
        }
        Assert.Null(fixture.Store.Statistics.Failing);
    }

    [Fact]
    public async Task The_database_itself_has_no_place_for_a_second_running_cycle()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        const string Second = """INSERT INTO cycles (state, "trigger", cause, champion, candidate, started, changed) SELECT 4, 0, '', champion, candidate, 0, 0 FROM cycles""";
        Assert.Contains("UNIQUE", Assert.Throws<Microsoft.Data.Sqlite.SqliteException>(() => RawFile.Execute(fixture.Options.Path, Second)).Message);
        await fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Rejected, null, null);
        RawFile.Execute(fixture.Options.Path, Second);
        Assert.Equal(CycleState.Canary, fixture.Store.ActiveCycle()!.State);
    }

    [Fact]
    public async Task Adapters_are_stored_updated_and_listed_newest_first()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        AdapterRecord trained = Adapter("c1") with { Parent = "older", Cycle = 1, Rank = 16 };
        AdapterRecord imported = Adapter("imported") with { Origin = AdapterOrigin.Imported, At = Start.AddDays(-3), Note = "from a folder" };
        await fixture.Store.SaveAdapterAsync(trained);
        await fixture.Store.SaveAdapterAsync(imported);
        Assert.Equal(trained, fixture.Store.Adapter("c1"));
        Assert.Equal([imported, trained], fixture.Store.Adapters());
        Assert.Null(fixture.Store.Adapter("older"));
        Assert.True(await fixture.Store.SetAdapterAsync("c1", AdapterStatus.Rejected));
        Assert.True(await fixture.Store.ForgetAdapterFileAsync("c1"));
        Assert.Equal(trained with { Status = AdapterStatus.Rejected, File = null }, fixture.Store.Adapter("c1"));
        await fixture.Store.SaveAdapterAsync(trained with { Rank = 8 });
        Assert.Equal([imported, trained with { Rank = 8 }], fixture.Store.Adapters());
        Assert.False(await fixture.Store.SetAdapterAsync("nobody", AdapterStatus.Champion));
        Assert.False(await fixture.Store.ForgetAdapterFileAsync("nobody"));
        Assert.Equal(StoreError.Conflict, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.SaveAdapterAsync(Adapter("lost") with { Cycle = 7 }))).Error);
        Assert.Null(fixture.Store.Adapter("lost"));
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task Lineage_and_record_of_an_adapter_may_come_in_either_order()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2);
        await fixture.Store.SaveAdapterAsync(Adapter("first") with { Parent = "p", Rank = 4 });
        await fixture.Store.RecordAdapterAsync("first", "other", [Id(1)]);
        Assert.Equal(Adapter("first") with { Parent = "p", Rank = 4 }, fixture.Store.Adapter("first"));
        await fixture.Store.RecordAdapterAsync("second", "base", [Id(1), Id(2)]);
        Assert.Equal(("base", "", AdapterStatus.Candidate), (fixture.Store.Adapter("second")!.Parent, fixture.Store.Adapter("second")!.Model, fixture.Store.Adapter("second")!.Status));
        await fixture.Store.SaveAdapterAsync(Adapter("second"));
        Assert.Equal([Adapter("second"), Adapter("first") with { Parent = "p", Rank = 4 }], fixture.Store.Adapters());
        Assert.Equal(["first", "second"], (await fixture.Store.EraseAsync(null, null, Id(1))).Adapters);
        Assert.Equal(["second"], fixture.Store.Find(Id(2))!.SeenBy);
    }

    [Fact]
    public async Task A_promotion_changes_champion_states_and_cycle_at_once()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.SaveAdapterAsync(Adapter("old"));
        Assert.Null(fixture.Store.LastPromotion());
        PromotionRecord start = await fixture.Store.PromoteAsync(Promotion("old", "base") with { Reason = PromotionReason.Start });
        Assert.Equal((1, AdapterStatus.Champion), (start.Number, fixture.Store.Adapter("old")!.Status));
        await AdvanceToAsync(fixture.Store, CycleState.Canary, "old");
        await fixture.Store.SaveAdapterAsync(Adapter("c1") with { Cycle = 1 });
        PromotionRecord asked = Promotion("c1", "old") with { Cycle = 1, Evidence = """{"evidence":31.5}""" };
        PromotionRecord promoted = await fixture.Store.PromoteAsync(asked, (1, CycleState.Canary, CycleState.Promoted, "it is better"));
        Assert.Equal(asked with { Number = 2 }, promoted);
        Assert.Equal(promoted, fixture.Store.LastPromotion());
        Assert.Equal([promoted, start], fixture.Store.Promotions(9));
        Assert.Equal((CycleState.Promoted, "it is better"), (fixture.Store.Cycle(1)!.State, fixture.Store.Cycle(1)!.Outcome));
        Assert.Equal((AdapterStatus.Champion, AdapterStatus.Retired), (fixture.Store.Adapter("c1")!.Status, fixture.Store.Adapter("old")!.Status));

        await fixture.Store.PromoteAsync(Promotion("old", "c1") with { Reason = PromotionReason.Rollback });
        Assert.Equal((AdapterStatus.RolledBack, AdapterStatus.Champion), (fixture.Store.Adapter("c1")!.Status, fixture.Store.Adapter("old")!.Status));
        await fixture.Store.PromoteAsync(Promotion("base", "old") with { Reason = PromotionReason.ManualRollback });
        Assert.Equal(AdapterStatus.RolledBack, fixture.Store.Adapter("old")!.Status);
        Assert.DoesNotContain(fixture.Store.Adapters(), a => a.Status == AdapterStatus.Champion);
        Assert.Equal([4, 3], fixture.Store.Promotions(2).Select(p => p.Number));
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task A_promotion_that_does_not_fit_changes_nothing()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.SaveAdapterAsync(Adapter("old"));
        await fixture.Store.PromoteAsync(Promotion("old", "base") with { Reason = PromotionReason.Manual });
        await AdvanceToAsync(fixture.Store, CycleState.Canary, "old");
        await fixture.Store.SaveAdapterAsync(Adapter("c1") with { Cycle = 1 });
        await RefusedAsync(Promotion("c1", "old"), (1, CycleState.Shadow, CycleState.Promoted, ""), "Cycle 1 is Canary and not Shadow.");
        await RefusedAsync(Promotion("old", "c1"), (1, CycleState.Canary, CycleState.Promoted, ""), "Cycle 1 trains 'c1' and cannot promote 'old'.");
        await RefusedAsync(Promotion("c1", "base"), (1, CycleState.Canary, CycleState.Promoted, ""), "The champion is 'old' now and not 'base'.");
        await RefusedAsync(Promotion("c1", "old"), (3, CycleState.Canary, CycleState.Promoted, ""), "There is no cycle 3.");
        await RefusedAsync(Promotion("c1", "old") with { Cycle = 3 }, null, "There is no cycle 3.");
        // A change by hand may end a cycle whose candidate it does not promote.
        await fixture.Store.PromoteAsync(Promotion("base", "old") with { Reason = PromotionReason.Manual }, (1, CycleState.Canary, CycleState.Cancelled, "by hand"));
        Assert.Equal(CycleState.Cancelled, fixture.Store.Cycle(1)!.State);
        Assert.Null(fixture.Store.Statistics.Failing);

        async Task RefusedAsync(PromotionRecord promotion, (long, CycleState, CycleState, string)? cycle, string reason)
        {
            StoreException e = await Assert.ThrowsAsync<StoreException>(() => fixture.Store.PromoteAsync(promotion, cycle));
            Assert.Equal((StoreError.Conflict, reason), (e.Error, e.Message));
            Assert.Equal(CycleState.Canary, fixture.Store.ActiveCycle()!.State);
            Assert.Equal(("old", 1), (fixture.Store.LastPromotion()!.Adapter, fixture.Store.LastPromotion()!.Number));
            Assert.Equal((AdapterStatus.Champion, AdapterStatus.Candidate), (fixture.Store.Adapter("old")!.Status, fixture.Store.Adapter("c1")!.Status));
        }
    }

    /// <summary>The disk fills in the middle of the transaction: neither the promotion nor the cycle's end is there.</summary>
    [Fact]
    public async Task A_promotion_for_which_there_is_no_room_leaves_the_cycle_where_it_is()
    {
        await using StoreFixture fixture = Open();
        await AdvanceToAsync(fixture.Store, CycleState.Canary, "base");
        await fixture.Store.SaveAdapterAsync(Adapter("c1") with { Cycle = 1 });
        fixture.Store.MostPages = 1;
        string evidence = JsonSerializer.Serialize(new string('e', 4_000_000));
        StoreException e = await Assert.ThrowsAsync<StoreException>(
            () => fixture.Store.PromoteAsync(Promotion("c1", "base") with { Evidence = evidence }, (1, CycleState.Canary, CycleState.Promoted, "")));
        Assert.Equal(StoreError.DiskFull, e.Error);
        Assert.Equal((CycleState.Canary, AdapterStatus.Candidate), (fixture.Store.ActiveCycle()!.State, fixture.Store.Adapter("c1")!.Status));
        Assert.Null(fixture.Store.LastPromotion());
        fixture.Store.MostPages = 0;
        await fixture.ReopenAsync();
        await fixture.Store.PromoteAsync(Promotion("c1", "base") with { Evidence = evidence }, (1, CycleState.Canary, CycleState.Promoted, ""));
        Assert.Equal(evidence, fixture.Store.LastPromotion()!.Evidence);
    }

    [Fact]
    public async Task A_data_set_reads_back_and_a_later_one_takes_its_place()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        CuratedExample[] examples = [.. Enumerable.Range(1, 5000).Select(Example)];
        Assert.Null(fixture.Store.Dataset(1));
        await fixture.Store.SaveDatasetAsync(1, "first", "{}", [Example(9)]);
        await fixture.Store.SaveDatasetAsync(1, "abc", """{"rules":2}""", examples);
        (string hash, string manifest, IReadOnlyList<CuratedExample> stored) = fixture.Store.Dataset(1)!.Value;
        Assert.Equal(("abc", """{"rules":2}"""), (hash, manifest));
        Assert.Equal(examples, stored);
        Assert.Equal(StoreError.Conflict, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.SaveDatasetAsync(2, "h", "{}", []))).Error);
        RawFile.Execute(fixture.Options.Path, "UPDATE datasets SET examples = substr(examples, 1, 400)");
        Assert.Equal(StoreError.Damaged, Assert.Throws<StoreException>(() => fixture.Store.Dataset(1)).Error);
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task A_data_set_outlives_its_requests_and_goes_when_all_that_its_cycle_knew_are_removed()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(600);
        await BeginAsync(fixture.Store);
        await fixture.Store.SaveDatasetAsync(1, "h", "{}", [.. Enumerable.Range(1, 300).Select(Example)]);
        await fixture.Store.AdvanceCycleAsync(1, CycleState.Curating, CycleState.Training, null, null, sequence: 300);
        await fixture.Store.EraseAsync(null, null, Id(1));
        Assert.Equal(300, fixture.Store.Dataset(1)!.Value.Examples.Count);
        await fixture.ReopenAsync(o => o with { KeepBytes = 0 });
        await fixture.Store.ExpireAsync();
        // A cycle that runs may still need the list, if only to see that its requests are gone.
        Assert.Equal(300, fixture.Store.Dataset(1)!.Value.Examples.Count);
        Assert.Empty(fixture.Store.Check());
        await fixture.Store.AdvanceCycleAsync(1, CycleState.Training, CycleState.Failed, null, null, "its examples are gone");
        await fixture.FillAsync(600, i => Request(1000 + i));
        await fixture.Store.ExpireAsync();
        Assert.Equal(("h", 0), (fixture.Store.Dataset(1)!.Value.Hash, fixture.Store.Dataset(1)!.Value.Examples.Count));
        Assert.Equal(1200, fixture.Store.LastSequence());
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task Evaluations_are_kept_by_cycle_and_kind()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        await fixture.Store.SaveEvaluationAsync(1, "c1", "gate", Start, """{"n":1}""");
        await fixture.Store.SaveEvaluationAsync(0, "c1", "gate", Start.AddHours(1), """{"n":2}""");
        await fixture.Store.SaveEvaluationAsync(1, "c1", "canary", Start.AddHours(2), """{"n":3}""");
        await fixture.Store.SaveEvaluationAsync(1, "base", "gate", Start.AddHours(3), """{"n":4}""");
        await fixture.Store.SaveEvaluationAsync(1, "c1", "gate", Start.AddHours(4), """{"n":5}""");
        Assert.Equal(
            [new StoredEvaluation(1, "gate", Start.AddHours(4), """{"n":5}"""), new StoredEvaluation(0, "gate", Start.AddHours(1), """{"n":2}"""), new StoredEvaluation(1, "canary", Start.AddHours(2), """{"n":3}""")],
            fixture.Store.Evaluations("c1"));
        Assert.Single(fixture.Store.Evaluations("base"));
        Assert.Empty(fixture.Store.Evaluations("nobody"));
        Assert.Equal(StoreError.Conflict, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.SaveEvaluationAsync(4, "c1", "gate", Start, "{}"))).Error);
    }

    [Fact]
    public async Task A_backup_holds_cycles_and_what_belongs_to_them()
    {
        await using StoreFixture fixture = Open();
        await AdvanceToAsync(fixture.Store, CycleState.Canary, "base");
        await fixture.Store.SaveAdapterAsync(Adapter("c1") with { Cycle = 1 });
        await fixture.Store.SaveDatasetAsync(1, "h", "{}", [Example(1)]);
        await fixture.Store.SaveEvaluationAsync(1, "c1", "gate", Start, "{}");
        await fixture.Store.PromoteAsync(Promotion("c1", "base") with { Cycle = 1 }, (1, CycleState.Canary, CycleState.Promoted, "better"));
        string copy = Path.Combine(fixture.Folder, "copy.db");
        await fixture.Store.BackUpAsync(copy);
        await using TrafficStore restored = TrafficStore.Open(new StoreOptions { Path = copy });
        Assert.Equal(fixture.Store.Cycles(9), restored.Cycles(9));
        Assert.Equal(fixture.Store.Adapters(), restored.Adapters());
        Assert.Equal(fixture.Store.Promotions(9), restored.Promotions(9));
        Assert.Equal(fixture.Store.Dataset(1)!.Value.Examples, restored.Dataset(1)!.Value.Examples);
        Assert.Equal(fixture.Store.Evaluations("c1"), restored.Evaluations("c1"));
        Assert.Empty(restored.Check());
    }

    [Fact]
    public async Task The_check_finds_what_refers_to_a_cycle_that_is_not_there()
    {
        await using StoreFixture fixture = Open();
        await BeginAsync(fixture.Store);
        await fixture.Store.SaveDatasetAsync(1, "h", "{}", []);
        RawFile.Execute(fixture.Options.Path, "PRAGMA foreign_keys = OFF; DELETE FROM cycles");
        Assert.Equal("A row of datasets refers to a row of cycles that is not there.", Assert.Single(fixture.Store.Check()));
    }

    private static async Task<CycleRecord?> TryBeginAsync(TrafficStore store)
    {
        try
        {
            return await BeginAsync(store);
        }
        catch (StoreException e) when (e.Error == StoreError.Conflict)
        {
            return null;
        }
    }

    private static Task<CycleRecord> BeginAsync(TrafficStore store, CycleTrigger trigger = CycleTrigger.Manual, string cause = "", string champion = "base") =>
        store.BeginCycleAsync(trigger, cause, champion, static id => "c" + id);

    private static async Task AdvanceToAsync(TrafficStore store, CycleState state, string champion)
    {
        CycleRecord cycle = await BeginAsync(store, champion: champion);
        for (int i = 0; Steps[i] != state; i++)
        {
            cycle = await store.AdvanceCycleAsync(cycle.Id, Steps[i], Steps[i + 1], null, null);
        }
    }

    private static AdapterRecord Adapter(string id) => new()
    {
        Id = id,
        Origin = AdapterOrigin.Trained,
        At = Start,
        Model = "fingerprint",
        File = id + ".gguf",
        Bytes = 4096,
        Hash = "ab12",
    };

    private static PromotionRecord Promotion(string adapter, string previous) => new() { At = Start.AddMinutes(3), Adapter = adapter, Previous = previous, Reason = PromotionReason.Gate };

    private static CuratedExample Example(int number) => new()
    {
        RequestId = Id(number),
        Task = number % 3 == 0 ? "support" : "triage",
        Slice = Slices.Of(number % 3 == 0 ? "support" : "triage", Start.AddDays(number % 40)),
        Source = (ExampleSource)(number % 4),
        Replay = number % 5 == 0,
        Weight = number / 7.0,
        IsPair = number % 2 == 0,
    };
}
