using System.Text;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class ErasureTests
{
    [Fact]
    public async Task Erasing_one_request_takes_texts_and_people_and_leaves_the_numbers()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2);
        await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Corrected, source: "somebody", correction: "a correction"));
        await fixture.Store.RecordAsync(Label(1));
        await fixture.Store.SetGoldenAsync(Id(1), true);
        await fixture.Store.RecordAdapterAsync("tuned", "base", [Id(1)]);
        ErasureResult result = await fixture.Store.EraseAsync(null, null, Id(1));
        Assert.Equal((1, "tuned"), (result.Requests, Assert.Single(result.Adapters)));
        StoredRequest stored = fixture.Store.Find(Id(1))!;
        Assert.True(stored.Erased);
        Assert.False(stored.Golden);
        Assert.Equal(Request(1) with { KeyId = null, User = null, Prompt = null, LocalAnswer = null, Embedding = default }, stored.Request);
        Assert.Equal((null, null, ""), (stored.Outcomes[0].Correction, stored.Outcomes[0].KeyId, stored.Outcomes[0].Source));
        Assert.Equal((null, true), (stored.Labels[0].Answer, stored.Labels[0].Correct));
        Assert.Single(fixture.Store.Samples(null, null, 9));
        Assert.Empty(fixture.Store.RecentLabelled("support", 9));
        Assert.Empty(fixture.Store.KnownEmbeddings(9));
        Assert.Equal([Id(2)], fixture.Store.Unlabelled(0, 9).Select(u => u.RequestId));
        Assert.Equal(OutcomeVerdict.ErasedRequest, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(0, (await fixture.Store.EraseAsync(null, null, Id(1))).Requests);
        Assert.Equal(2, Assert.Single(fixture.Store.Traffic(DateOnly.MinValue, DateOnly.MaxValue)).Requests);
    }

    [Fact]
    public async Task Erasing_a_user_takes_all_of_theirs_and_nobody_elses()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1000);
        await fixture.Store.RecordAdapterAsync("a1", null, [Id(1), Id(2)]);
        await fixture.Store.RecordAdapterAsync("a2", null, [Id(3)]);
        ErasureResult result = await fixture.Store.EraseAsync("user-1", null, null);
        Assert.Equal(334, result.Requests);
        Assert.Equal(["a1"], result.Adapters);
        Assert.All(Enumerable.Range(1, 1000), i => Assert.Equal(i % 3 == 1, fixture.Store.Find(Id(i))!.Erased));
        Assert.Equal(0, (await fixture.Store.EraseAsync("user-1", null, null)).Requests);
        Assert.Equal(0, (await fixture.Store.EraseAsync("nobody", null, null)).Requests);
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task Erasing_a_key_takes_its_requests_and_its_words_elsewhere()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(6, i => Request(i) with { KeyId = i <= 3 ? "key-a" : "key-b" });
        await fixture.Store.AddOutcomeAsync(Outcome(5, OutcomeKind.Corrected, source: "mine", correction: "words", key: "key-a"));
        Assert.Equal(3, (await fixture.Store.EraseAsync(null, "key-a", null)).Requests);
        Assert.All(Enumerable.Range(1, 6), i => Assert.Equal(i <= 3, fixture.Store.Find(Id(i))!.Erased));
        Outcome left = Assert.Single(fixture.Store.Find(Id(5))!.Outcomes);
        Assert.Equal((OutcomeKind.Corrected, null, null, ""), (left.Kind, left.Correction, left.KeyId, left.Source));
        Assert.Equal("key-b", fixture.Store.Find(Id(5))!.Request.KeyId);
        // The key may be used again.
        await fixture.Store.RecordAsync(Request(7));
        await fixture.Store.FlushAsync();
        Assert.Equal("key-a", fixture.Store.Find(Id(7))!.Request.KeyId);
    }

    [Fact]
    public async Task One_of_user_key_and_request_must_be_given()
    {
        await using StoreFixture fixture = Open();
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.EraseAsync(null, null, null));
        await Assert.ThrowsAsync<ArgumentException>(() => fixture.Store.EraseAsync("a", "b", null));
        Assert.Equal(0, (await fixture.Store.EraseAsync(null, null, "no id")).Requests);
    }

    [Fact]
    public async Task Neither_users_nor_their_hashes_without_the_secret_are_in_the_file()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.RecordAsync(Request(1) with { User = "somebody@example.org" });
        await fixture.Store.FlushAsync();
        Assert.False(IsInFiles(fixture, "somebody@example.org"u8));
        Assert.False(IsInFiles(fixture, System.Security.Cryptography.SHA256.HashData("somebody@example.org"u8).AsSpan(0, 16)));
    }

    /// <summary>Many erasures among requests that stay, so that pages are split, merged and moved about before the last of a user's data goes.</summary>
    [Fact]
    public async Task What_was_erased_is_in_none_of_the_files_any_more()
    {
        await using StoreFixture fixture = Open();
        Random random = new(3);
        Dictionary<int, string[]> secrets = [];
        int next = 1;
        for (int round = 0; round < 6; round++)
        {
            List<Task> reports = [];
            for (int i = 0; i < 60; i++, next++)
            {
                string[] words = [.. Enumerable.Range(0, 5).Select(_ => Secret(random))];
                secrets.Add(next, words);
                string padding = new('x', random.Next(0, 3) == 0 ? random.Next(5000) : random.Next(100));
                await fixture.Store.RecordAsync(Request(next) with
                {
                    KeyId = "key-" + words[4],
                    User = "u" + (next % 7),
                    Prompt = words[0],
                    LocalAnswer = words[1],
                    Embedding = Enumerable.Range(0, random.Next(4, 600)).Select(_ => random.NextSingle()).ToArray(),
                });
                await fixture.Store.RecordAsync(Label(next) with { Answer = words[2], LogProbs = padding + "é" });
                reports.Add(fixture.Store.AddOutcomeAsync(Outcome(next, OutcomeKind.Corrected, correction: words[3], source: words[3])));
            }
            await Task.WhenAll(reports);
            byte[] files = Files(fixture);
            Assert.All(secrets, s => Assert.All(s.Value, word => Assert.True(files.AsSpan().IndexOf(Encoding.UTF8.GetBytes(word)) >= 0)));
            string user = "u" + round;
            int[] theirs = [.. secrets.Keys.Where(n => "u" + (n % 7) == user)];
            int[] some = [.. secrets.Keys.Except(theirs).Where(n => n % 5 == 0)];
            await fixture.Store.EraseAsync(user, null, null);
            foreach (int n in some)
            {
                await fixture.Store.EraseAsync(null, null, Id(n));
            }
            files = Files(fixture);
            foreach (int n in theirs.Concat(some))
            {
                Assert.All(secrets[n].Take(4), word => Assert.True(files.AsSpan().IndexOf(Encoding.UTF8.GetBytes(word)) < 0, $"A text of request {n} is still there."));
                secrets.Remove(n);
            }
        }
        string key = "key-" + secrets.Values.First()[4];
        await fixture.Store.EraseAsync(null, key, null);
        Assert.False(IsInFiles(fixture, Encoding.UTF8.GetBytes(key)));
        Assert.Equal(0, new FileInfo(fixture.Options.Path + "-wal").Length);
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task A_users_expired_requests_are_still_found_for_their_adapters()
    {
        await using StoreFixture fixture = Open(o => o with { KeepFor = TimeSpan.FromDays(1) });
        await fixture.FillAsync(3);
        await fixture.Store.RecordAdapterAsync("tuned", null, [Id(1)]);
        fixture.Time.Advance(TimeSpan.FromDays(2));
        Assert.Equal(3, await fixture.Store.ExpireAsync());
        Assert.Equal(["tuned"], (await fixture.Store.EraseAsync("user-1", null, null)).Adapters);
        Assert.True(fixture.Store.Find(Id(1))!.Erased);
    }

    [Fact]
    public async Task Traffic_goes_on_while_data_are_erased()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2000);
        Task<ErasureResult> erasing = fixture.Store.EraseAsync("user-0", null, null);
        for (int i = 2001; i <= 2300; i++)
        {
            await fixture.Store.RecordAsync(Request(i) with { User = null });
            Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(i, OutcomeKind.Accepted)));
        }
        Assert.Equal(666, (await erasing).Requests);
        Assert.Equal(2300, fixture.Store.Statistics.Requests);
        Assert.Equal(Money.Zero, fixture.Store.Spent(LedgerKind.Serving, default));
    }

    // Too short to be compressed, and like nothing else.
    private static string Secret(Random random) => string.Create(30, random, static (span, r) => { foreach (ref char c in span) { c = (char)('a' + r.Next(26)); } });

    private static bool IsInFiles(StoreFixture fixture, ReadOnlySpan<byte> bytes) => Files(fixture).AsSpan().IndexOf(bytes) >= 0;

    private static byte[] Files(StoreFixture fixture)
    {
        using MemoryStream all = new();
        foreach (string file in Directory.GetFiles(fixture.Folder))
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            stream.CopyTo(all);
        }
        return all.ToArray();
    }
}
