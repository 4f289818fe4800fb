namespace ContinualNative.Core.Curation;

/// <summary>
/// Sets of shingles and their min-wise signatures (Broder 1997, "On the resemblance and containment of documents"): of two sets, each of the signature's numbers is
/// equal with a probability of just their Jaccard similarity.
/// </summary>
/// <remarks>
/// Shingles are runs of five characters, hashed to 32 bits. Decision: characters and not words, since a prompt is short, and one typing error in ten words would
/// change a third of its three-word shingles. The permutations are x ↦ (a x + b) mod 2⁶⁴ ÷ 2³² with odd a (Dietzfelbinger et al. 1997): near enough to min-wise independent here, as
/// what a signature finds is compared in full.
/// </remarks>
public static class MinHash
{
    /// <summary>Numbers in a signature.</summary>
    public const int Length = 128;

    private const int ShingleLength = 5;

    private static readonly (ulong[] A, ulong[] B) Permutations = MakePermutations();

    /// <summary>The text's distinct shingles, hashed, in ascending order; a text of fewer than five characters is one shingle.</summary>
    public static uint[] Shingles(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int count = Math.Max(1, text.Length - ShingleLength + 1);
        uint[] all = new uint[count];
        for (int i = 0; i < count; i++)
        {
            all[i] = Hash(text.AsSpan(i, Math.Min(ShingleLength, text.Length - i)));
        }
        Array.Sort(all);
        int distinct = 0;
        for (int i = 0; i < count; i++)
        {
            if (i == 0 || all[i] != all[distinct - 1])
            {
                all[distinct++] = all[i];
            }
        }
        return all[..distinct];
    }

    /// <summary>The signature of a set that is not empty: <see cref="Length"/> numbers.</summary>
    public static uint[] Signature(ReadOnlySpan<uint> shingles)
    {
        uint[] signature = new uint[Length];
        Array.Fill(signature, uint.MaxValue);
        (ulong[] a, ulong[] b) = Permutations;
        foreach (uint shingle in shingles)
        {
            for (int i = 0; i < signature.Length; i++)
            {
                signature[i] = Math.Min(signature[i], (uint)((a[i] * shingle + b[i]) >> 32));
            }
        }
        return signature;
    }

    /// <summary>|A ∩ B| ÷ |A ∪ B| of two sets as <see cref="Shingles"/> gives them; 1 for two empty ones.</summary>
    public static double Jaccard(ReadOnlySpan<uint> a, ReadOnlySpan<uint> b)
    {
        int i = 0, j = 0, both = 0;
        while (i < a.Length && j < b.Length)
        {
            int order = a[i].CompareTo(b[j]);
            both += order == 0 ? 1 : 0;
            i += order <= 0 ? 1 : 0;
            j += order >= 0 ? 1 : 0;
        }
        int either = a.Length + b.Length - both;
        return either == 0 ? 1 : both / (double)either;
    }

    // FNV-1a with MurmurHash3's last mixing: the same in every process, unlike string.GetHashCode.
    private static uint Hash(ReadOnlySpan<char> text)
    {
        uint hash = 2166136261;
        foreach (char c in text)
        {
            hash = (hash ^ c) * 16777619;
        }
        hash = (hash ^ (hash >> 16)) * 0x85EBCA6B;
        hash = (hash ^ (hash >> 13)) * 0xC2B2AE35;
        return hash ^ (hash >> 16);
    }

    // SplitMix64 (Steele, Lea and Flood 2014) from a fixed start.
    private static (ulong[] A, ulong[] B) MakePermutations()
    {
        ulong state = 0x5EED;
        ulong[] a = new ulong[Length], b = new ulong[Length];
        for (int i = 0; i < Length; i++)
        {
            a[i] = Next(ref state) | 1;
            b[i] = Next(ref state);
        }
        return (a, b);

        static ulong Next(ref ulong state)
        {
            ulong z = state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}
