using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class RetentionTests
{
    [Fact]
    public async Task Old_requests_lose_their_texts_and_golden_ones_and_totals_stay()
    {
        await using StoreFixture fixture = Open(o => o with { KeepFor = TimeSpan.FromDays(30) });
        await fixture.FillAsync(700, i => Request(i) with { At = Start.AddDays(i / 10.0) });
        await fixture.Store.RecordAsync(Label(100));
        await fixture.Store.RecordAsync(Label(101));
        await fixture.Store.SetGoldenAsync(Id(100), true);
        fixture.Time.Set(Start.AddDays(70));
        Assert.Equal(398, await fixture.Store.ExpireAsync());
        Assert.Equal(0, await fixture.Store.ExpireAsync());
        for (int i = 1; i <= 700; i++)
        {
            StoredRequest stored = fixture.Store.Find(Id(i))!;
            Assert.Equal(i < 400 && i != 100, stored.Expired);
            Assert.Equal(stored.Expired, stored.Request.Prompt is null);
        }
        Assert.Null(Assert.Single(fixture.Store.Find(Id(101))!.Labels).Answer);
        Assert.NotNull(Assert.Single(fixture.Store.Find(Id(100))!.Labels).Answer);
        Assert.Equal([Id(100)], fixture.Store.RecentLabelled("support", 9));
        Assert.Equal(700, fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue).Sum(t => t.Requests));
        Assert.Equal(400, fixture.Store.Unlabelled(0, 1).Single().Sequence);
        Assert.Equal(OutcomeVerdict.ErasedRequest, await fixture.Store.AddOutcomeAsync(Outcome(5, OutcomeKind.Accepted)));
        fixture.Time.Set(Start.AddDays(71));
        Assert.Equal(10, await fixture.Store.ExpireAsync());
    }

    /// <summary>Seeded clocks that jump: whatever they say, nothing goes before something that came earlier.</summary>
    [Fact]
    public async Task A_clock_that_jumps_makes_nothing_newer_go_before_something_older()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            Random random = new(seed);
            await using StoreFixture fixture = Open(o => o with { KeepFor = TimeSpan.FromDays(10) });
            double day = 0;
            await fixture.FillAsync(120, i =>
            {
                day += random.NextDouble();
                double jump = random.Next(10) switch { 0 => -random.Next(1000), 1 => random.Next(1000), _ => 0 };
                return Request(i) with { At = Start.AddDays(day + jump) };
            });
            fixture.Time.Set(Start.AddDays(day));
            await fixture.Store.ExpireAsync();
            bool[] expired = [.. Enumerable.Range(1, 120).Select(i => fixture.Store.Find(Id(i))!.Expired)];
            int kept = Array.IndexOf(expired, false);
            Assert.DoesNotContain(true, expired[kept..]);
        }
    }

    [Fact]
    public async Task A_request_of_the_future_does_not_hold_up_what_came_after_it()
    {
        await using StoreFixture fixture = Open(o => o with { KeepFor = TimeSpan.FromDays(10) });
        await fixture.FillAsync(5, i => Request(i) with { At = i == 2 ? Start.AddYears(50) : Start.AddDays(i) });
        fixture.Time.Set(Start.AddDays(13.5));
        Assert.Equal(3, await fixture.Store.ExpireAsync());
        Assert.Equal([true, true, true, false, false], Enumerable.Range(1, 5).Select(i => fixture.Store.Find(Id(i))!.Expired));
    }

    [Fact]
    public async Task Above_the_size_the_oldest_requests_are_removed_and_the_file_shrinks()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(3000, i => Request(i) with { Embedding = Enumerable.Range(0, 256).Select(n => (float)Math.Sin(n * i)).ToArray() });
        await fixture.Store.RecordAsync(Label(3));
        await fixture.Store.RecordAsync(new LedgerEntry { At = Start, Kind = LedgerKind.Serving, Amount = new Money(1), RequestId = Id(3) });
        await fixture.Store.SetGoldenAsync(Id(3), true);
        await fixture.Store.AddOutcomeAsync(Outcome(4, OutcomeKind.Accepted));
        await fixture.Store.RecordAdapterAsync("tuned", null, [Id(4), Id(5)]);
        // Closing brings the log into the file.
        await fixture.ReopenAsync();
        long before = new FileInfo(fixture.Options.Path).Length;
        await fixture.ReopenAsync(o => o with { KeepBytes = before / 2 });
        long removed = await fixture.Store.ExpireAsync();
        Assert.InRange(removed, 1000, 2500);
        await fixture.ReopenAsync();
        Assert.InRange(new FileInfo(fixture.Options.Path).Length, 1, before / 2);
        Assert.NotNull(fixture.Store.Find(Id(3)));
        Assert.Null(fixture.Store.Find(Id(4)));
        Assert.Equal(OutcomeVerdict.ErasedRequest, await fixture.Store.AddOutcomeAsync(Outcome(4, OutcomeKind.Accepted)));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(3000, OutcomeKind.Accepted)));
        IReadOnlyList<UnlabelledRequest> left = fixture.Store.Unlabelled(0, 5000);
        Assert.Equal(Enumerable.Range(0, left.Count).Select(i => 3000L - left.Count + 1 + i), left.Select(u => u.Sequence));
        Assert.Equal(3000, Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue)).Requests);
        Assert.Empty(fixture.Store.Check());
        await fixture.Store.RecordAsync(Request(4000));
        await fixture.Store.FlushAsync();
        Assert.Equal(3001, fixture.Store.Find(Id(4000))!.Sequence);
    }

    [Fact]
    public async Task The_order_of_arrival_goes_on_when_everything_was_removed()
    {
        await using StoreFixture fixture = Open(o => o with { KeepBytes = 0 });
        await fixture.FillAsync(10);
        Assert.Equal(10, await fixture.Store.ExpireAsync());
        await fixture.Store.RecordAsync(Request(11));
        await fixture.Store.FlushAsync();
        Assert.Equal(11, fixture.Store.Find(Id(11))!.Sequence);
    }

    [Fact]
    public async Task Without_limits_nothing_expires()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(5);
        fixture.Time.Advance(TimeSpan.FromDays(10_000));
        Assert.Equal(0, await fixture.Store.ExpireAsync());
        Assert.NotNull(fixture.Store.Find(Id(1))!.Request.Prompt);
    }
}
