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
        PrefixCache.Entry entry = cache.InsertIdle(first, tokens, 7)!;

        Assert.Equal(default, cache.Find(second, tokens));
        Assert.False(cache.Holds(second, tokens));
        Assert.Null(cache.IdleOf(second));
        Assert.Same(entry, cache.IdleOf(first));
        // The same tokens under the other version are other cells.
        PrefixCache.Entry other = cache.InsertIdle(second, tokens, 8)!;
        Assert.Equal((100, 2), (cache.Tokens, cache.IdleCount));
        Assert.Equal(new PrefixCache.Match(other, 50, null, 0), cache.Find(second, tokens));
        cache.Spill(entry);
        Assert.Equal(new PrefixCache.Match(null, 0, entry, 50), cache.Find(first, tokens));
        Assert.Equal(new PrefixCache.Match(other, 50, null, 0), cache.Find(second, tokens));
        Assert.Same(entry, cache.IdleOf(first));
        cache.Remove(entry);
        Assert.Equal(default, cache.Find(first, tokens));
        Assert.Same(other, cache.Find(second, tokens).Resident);
        cache.Remove(other);
        Assert.Equal((0, 0, 0), (cache.Tokens, cache.IdleCount, cache.SpilledCount));
    }

    [Fact]
    public void What_runs_is_found_but_never_evicted()
    {
        PrefixCache cache = new();
        AdapterVersion version = new("base", null);
        PrefixCache.Entry running = cache.InsertRunning(version, [1, 2, 3, 4], 1);
        Assert.Null(cache.Oldest());
        Assert.Null(cache.IdleOf(version));
        Assert.Equal(new PrefixCache.Match(running, 2, null, 0), cache.Find(version, [1, 2, 9]));
        // A longer one below it: the shorter is no ancestor to evict, because it runs.
        PrefixCache.Entry longer = cache.InsertIdle(version, [1, 2, 3, 4, 5], 2)!;
        Assert.Null(cache.IdleAncestor(longer));
        Assert.Same(longer, cache.Oldest());
        // A prefix of what is there needs no entry of its own, unless a running sequence has to be counted.
        Assert.Null(cache.InsertIdle(version, [1, 2], 3));
        Assert.Null(cache.InsertIdle(version, [1, 2, 3, 4], 3));
        PrefixCache.Entry second = cache.InsertRunning(version, [1, 2, 3, 4], 3);
        Assert.Equal(5, cache.Tokens);
        cache.Remove(running);
        Assert.Equal(5, cache.Tokens);
        Assert.Equal(2, cache.Spill(longer));
        Assert.Equal(4, cache.Tokens);
        Assert.Equal(new PrefixCache.Match(second, 4, longer, 5), cache.Find(version, [1, 2, 3, 4, 5, 6]));
        cache.Remove(second);
        Assert.Equal(0, cache.Tokens);
        cache.Restore(longer, 9);
        Assert.Equal((5, 9), (cache.Tokens, longer.SequenceId));
        cache.Remove(longer);
        Assert.Equal((0, 0, 0), (cache.Tokens, cache.IdleCount, cache.SpilledCount));
    }

    private enum Kind
    {
        Running,
        Idle,
        Spilled,
    }

    private sealed record Known(PrefixCache.Entry Entry, int[] Tokens)
    {
        public Kind Kind { get; set; }
    }

    private static void Run(int seed, int steps, int letters, int longest)
    {
        Random random = new(seed);
        PrefixCache cache = new();
        AdapterVersion[] versions = [new("base", null), new("a", null), new("a", null)];
        // In the order of last use, or of the last move between cells and host memory.
        List<Known> known = [];
        int nextId = 0;
        for (int step = 0; step < steps; step++)
        {
            AdapterVersion version = versions[random.Next(versions.Length)];
            int[] tokens = [.. Enumerable.Range(0, random.Next(1, longest + 1)).Select(_ => random.Next(letters + 1))];
            List<Known> holders = [.. known.Where(k => k.Entry.Version == version && k.Tokens.AsSpan().StartsWith(tokens))];
            switch (random.Next(8))
            {
                case 0 or 1 when holders.Count == 0:
                    PrefixCache.Entry? added = cache.InsertIdle(version, tokens, nextId);
                    Assert.NotNull(added);
                    Assert.Equal((version, nextId++, tokens.Length), (added.Version, added.SequenceId, added.Length));
                    known.Add(new Known(added, tokens) { Kind = Kind.Idle });
                    Known? ancestor = known.Where(k => k.Kind != Kind.Running && k.Entry != added && k.Entry.Version == version && tokens.AsSpan().StartsWith(k.Tokens)).MaxBy(static k => k.Tokens.Length);
                    Assert.Same(ancestor?.Entry, cache.IdleAncestor(added));
                    break;
                case 0 or 1 when holders.Count == 1:
                    Assert.Null(cache.InsertIdle(version, tokens, nextId++));
                    Touch(holders[0]);
                    break;
                case 2:
                    known.Add(new Known(cache.InsertRunning(version, tokens, nextId++), tokens) { Kind = Kind.Running });
                    break;
                case 3 when known.Count > 0:
                    Known gone = known[random.Next(known.Count)];
                    cache.Remove(gone.Entry);
                    known.Remove(gone);
                    break;
                case 4 when known.Count > 12 && (random.Next(2) == 0 ? cache.Oldest() : cache.OldestSpilled()) is { } oldest:
                    cache.Remove(oldest);
                    known.RemoveAll(k => k.Entry == oldest);
                    break;
                case 5 when Some(Kind.Idle) is { } idle:
                    int id = idle.Entry.SequenceId;
                    Assert.Equal(id, cache.Spill(idle.Entry));
                    Assert.False(idle.Entry.IsResident);
                    idle.Kind = Kind.Spilled;
                    Touch(idle);
                    break;
                case 6 when Some(Kind.Spilled) is { } spilled:
                    cache.Restore(spilled.Entry, nextId);
                    Assert.Equal((true, nextId++), (spilled.Entry.IsResident, spilled.Entry.SequenceId));
                    spilled.Kind = Kind.Idle;
                    Touch(spilled);
                    break;
                default:
                    int resident = Longest(static k => k != Kind.Spilled);
                    int inHost = Longest(static k => k == Kind.Spilled);
                    PrefixCache.Match match = cache.Find(version, tokens);
                    Assert.Equal((resident, resident > 0), (match.ResidentLength, match.Resident is not null));
                    Assert.Equal((inHost > resident ? inHost : 0, inHost > resident), (match.SpilledLength, match.Spilled is not null));
                    Check(match.Resident, match.ResidentLength, isResident: true);
                    Check(match.Spilled, match.SpilledLength, isResident: false);
                    Assert.Equal(holders.Any(static k => k.Kind != Kind.Spilled), cache.Holds(version, tokens));
                    break;
            }

            Assert.Equal((known.Count(static k => k.Kind == Kind.Idle), known.Count(static k => k.Kind == Kind.Spilled)), (cache.IdleCount, cache.SpilledCount));
            Assert.Same(known.Find(static k => k.Kind == Kind.Idle)?.Entry, cache.Oldest());
            Assert.Same(known.Find(static k => k.Kind == Kind.Spilled)?.Entry, cache.OldestSpilled());
            Assert.Equal(known.Any(k => k.Kind != Kind.Running && k.Entry.Version == version), cache.IdleOf(version) is not null);
            // Cells: every prefix of every entry that is in cells, shared ones once.
            int cells = known.Where(static k => k.Kind != Kind.Spilled).SelectMany(static k => Enumerable.Range(1, k.Tokens.Length).Select(n => (k.Entry.Version, string.Join(',', k.Tokens[..n])))).Distinct().Count();
            Assert.Equal(cells, cache.Tokens);

            Known? Some(Kind kind)
            {
                Known[] some = [.. known.Where(k => k.Kind == kind)];
                return some.Length == 0 ? null : some[random.Next(some.Length)];
            }

            int Longest(Func<Kind, bool> kind) =>
                known.Where(k => k.Entry.Version == version && kind(k.Kind)).Select(k => k.Tokens.AsSpan().CommonPrefixLength(tokens)).DefaultIfEmpty(0).Max();

            void Check(PrefixCache.Entry? found, int length, bool isResident)
            {
                if (found is not null)
                {
                    Known entry = known.Single(k => k.Entry == found);
                    Assert.Equal((version, isResident), (found.Version, entry.Kind != Kind.Spilled));
                    Assert.Equal(length, entry.Tokens.AsSpan().CommonPrefixLength(tokens));
                    Touch(entry);
                }
            }
        }
        foreach (Known entry in known)
        {
            cache.Remove(entry.Entry);
        }
        Assert.Equal((0, 0, 0), (cache.Tokens, cache.IdleCount, cache.SpilledCount));

        void Touch(Known entry)
        {
            known.Remove(entry);
            known.Add(entry);
        }
    }
}
