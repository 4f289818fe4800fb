using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>
/// A sample of requests with a fair share for every slice: of each slice the requests with the smallest hashes of their ids (bottom-k sampling, Cohen and Kaplan
/// 2007), as many as from all. Small slices are taken whole, and what they leave is shared by the others. The sample depends on nothing but
/// the set of requests, and is consistent: another slice, or less room, only takes from the end of each slice's share, so that cycle after cycle the
/// same requests are remembered.
/// </summary>
public static class ReplayReservoir
{
    /// <summary>Draws the sample, in order of arrival.</summary>
    /// <param name="keys">Requests in any order, each once.</param>
    /// <param name="capacity">Most requests.</param>
    /// <param name="sliceMost">Most requests of one slice.</param>
    /// <param name="purpose">Samples of different purposes are independent of each other.</param>
    public static IReadOnlyList<SignalKey> Sample(IEnumerable<SignalKey> keys, int capacity, int sliceMost = int.MaxValue, string purpose = "replay")
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(purpose);
        ArgumentOutOfRangeException.ThrowIfNegative(capacity);
        ArgumentOutOfRangeException.ThrowIfNegative(sliceMost);
        Dictionary<string, List<(ulong Hash, SignalKey Key)>> slices = new(StringComparer.Ordinal);
        foreach (SignalKey key in keys)
        {
            string slice = Slices.Of(key.Task, key.At);
            if (!slices.TryGetValue(slice, out List<(ulong Hash, SignalKey Key)>? members))
            {
                slices[slice] = members = [];
            }
            members.Add((StableHash.Of(purpose, key.RequestId), key));
        }
        IReadOnlyDictionary<string, int> shares = Shares(slices.ToDictionary(static s => s.Key, s => Math.Min(s.Value.Count, sliceMost), StringComparer.Ordinal), capacity);
        List<SignalKey> sample = [];
        foreach ((string slice, List<(ulong Hash, SignalKey Key)> members) in slices)
        {
            members.Sort(static (a, b) => a.Hash != b.Hash ? a.Hash.CompareTo(b.Hash) : string.CompareOrdinal(a.Key.RequestId, b.Key.RequestId));
            sample.AddRange(members.Take(shares[slice]).Select(static m => m.Key));
        }
        sample.Sort(SignalPlan.ByArrival);
        return sample;
    }

    /// <summary>
    /// How many of each slice: min(size, level), with the highest level that the capacity allows, and one more for as many of the larger slices as are left room for.
    /// With one slice more, no other gets more than before.
    /// </summary>
    public static IReadOnlyDictionary<string, int> Shares(IReadOnlyDictionary<string, int> sizes, int capacity)
    {
        ArgumentNullException.ThrowIfNull(sizes);
        ArgumentOutOfRangeException.ThrowIfNegative(capacity);
        int low = 0, high = sizes.Count == 0 ? 0 : sizes.Values.Max();
        while (low < high)
        {
            int middle = low + (high - low + 1) / 2;
            (low, high) = sizes.Values.Sum(size => (long)Math.Min(size, middle)) <= capacity ? (middle, high) : (low, middle - 1);
        }
        int level = low;
        long room = capacity - sizes.Values.Sum(size => (long)Math.Min(size, level));
        Dictionary<string, int> shares = sizes.ToDictionary(static s => s.Key, s => Math.Min(s.Value, level), StringComparer.Ordinal);
        // By hash, so that the same slices are always favoured, and no task is for its name.
        foreach (string slice in sizes.Where(s => s.Value > level).Select(static s => s.Key).OrderBy(static s => StableHash.Of("slice", s)).ThenBy(static s => s, StringComparer.Ordinal).Take((int)Math.Min(room, sizes.Count)))
        {
            shares[slice]++;
        }
        return shares;
    }
}
