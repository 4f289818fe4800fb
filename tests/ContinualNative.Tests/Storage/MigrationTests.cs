using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Schema;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

/// <summary>Files of older versions, made with the old schema and rows as the old program wrote them.</summary>
public sealed class MigrationTests
{
    // Texts are one byte of flags (0: plain) and UTF-8. 1: nothing reported; 2: labelled; 3: accepted; 4: only a score; 5: labelled and erased.
    private const string Rows = """
        INSERT INTO names VALUES (1, 'tiny'), (2, 'base'), (3, 'stop'), (4, 'tuned'), (5, 'older'), (6, 'up'), (7, 'frontier-1'), (8, 'exact');
        INSERT INTO tasks (id, name, requested) VALUES (1, 'support', 1);
        INSERT INTO keys (id, name) VALUES (1, 'key-a');
        INSERT INTO teachers VALUES (1, 6, 7, 1000);
        INSERT INTO requests (seq, id, at, kind, streamed, task, model, adapter, key, route, reason, p_correct, calibration, audited, audit_probability, finish,
            prompt_tokens, cached_tokens, completion_tokens, local_time, total_time, state, stage, labelled, outcome)
        SELECT n.value, unhex(printf('%024x', n.value)), 1000 * n.value, 0, 0, 1, 1, 2, 1, 0, 0, 0.75, 0, 0, 0.02, 3, 11, 0, 7, 1000, 2000,
            n.value = 5, iif(n.value = 5, 0, iif(n.value = 2, 2, 1)), n.value IN (2, 5), iif(n.value = 3, 0, NULL)
        FROM json_each('[1,2,3,4,5]') n;
        INSERT INTO texts SELECT seq, unhex('00' || hex('{"messages":[]}')), unhex('00' || hex('answer')), NULL FROM requests WHERE seq < 5;
        INSERT INTO labels (request, at, teacher, reason, agreement, correct, measure, prompt_tokens, cached_tokens, completion_tokens, cost, latency, training_allowed, answer)
        VALUES (2, 2500, 1, 1, 1, 1, 8, 1, 0, 1, 10, 20, 1, unhex('00' || hex('label'))), (5, 5500, 1, 1, 0, 0, 8, 1, 0, 1, 10, 20, 1, NULL);
        INSERT INTO outcomes (request, at, kind, score, source, key, digest) VALUES (3, 3500, 0, NULL, 'app', 1, X'01'), (4, 4500, 3, 0.25, 'app', 1, X'02');
        INSERT INTO adapters VALUES (4, 5, 9000), (5, NULL, 10000);
        INSERT INTO lineage VALUES (2, 4), (5, 4);
        UPDATE meta SET value = 5 WHERE name = 'requests';
        """;

    [Fact]
    public async Task A_file_of_version_1_keeps_its_data_and_learns_of_cycles()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.DisposeAsync();
        foreach (string file in Directory.GetFiles(fixture.Folder))
        {
            File.Delete(file);
        }
        DatabaseFile.Prepare(fixture.Options.Path, TimeSpan.FromSeconds(1), [Migrations.All[0]]);
        RawFile.Execute(fixture.Options.Path, Rows);
        await fixture.ReopenAsync();

        Assert.Empty(fixture.Store.Check());
        Assert.Equal(5, fixture.Store.LastSequence());
        Assert.Equal([(2L, true, false), (3L, false, true), (4L, false, true)], fixture.Store.SignalKeys(0, 99, 99).Select(k => (k.Sequence, k.Labelled, k.Reported)));
        Assert.Equal([1], fixture.Store.OwnKeys(0, 2, 0.5, 99).Select(k => k.Sequence));
        Assert.Equal([(2L, true), (3L, true), (4L, false), (5L, false)], fixture.Store.LiveOutcomes(0, 99).Select(o => (o.Sequence, o.Good)));
        SignalRequest labelled = Assert.Single(fixture.Store.SignalRequests([Id(2), Id(5)]));
        Assert.Equal(("answer", "label", "key-a"), (labelled.LocalAnswer, labelled.Labels[0].Answer, labelled.Key.KeyId));

        // What only lineage told of them: the newest first, and not the latest by their clocks.
        Assert.Equal(["older", "tuned"], fixture.Store.Adapters().Select(a => a.Id));
        AdapterRecord tuned = fixture.Store.Adapter("tuned")!;
        Assert.Equal(("older", "", AdapterStatus.Candidate, null), (tuned.Parent, tuned.Model, tuned.Status, tuned.File));
        await fixture.Store.SaveAdapterAsync(tuned with { Id = "new" });
        Assert.Equal("new", fixture.Store.Adapters()[0].Id);
        Assert.Equal(["tuned"], fixture.Store.Find(Id(2))!.SeenBy);
        Assert.Equal(["tuned"], (await fixture.Store.EraseAsync(null, "key-a", null)).Adapters);

        Assert.Empty(fixture.Store.Cycles(9));
        Assert.Equal(OutcomeVerdict.ErasedRequest, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(1, (await fixture.Store.BeginCycleAsync(Core.Cycles.CycleTrigger.Manual, "", "tuned", id => "c" + id)).Id);
        Assert.Empty(fixture.Store.Check());
    }
}
