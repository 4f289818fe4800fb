using ContinualNative.Core.Curation;

namespace ContinualNative.Tests.Curation;

public sealed class ReplayReservoirTests
{
    [Fact]
    public void Every_slice_gets_its_share_and_small_ones_are_taken_whole()
    {
        List<SignalKey> keys = [.. Slice("rare", 0, 5), .. Slice("common", 1, 1000), .. Slice("usual", 2, 300)];
        IReadOnlyList<SignalKey> sample = ReplayReservoir.Sample(keys, 105);
        Dictionary<string, int> counts = sample.GroupBy(static k => k.Task).ToDictionary(static g => g.Key, static g => g.Count());
        Assert.Equal(5, counts["rare"]);
        Assert.Equal(50, counts["common"]);
        Assert.Equal(50, counts["usual"]);
        Assert.Equal(sample.OrderBy(static k => k.Sequence), sample);
        Assert.Equal(keys.Count, ReplayReservoir.Sample(keys, 10_000).Count);
        Assert.Empty(ReplayReservoir.Sample(keys, 0));
        Assert.Equal(5 + 7 + 7, ReplayReservoir.Sample(keys, 10_000, sliceMost: 7).Count);
    }

    [Fact]
    public void It_is_the_same_in_every_order_and_another_slice_only_takes_from_the_others()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            Random random = new(seed);
            List<SignalKey> keys = [.. Enumerable.Range(0, random.Next(1, 8)).SelectMany(s => Slice($"task{s}", s, random.Next(1, 60)))];
            int capacity = random.Next(0, 200);
            SignalKey[] before = [.. ReplayReservoir.Sample(keys, capacity)];
            Assert.Equal(Math.Min(capacity, keys.Count), before.Length);

            SignalKey[] shuffled = [.. keys];
            random.Shuffle(shuffled);
            Assert.Equal(before, ReplayReservoir.Sample(shuffled, capacity));

            HashSet<SignalKey> old = [.. before];
            IReadOnlyList<SignalKey> after = ReplayReservoir.Sample([.. keys, .. Slice("new", 99, random.Next(1, 60))], capacity);
            Assert.All(after.Where(static k => k.Task != "new"), k => Assert.Contains(k, old));
            Assert.All(ReplayReservoir.Sample(keys, capacity / 2), k => Assert.Contains(k, old));
        }
    }

    [Fact]
    public void Within_a_slice_each_is_as_likely_as_the_others()
    {
        // 10 of 100 in 400 slices of different ids: each position 40 times, standard deviation 6.
        int[] counts = new int[100];
        for (int trial = 0; trial < 400; trial++)
        {
            int offset = (trial + 1) * 1000;
            foreach (SignalKey key in ReplayReservoir.Sample(Slice("task", offset, 100, trial + 1), 10))
            {
                counts[key.Sequence - offset]++;
            }
        }
        Assert.All(counts, static c => Assert.InRange(c, 10, 75));
    }

    private static IEnumerable<SignalKey> Slice(string task, int number, int count, int salt = 0) => Enumerable.Range(0, count)
        .Select(i => new SignalKey(salt > 0 || number >= 1000 ? number + i : (number * 10_000) + i, $"{salt}-{task}-{i}", Signal.Start, task, null, true, false, false, null));
}
