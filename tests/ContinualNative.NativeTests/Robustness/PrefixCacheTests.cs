using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Scheduling;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>The radix tree against a list of token arrays that is searched from end to end.</summary>
public sealed class PrefixCacheTests
{
    [Fact]
    public void Random_operations_agree_with_a_plain_list()
    {
        for (int seed = 0; seed < 30; seed++)
        {
            Run(seed, steps: 500, letters: seed % 3 + 1, longest: 2 + (seed % 17));
        }
    }

    [Fact]
    public void Versions_never_meet()
    {
        PrefixCache cache = new();
        AdapterVersion first = new("a", null);
        AdapterVersion second = new("a", null);
        int[] tokens = [.. Enumerable.Range(1, 50)];
        PrefixCache.Entry entry = cache.Insert(first, tokens, 7, idle: true)!;

        Assert.Null(cache.Find(second, tokens, out int shared));
        Assert.Equal(0, shared);
        Assert.Null(cache.IdleOf(second));
        Assert.Same(entry, cache.IdleOf(first));
        // The same tokens under the other version are other cells.
        PrefixCache.Entry other = cache.Insert(second, tokens, 8, idle: true)!;
        Assert.Equal((100, 2), (cache.Tokens, cache.IdleCount));
        Assert.Same(other, cache.Find(second, tokens, out shared));
        Assert.Equal(50, shared);
        cache.Remove(entry);
        Assert.Null(cache.Find(first, tokens, out _));
        Assert.Same(other, cache.Find(second, tokens, out _));
        cache.Remove(other);
        Assert.Equal((0, 0), (cache.Tokens, cache.IdleCount));
    }

    [Fact]
    public void What_runs_is_found_but_never_evicted()
    {
        PrefixCache cache = new();
        AdapterVersion version = new("base", null);
        PrefixCache.Entry running = cache.Insert(version, [1, 2, 3, 4], 1, idle: false)!;
        Assert.Null(cache.Oldest());
        Assert.Null(cache.IdleOf(version));
        Assert.Same(running, cache.Find(version, [1, 2, 9], out int shared));
        Assert.Equal(2, shared);
        // A longer one below it: the shorter is no ancestor to evict, because it runs.
        PrefixCache.Entry longer = cache.Insert(version, [1, 2, 3, 4, 5], 2, idle: true)!;
        Assert.Null(cache.IdleAncestor(longer));
        Assert.Same(longer, cache.Oldest());
        // A prefix of what is there needs no entry of its own.
        Assert.Null(cache.Insert(version, [1, 2], 3, idle: true));
        Assert.Null(cache.Insert(version, [1, 2, 3, 4], 3, idle: true));
        Assert.Equal(5, cache.Tokens);
        cache.Remove(running);
        Assert.Equal(5, cache.Tokens);
        cache.Remove(longer);
        Assert.Equal(0, cache.Tokens);
    }

    private sealed record Known(PrefixCache.Entry Entry, int[] Tokens, bool Idle);

    private static void Run(int seed, int steps, int letters, int longest)
    {
        Random random = new(seed);
        PrefixCache cache = new();
        AdapterVersion[] versions = [new("base", null), new("a", null), new("a", null)];
        // In the order of last use.
        List<Known> known = [];
        int nextId = 0;
        for (int step = 0; step < steps; step++)
        {
            AdapterVersion version = versions[random.Next(versions.Length)];
            int[] tokens = [.. Enumerable.Range(0, random.Next(1, longest + 1)).Select(_ => random.Next(letters + 1))];
            List<Known> holders = [.. known.Where(k => k.Entry.Version == version && k.Tokens.AsSpan().StartsWith(tokens))];
            switch (random.Next(5))
            {
                case 0 or 1 when holders.Count == 0:
                    bool idle = random.Next(3) > 0;
                    PrefixCache.Entry? added = cache.Insert(version, tokens, nextId, idle);
                    Assert.NotNull(added);
                    Assert.Equal((version, nextId++, tokens.Length), (added.Version, added.SequenceId, added.Length));
                    known.Add(new Known(added, tokens, idle));
                    Known? ancestor = known.Where(k => k.Idle && k.Entry != added && k.Entry.Version == version && tokens.AsSpan().StartsWith(k.Tokens)).MaxBy(static k => k.Tokens.Length);
                    Assert.Same(ancestor?.Entry, cache.IdleAncestor(added));
                    break;
                case 0 or 1 when holders.Count == 1:
                    Assert.Null(cache.Insert(version, tokens, nextId++, idle: true));
                    Touch(holders[0]);
                    break;
                case 2 when known.Count > 0:
                    Known gone = known[random.Next(known.Count)];
                    cache.Remove(gone.Entry);
                    known.Remove(gone);
                    break;
                case 3 when known.Count > 12 && cache.Oldest() is { } oldest:
                    cache.Remove(oldest);
                    known.RemoveAll(k => k.Entry == oldest);
                    break;
                default:
                    int best = known.Where(k => k.Entry.Version == version).Select(k => k.Tokens.AsSpan().CommonPrefixLength(tokens)).DefaultIfEmpty(0).Max();
                    PrefixCache.Entry? found = cache.Find(version, tokens, out int shared);
                    Assert.Equal(best, shared);
                    Assert.Equal(best > 0, found is not null);
                    if (found is not null)
                    {
                        Known match = known.Single(k => k.Entry == found);
                        Assert.Same(version, found.Version);
                        Assert.Equal(best, match.Tokens.AsSpan().CommonPrefixLength(tokens));
                        Touch(match);
                    }
                    break;
            }

            Assert.Equal(known.Count(static k => k.Idle), cache.IdleCount);
            Assert.Same(known.Find(static k => k.Idle)?.Entry, cache.Oldest());
            // Cells: every prefix of every entry, shared ones once.
            int cells = known.SelectMany(static k => Enumerable.Range(1, k.Tokens.Length).Select(n => (k.Entry.Version, string.Join(',', k.Tokens[..n])))).Distinct().Count();
            Assert.Equal(cells, cache.Tokens);
        }
        foreach (Known entry in known)
        {
            cache.Remove(entry.Entry);
        }
        Assert.Equal((0, 0), (cache.Tokens, cache.IdleCount));

        void Touch(Known entry)
        {
            known.Remove(entry);
            known.Add(entry);
        }
    }
}
