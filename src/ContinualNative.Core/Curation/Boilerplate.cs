using System.Numerics;
using System.Runtime.InteropServices;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Takes out what a server's requests have in common. Many are one long instruction and a short text to apply it to: by all of their letters they would be near-duplicates of
/// each other, while what differs is what is asked.
/// </summary>
/// <remarks>
/// Boilerplate is every stretch of 40 characters that stands in more than one text in twenty, and in more than 32. Decision: long stretches and not frequent
/// words. Where all write about orders and refunds these words are frequent too, and without them a prompt and its misspelt copy would have nothing left in common.
/// Of the stretches one in four is counted, chosen by its hash, the same everywhere (Manber 1994, "Finding similar files in a large file system"): a few characters at the ends of what is common may stay.
/// </remarks>
internal static class Boilerplate
{
    private const int Stretch = 40;
    private const double CommonShare = 0.05;
    private const int CommonLeast = 32;
    private const ulong Multiplier = 0x9E3779B97F4A7C15;
    private const ulong Sampled = 3;

    /// <summary>The texts without it; one that consists of nothing else stays as it is.</summary>
    public static string[] Strip(IReadOnlyList<string> texts)
    {
        if (texts.Count <= CommonLeast)
        {
            return [.. texts];
        }
        Dictionary<ulong, (int Count, int Last)> counts = [];
        for (int i = 0; i < texts.Count; i++)
        {
            foreach ((_, ulong hash) in Stretches(texts[i]))
            {
                ref (int Count, int Last) seen = ref CollectionsMarshal.GetValueRefOrAddDefault(counts, hash, out bool known);
                if (!known || seen.Last != i)
                {
                    seen = (seen.Count + 1, i);
                }
            }
        }
        double most = Math.Max(CommonLeast, CommonShare * texts.Count);
        HashSet<ulong> common = [.. counts.Where(c => c.Value.Count > most).Select(static c => c.Key)];
        return common.Count == 0 ? [.. texts] : [.. texts.Select(text => Without(text, common))];
    }

    private static string Without(string text, HashSet<ulong> common)
    {
        char[] rest = new char[text.Length];
        int length = 0;
        int next = 0;
        foreach ((int start, _) in Stretches(text).Where(s => common.Contains(s.Hash)))
        {
            for (; next < start; next++)
            {
                rest[length++] = text[next];
            }
            next = Math.Max(next, start + Stretch);
        }
        for (; next < text.Length; next++)
        {
            rest[length++] = text[next];
        }
        return length > 0 ? new string(rest, 0, length) : text;
    }

    // A rolling hash (Karp and Rabin 1987) modulo 2⁶⁴, mixed so that the choice by its low bits is even.
    private static IEnumerable<(int Start, ulong Hash)> Stretches(string text)
    {
        ulong leaving = 1;
        for (int i = 0; i < Stretch; i++)
        {
            leaving *= Multiplier;
        }
        ulong rolling = 0;
        for (int i = 0; i < text.Length; i++)
        {
            rolling = rolling * Multiplier + text[i];
            if (i >= Stretch)
            {
                rolling -= leaving * text[i - Stretch];
            }
            ulong hash = BitOperations.RotateLeft(rolling, 32) * Multiplier;
            hash ^= hash >> 29;
            if (i >= Stretch - 1 && (hash & Sampled) == 0)
            {
                yield return (i - Stretch + 1, hash);
            }
        }
    }
}
