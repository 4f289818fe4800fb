using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class OutcomeStorageTests
{
    [Fact]
    public async Task An_outcome_comes_back_as_it_was()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        Outcome corrected = Outcome(1, OutcomeKind.Corrected, correction: "The right answer", score: 0.25);
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(corrected));
        Assert.Equal(corrected, Assert.Single(fixture.Store.Find(Id(1))!.Outcomes));
        Assert.Equal(1, Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue)).Corrected);
    }

    [Fact]
    public async Task The_same_report_again_is_a_duplicate_and_any_difference_makes_another()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        Outcome first = Outcome(1, OutcomeKind.Corrected, correction: "x", score: 0.5);
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(first));
        Assert.Equal(OutcomeVerdict.Duplicate, await fixture.Store.AddOutcomeAsync(first with { At = Start.AddDays(3) }));
        Outcome[] others = [first with { Source = "b" }, first with { Correction = "y" }, first with { Score = null }, first with { KeyId = null }, first with { Kind = OutcomeKind.Rejected }];
        foreach (Outcome other in others)
        {
            Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(other));
            Assert.Equal(OutcomeVerdict.Duplicate, await fixture.Store.AddOutcomeAsync(other));
        }
        Assert.Equal(6, fixture.Store.Find(Id(1))!.Outcomes.Count);
        Assert.Equal(6, fixture.Store.Statistics.Outcomes);
    }

    [Fact]
    public async Task Contradicting_reports_are_both_kept_and_the_newest_counts()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Scored, score: 0.9)));
        Assert.False(fixture.Store.Find(Id(1))!.Contradicted);
        // Its clock says that it is older; what came last counts.
        Assert.Equal(OutcomeVerdict.Contradicts, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Rejected, at: Start.AddDays(-9))));
        Assert.True(fixture.Store.Find(Id(1))!.Contradicted);
        Assert.Equal(3, fixture.Store.Find(Id(1))!.Outcomes.Count);
        TrafficTotals totals = Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue));
        Assert.Equal((0, 1, 0), (totals.Accepted, totals.Rejected, totals.Corrected));
        Assert.True(Assert.Single(fixture.Store.Unlabelled(0, 5)).Failed);
    }

    [Fact]
    public async Task An_outcome_may_come_days_late()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        fixture.Time.Advance(TimeSpan.FromDays(40));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted, at: Start.AddDays(40))));
        TrafficTotals totals = Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue));
        Assert.Equal((DateOnly.FromDateTime(Start.UtcDateTime), 1), (totals.Day, totals.Accepted));
    }

    [Fact]
    public async Task An_outcome_of_no_request_is_not_stored()
    {
        await using StoreFixture fixture = Open();
        Assert.Equal(OutcomeVerdict.UnknownRequest, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(0, fixture.Store.Statistics.Outcomes);
    }

    [Fact]
    public async Task A_request_that_is_queued_is_known_to_the_outcome_behind_it()
    {
        await using StoreFixture fixture = Open(o => o with { BatchDelay = TimeSpan.FromHours(1) });
        await fixture.Store.RecordAsync(Request(1));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
    }

    [Fact]
    public async Task Reports_of_one_request_are_capped_and_the_key_is_flagged()
    {
        await using StoreFixture fixture = Open(o => o with { OutcomesPerRequest = 3 });
        await fixture.FillAsync(2);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted, source: "s" + i)));
        }
        Assert.Empty(fixture.Store.FlaggedKeys());
        Assert.Equal(OutcomeVerdict.Capped, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted, source: "s3")));
        Assert.Equal(OutcomeVerdict.Duplicate, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted, source: "s2")));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(2, OutcomeKind.Accepted)));
        Assert.Equal(new FlaggedKey("key-a", Start.AddHours(1), 1), Assert.Single(fixture.Store.FlaggedKeys()));
    }

    [Fact]
    public async Task Reports_of_one_key_are_capped_by_the_hour_and_other_keys_go_on()
    {
        await using StoreFixture fixture = Open(o => o with { OutcomesPerKeyAndHour = 5 });
        await fixture.FillAsync(20);
        for (int i = 1; i <= 8; i++)
        {
            OutcomeVerdict verdict = await fixture.Store.AddOutcomeAsync(Outcome(i, OutcomeKind.Accepted));
            Assert.Equal(i <= 5 ? OutcomeVerdict.Stored : OutcomeVerdict.Capped, verdict);
        }
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(9, OutcomeKind.Accepted, key: "key-b")));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(10, OutcomeKind.Accepted, key: null)));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(11, OutcomeKind.Accepted, at: Start.AddHours(2))));
        Assert.Equal(("key-a", 3), fixture.Store.FlaggedKeys().Select(f => (f.KeyId, f.Refused)).Single());
        Assert.Equal(5 + 3, fixture.Store.Statistics.Outcomes);
    }

    [Theory]
    [InlineData(OutcomeKind.Accepted, null, null, false)]
    [InlineData(OutcomeKind.Rejected, null, null, true)]
    [InlineData(OutcomeKind.Corrected, "better", null, false)]
    [InlineData(OutcomeKind.Corrected, " ", null, true)]
    [InlineData(OutcomeKind.Corrected, null, null, true)]
    [InlineData(OutcomeKind.Scored, null, 0.49, true)]
    [InlineData(OutcomeKind.Scored, null, 0.5, false)]
    public async Task A_bad_outcome_marks_the_request_as_failed(OutcomeKind kind, string? correction, double? score, bool failed)
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        await fixture.Store.AddOutcomeAsync(Outcome(1, kind, correction: correction, score: score));
        Assert.Equal(failed, Assert.Single(fixture.Store.Unlabelled(0, 5)).Failed);
    }

    [Fact]
    public async Task Many_reports_at_once_are_each_stored_once()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(50);
        OutcomeVerdict[] verdicts = await Task.WhenAll(Enumerable.Range(0, 400).Select(i => Task.Run(() => fixture.Store.AddOutcomeAsync(Outcome(1 + (i % 50), OutcomeKind.Accepted)))));
        Assert.Equal(50, verdicts.Count(v => v == OutcomeVerdict.Stored));
        Assert.Equal(350, verdicts.Count(v => v == OutcomeVerdict.Duplicate));
        Assert.Empty(fixture.Store.Check());
    }
}
