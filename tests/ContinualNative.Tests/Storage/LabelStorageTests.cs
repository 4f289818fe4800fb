using ContinualNative.Core.Adapters;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class LabelStorageTests
{
    [Fact]
    public async Task A_label_comes_back_as_it_was_and_makes_a_sample()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2);
        TeacherLabel label = Label(2, correct: false) with { LogProbs = """[{"token":"a","logprob":-0.5}]""" };
        await fixture.Store.RecordAsync(label);
        await fixture.Store.FlushAsync();
        Assert.Equal(label, Assert.Single(fixture.Store.Find(Id(2))!.Labels));
        Assert.Equal(
            new LabelledSample(2, Id(2), "support", "base", Request(2).Decision.Features!.Value, Correct: false, Audited: true, 0.02),
            Assert.Single(fixture.Store.Samples("support", "base", 10)));
        Assert.Equal(Id(1), Assert.Single(fixture.Store.Unlabelled(0, 10)).RequestId);
    }

    [Fact]
    public async Task Samples_come_newest_first_by_task_and_adapter()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(40, i => Request(i) with { Task = "task " + (i % 2), Adapter = i % 4 < 2 ? "base" : "tuned" });
        // Labelled in another order than they came in.
        foreach (int i in Enumerable.Range(1, 40).OrderBy(i => i * 17 % 41))
        {
            await fixture.Store.RecordAsync(Label(i, correct: i % 3 == 0));
        }
        await fixture.Store.FlushAsync();
        foreach ((string? task, string? adapter) in new (string?, string?)[] { (null, null), ("task 1", null), (null, "tuned"), ("task 0", "base") })
        {
            IEnumerable<int> expected = Enumerable.Range(1, 40).Reverse()
                .Where(i => (task is null || task == "task " + (i % 2)) && (adapter is null || adapter == (i % 4 < 2 ? "base" : "tuned"))).Take(7);
            IReadOnlyList<LabelledSample> samples = fixture.Store.Samples(task, adapter, 7);
            Assert.Equal(expected.Select(i => (i, "task " + (i % 2), i % 4 < 2 ? "base" : "tuned", i % 3 == 0)), samples.Select(s => ((int)s.Sequence, s.Task, s.Adapter, s.Correct)));
        }
        Assert.Empty(fixture.Store.Samples("unheard of", null, 10));
        Assert.Empty(fixture.Store.Samples(null, "unheard of", 10));
    }

    [Fact]
    public async Task The_newest_label_of_the_newest_teacher_counts()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        foreach ((bool correct, string teacher, bool counts) in new[] { (true, "v1", true), (false, "v2", false), (true, "v1", false), (true, "v2", true), (false, "v1", true) })
        {
            await fixture.Store.RecordAsync(Label(1, correct, teacher));
            await fixture.Store.FlushAsync();
            Assert.Equal(counts, Assert.Single(fixture.Store.Samples(null, null, 9)).Correct);
        }
        Assert.Equal([("up", "v1"), ("up", "v2")], fixture.Store.Teachers().Select(t => (t.Endpoint, t.Teacher)));
        Assert.Equal(Start.AddMinutes(5), fixture.Store.Teachers()[0].FirstSeen);
    }

    [Fact]
    public async Task A_label_without_a_verdict_or_of_a_request_without_features_is_no_sample()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2, i => i == 1 ? Request(1) : Request(2) with { LocalAnswer = null, Decision = Request(2).Decision with { Features = null } });
        await fixture.Store.RecordAsync(Label(1, correct: null));
        await fixture.Store.RecordAsync(Label(2, correct: true));
        await fixture.Store.FlushAsync();
        Assert.Empty(fixture.Store.Samples(null, null, 9));
        Assert.Equal([Id(2), Id(1)], fixture.Store.RecentLabelled("support", 9));
    }

    [Fact]
    public async Task A_correction_makes_a_wrong_sample_outside_the_audit_until_a_teacher_has_spoken()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2);
        await fixture.Store.AddOutcomeAsync(Outcome(2, OutcomeKind.Corrected, correction: "no"));
        LabelledSample sample = Assert.Single(fixture.Store.Samples("support", null, 9));
        Assert.Equal((2, false, false), (sample.Sequence, sample.Correct, sample.Audited));
        await fixture.Store.RecordAsync(Label(2, correct: true));
        await fixture.Store.FlushAsync();
        sample = Assert.Single(fixture.Store.Samples("support", null, 9));
        Assert.Equal((2, true, true), (sample.Sequence, sample.Correct, sample.Audited));
    }

    [Fact]
    public async Task A_correction_that_is_taken_back_is_no_sample_any_more()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Corrected, correction: "no"));
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted));
        Assert.Empty(fixture.Store.Samples(null, null, 9));
    }

    [Fact]
    public async Task Accepting_or_rejecting_alone_makes_no_sample_and_nor_does_correcting_the_frontiers_answer()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(3, i => i < 3 ? Request(i) : Request(i) with { Decision = Request(i).Decision with { Route = Route.Frontier } });
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted));
        await fixture.Store.AddOutcomeAsync(Outcome(2, OutcomeKind.Rejected));
        await fixture.Store.AddOutcomeAsync(Outcome(3, OutcomeKind.Corrected, correction: "no"));
        Assert.Empty(fixture.Store.Samples(null, null, 9));
    }

    [Fact]
    public async Task Unlabelled_requests_come_oldest_first_with_what_the_teacher_picks_by()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(6, i => i switch
        {
            2 => Request(i) with { Prompt = null, LocalAnswer = null },
            3 => Request(i) with { LocalAnswer = null },
            4 => Request(i) with { Embedding = default, Decision = Request(i).Decision with { PCorrect = null, Features = null } },
            _ => Request(i),
        });
        await fixture.Store.RecordAsync(Label(5));
        await fixture.Store.FlushAsync();
        IReadOnlyList<UnlabelledRequest> open = fixture.Store.Unlabelled(0, 10);
        Assert.Equal([1L, 4, 6], open.Select(u => u.Sequence));
        Assert.Equal(("support", 0.75, 0.0625f, false), (open[0].Task, open[0].PCorrect, open[0].Novelty, open[0].Audited));
        Assert.Equal(Embedding(1), open[0].Embedding.ToArray());
        Assert.Equal((null, null, 0, true), (open[1].PCorrect, open[1].Novelty, open[1].Embedding.Length, open[1].Audited));
        Assert.Equal([4L], fixture.Store.Unlabelled(1, 1).Select(u => u.Sequence));
        Assert.Empty(fixture.Store.Unlabelled(6, 10));
    }

    [Fact]
    public async Task Judged_prompts_are_those_that_known_embeddings_are_of_and_what_the_adapter_itself_answered_wrongly()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(6, static i => i switch
        {
            3 => Request(i) with { Adapter = "older" },
            6 => Request(i) with { Prompt = null, LocalAnswer = null },
            _ => Request(i),
        });
        await fixture.Store.RecordAsync(Label(1));
        await fixture.Store.RecordAsync(Label(2, correct: false));
        await fixture.Store.RecordAsync(Label(3, correct: false));
        await fixture.Store.RecordAsync(Label(4, correct: false));
        await fixture.Store.RecordAsync(Label(6, correct: false));
        await fixture.Store.RecordAdapterAsync("tuned", "base", [Id(4)]);
        Assert.Equal([(Request(4).Prompt!, false), (Request(2).Prompt!, false), (Request(1).Prompt!, true)], Judged("base", 9));
        await fixture.Store.SetAdapterAsync("tuned", AdapterStatus.Champion);
        Assert.Equal([(Request(4).Prompt!, true), (Request(1).Prompt!, true)], Judged("tuned", 9));
        Assert.Equal([(Request(4).Prompt!, true), (Request(3).Prompt!, false)], Judged("older", 2));

        IReadOnlyList<(string, bool)> Judged(string adapter, int most) => fixture.Store.JudgedPrompts(adapter, most, static (_, _) => false);
    }

    [Fact]
    public async Task Of_requests_that_no_teacher_answered_the_last_report_of_a_local_answer_counts()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(9, static i => Request(i) with
        {
            KeyId = null,
            Adapter = i == 6 ? "older" : "base",
            Decision = Request(i).Decision with { Route = i == 5 ? Route.Frontier : Route.Local },
        });
        await ReportAsync(1, OutcomeKind.Accepted, "a");
        await ReportAsync(2, OutcomeKind.Rejected, null);
        await ReportAsync(3, OutcomeKind.Accepted, "a");
        await ReportAsync(3, OutcomeKind.Rejected, "b");
        await ReportAsync(4, OutcomeKind.Rejected, "a");
        await ReportAsync(4, OutcomeKind.Corrected, "b");
        // A score is no verdict, and whoever gave it has not reported the one that is there.
        await ReportAsync(4, OutcomeKind.Scored, "c");
        await ReportAsync(5, OutcomeKind.Accepted, "a");
        await ReportAsync(6, OutcomeKind.Rejected, "a");
        await ReportAsync(7, OutcomeKind.Rejected, "a");
        await fixture.Store.RecordAsync(Label(7));
        await ReportAsync(8, OutcomeKind.Scored, "a");
        // A teacher who could not tell has not spoken.
        await ReportAsync(9, OutcomeKind.Rejected, "d");
        await fixture.Store.RecordAsync(Label(9, correct: null) with { Agreement = null });
        await fixture.Store.FlushAsync();
        List<(string?, DateTimeOffset)> asked = [];
        // Contradictions, answers of a frontier, what another adapter got wrong and mere scores are left out; a label is worth more than a report.
        Assert.Equal([(9, false), (7, true), (4, false), (2, false), (1, true)], Judged("base", 9, (key, at) =>
        {
            asked.Add((key, at));
            return true;
        }));
        Assert.Equal([("d", At(9)), ("b", At(4)), (null, At(2)), ("a", At(1))], asked.Where(a => a != ("a", At(6))));
        Assert.Equal([(7, true), (2, false)], Judged("base", 9, static (key, _) => key is null));
        Assert.Equal([(6, false)], Judged("older", 9, static (_, _) => true).Where(static j => !j.Right));
        // Reports do not crowd out what teachers said.
        Assert.Equal([(9, false), (7, true)], Judged("base", 1, static (_, _) => true));

        DateTimeOffset At(int i) => fixture.Store.Find(Id(i))!.Outcomes.Last(static o => o.Kind != OutcomeKind.Scored).At;

        (int Number, bool Right)[] Judged(string adapter, int most, Func<string?, DateTimeOffset, bool> believed) =>
            [.. fixture.Store.JudgedPrompts(adapter, most, believed).Select(static j => (Enumerable.Range(1, 9).Single(i => Request(i).Prompt == j.Prompt), j.Right))];

        async Task ReportAsync(int i, OutcomeKind kind, string? key) => Assert.NotEqual(OutcomeVerdict.Capped, await fixture.Store.AddOutcomeAsync(new Outcome
        {
            RequestId = Id(i),
            Kind = kind,
            Correction = kind == OutcomeKind.Corrected ? "this" : null,
            Score = kind == OutcomeKind.Scored ? 1 : null,
            Source = "test",
            At = Request(i).At.AddMinutes(kind == OutcomeKind.Accepted ? 1 : 2),
            KeyId = key,
        }));
    }

    [Fact]
    public async Task Known_embeddings_are_those_that_were_answered_right_and_those_that_a_champion_learned()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(5);
        await fixture.Store.RecordAsync(Label(1));
        await fixture.Store.RecordAsync(Label(2, correct: false));
        await fixture.Store.RecordAsync(Label(4, correct: false));
        await fixture.Store.RecordAdapterAsync("tuned", "base", [Id(4), Id(77)]);
        Assert.Equal([Embedding(1)], fixture.Store.KnownEmbeddings(9).Select(e => e.ToArray()));
        await fixture.Store.SetAdapterAsync("tuned", AdapterStatus.Champion);
        Assert.Equal([Embedding(4), Embedding(1)], fixture.Store.KnownEmbeddings(9).Select(e => e.ToArray()));
        Assert.Equal([Embedding(4)], fixture.Store.KnownEmbeddings(1).Select(e => e.ToArray()));
        Assert.Equal(["tuned"], fixture.Store.Find(Id(4))!.SeenBy);
        Assert.Empty(fixture.Store.Find(Id(1))!.SeenBy);
    }

    [Fact]
    public async Task Only_what_is_labelled_can_be_golden()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(3);
        await fixture.Store.RecordAsync(Label(2));
        Assert.False(await fixture.Store.SetGoldenAsync(Id(1), true));
        Assert.False(await fixture.Store.SetGoldenAsync(Id(99), true));
        Assert.True(await fixture.Store.SetGoldenAsync(Id(2), true));
        Assert.Equal([Id(2)], fixture.Store.Golden("support"));
        Assert.Empty(fixture.Store.Golden("another"));
        Assert.True(fixture.Store.Find(Id(2))!.Golden);
        Assert.True(await fixture.Store.SetGoldenAsync(Id(2), false));
        Assert.Empty(fixture.Store.Golden("support"));
    }

    [Fact]
    public async Task A_label_of_no_request_is_ignored_but_paid_for()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        await fixture.Store.EraseAsync(null, null, Id(1));
        await fixture.Store.RecordAsync(Label(1));
        await fixture.Store.RecordAsync(Label(99));
        await fixture.Store.FlushAsync();
        Assert.Empty(fixture.Store.Find(Id(1))!.Labels);
        Assert.Equal((0, 2), (fixture.Store.Statistics.Labels, fixture.Store.Statistics.Ignored));
        Assert.Equal(new Money(2 * 12_345), fixture.Store.Spent(LedgerKind.Teaching, DateOnly.FromDateTime(Start.UtcDateTime)));
    }
}
