namespace ContinualNative.Training;

/// <summary>
/// Packs examples of any length into batches of at most so many rows. Within a window of shuffled examples the longest go first, each into the first
/// batch with room for it (first fit decreasing: at most 11/9 of the fewest batches possible); what is in a window's emptiest batch waits for the next
/// window. The batches of a window are shuffled, so that long examples don't come first. Equal input and seed give equal batches.
/// </summary>
internal static class Packer
{
    /// <summary>Examples that are packed together; more waste less and shuffle worse.</summary>
    public const int Window = 512;

    /// <summary>Batches of indexes into <paramref name="rows"/>, each index once. Every length must be between 1 and <paramref name="capacity"/>.</summary>
    /// <param name="rows">Rows of each example.</param>
    /// <param name="capacity">Most rows of a batch.</param>
    /// <param name="seed">Of the order.</param>
    /// <param name="shuffle">False: in order of their lengths only, for evaluation.</param>
    public static List<int[]> Pack(ReadOnlySpan<int> rows, int capacity, ulong seed, bool shuffle = true)
    {
        SplitMix64 random = new(seed);
        int[] lengths = rows.ToArray();
        int[] order = new int[rows.Length];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
            if (rows[i] < 1 || rows[i] > capacity)
            {
                throw new ArgumentOutOfRangeException(nameof(rows), rows[i], $"An example must have 1 to {capacity} rows.");
            }
        }
        if (shuffle)
        {
            random.Shuffle<int>(order);
        }
        List<int[]> batches = [];
        List<int> window = [];
        List<(int Free, List<int> Items)> bins = [];
        for (int next = 0; next < order.Length;)
        {
            while (window.Count < Window && next < order.Length)
            {
                window.Add(order[next++]);
            }
            // A stable order, so that ties fall as the shuffle put them.
            window = [.. window.OrderByDescending(i => lengths[i])];
            bins.Clear();
            foreach (int item in window)
            {
                int bin = bins.FindIndex(b => b.Free >= lengths[item]);
                if (bin < 0)
                {
                    bins.Add((capacity - lengths[item], [item]));
                }
                else
                {
                    bins[bin].Items.Add(item);
                    bins[bin] = (bins[bin].Free - lengths[item], bins[bin].Items);
                }
            }
            window.Clear();
            if (next < order.Length && bins.Count > 1)
            {
                int emptiest = bins.IndexOf(bins.MaxBy(static b => b.Free));
                window.AddRange(bins[emptiest].Items);
                bins.RemoveAt(emptiest);
            }
            int[][] packed = [.. bins.Select(static b => b.Items.ToArray())];
            if (shuffle)
            {
                random.Shuffle<int[]>(packed);
            }
            batches.AddRange(packed);
        }
        return batches;
    }
}
