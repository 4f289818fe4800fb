using System.Runtime.InteropServices;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Finds near-duplicates among distinct prompts by locality-sensitive hashing of their <see cref="MinHash"/> signatures (banding: Leskovec, Rajaraman and Ullman, "Mining of Massive
/// Datasets", section 3.4): each band of a signature names a bucket, and those that share one are compared in full. So no pair below the threshold is
/// reported, and one at the threshold is missed with a probability below 1 in 1,000.
/// </summary>
/// <remarks>
/// Near-duplicates have the same <see cref="PromptText.Frame"/>, the same <see cref="PromptText.Numbers"/>, and a Jaccard similarity of the threshold or more.
/// What many prompts have in common does not count (<c>Boilerplate</c>).
/// <para>Decision: a bucket holds no more than the first <see cref="BucketMost"/> prompts. Thousands that are made of one template would share a bucket, and comparing them all
/// takes the square of their number; with this the work grows with the number of prompts, and the price is that some of such a crowd are not found. Put first what must be found.</para>
/// </remarks>
public static class NearDuplicates
{
    private const int BucketMost = 32;

    /// <summary>For each prompt the positions of its near-duplicates, ascending; equal prompts must not be given twice.</summary>
    /// <param name="prompts">Distinct prompts.</param>
    /// <param name="threshold">The Jaccard similarity from which on two are near-duplicates, 0.3 to 1; 1: none are.</param>
    public static IReadOnlyList<IReadOnlyList<int>> Find(IReadOnlyList<PromptText> prompts, double threshold)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        if (!(threshold is >= 0.3 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(threshold), threshold, "A threshold is from 0.3 to 1.");
        }
        List<int>[] found = [.. prompts.Select(static _ => new List<int>())];
        if (threshold == 1)
        {
            return found;
        }
        int rows = Rows(threshold);
        uint[][] shingles = Shingles(prompts);
        Dictionary<ulong, List<int>> buckets = [];
        HashSet<int> candidates = [];
        for (int i = 0; i < prompts.Count; i++)
        {
            candidates.Clear();
            Visit(buckets, prompts[i], MinHash.Signature(shingles[i]), rows, i, candidates);
            foreach (int j in candidates)
            {
                if (prompts[i].Frame == prompts[j].Frame && prompts[i].Numbers == prompts[j].Numbers && MinHash.Jaccard(shingles[i], shingles[j]) >= threshold)
                {
                    found[i].Add(j);
                    found[j].Add(i);
                }
            }
        }
        foreach (List<int> list in found)
        {
            list.Sort();
        }
        return found;
    }

    private static uint[][] Shingles(IReadOnlyList<PromptText> prompts)
    {
        uint[][] shingles = new uint[prompts.Count][];
        foreach (IGrouping<string, int> frame in Enumerable.Range(0, prompts.Count).GroupBy(i => prompts[i].Frame, StringComparer.Ordinal))
        {
            int[] members = [.. frame];
            string[] texts = Boilerplate.Strip([.. members.Select(i => prompts[i].Body)]);
            for (int i = 0; i < members.Length; i++)
            {
                shingles[members[i]] = MinHash.Shingles(texts[i]);
            }
        }
        return shingles;
    }

    // The longest bands (the fewest comparisons) by which a pair at the threshold t is found often enough: 1 − (1 − t^r)^(n/r).
    private static int Rows(double threshold)
    {
        int rows = 32;
        while (rows > 1 && Math.Pow(1 - Math.Pow(threshold, rows), MinHash.Length / rows) >= 1e-3)
        {
            rows /= 2;
        }
        return rows;
    }

    private static void Visit(Dictionary<ulong, List<int>> buckets, PromptText prompt, uint[] signature, int rows, int at, HashSet<int> candidates)
    {
        ulong start = Mix(0xCBF29CE484222325, MemoryMarshal.AsBytes(prompt.Frame.AsSpan()));
        start = Mix(start, MemoryMarshal.AsBytes(prompt.Numbers.AsSpan()));
        for (int band = 0; band * rows < signature.Length; band++)
        {
            ulong key = Mix(start ^ (ulong)band, MemoryMarshal.AsBytes(signature.AsSpan(band * rows, rows)));
            if (!buckets.TryGetValue(key, out List<int>? bucket))
            {
                buckets[key] = bucket = [];
            }
            candidates.UnionWith(bucket);
            if (bucket.Count < BucketMost)
            {
                bucket.Add(at);
            }
        }
    }

    // FNV-1a, 64 bits.
    private static ulong Mix(ulong hash, ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
        {
            hash = (hash ^ b) * 0x100000001B3;
        }
        return hash;
    }
}
