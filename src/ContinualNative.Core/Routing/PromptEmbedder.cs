using System.Buffers;
using System.Globalization;
using System.Text;

namespace ContinualNative.Core.Routing;

/// <summary>
/// Turns text into a unit vector by feature hashing with signs (Weinberger, Dasgupta, Langford, Smola, Attenberg 2009, arXiv 0902.2206): words, pairs of words, and three
/// characters in a row within words, each weighted by 1 + ln(count). The inner product of two such vectors has the features' own as its expectation.
/// Needs no model and no learning, so that it means the same forever. Deterministic on every machine and in every culture; stateless and thread-safe.
/// </summary>
public static class PromptEmbedder
{
    /// <summary>Length of an embedding.</summary>
    public const int Dimensions = 256;

    /// <summary>Characters that are looked at: of a longer text the first and the last half as many each.</summary>
    public const int MostCharacters = 4096;

    private const int MostFeatures = 16384;
    private const float WordWeight = 1;
    private const float PairWeight = 0.7f;
    private const float TripleWeight = 0.4f;
    private const ulong WordSalt = 0x9e3779b97f4a7c15;
    private const ulong PairSalt = 0xd1b54a32d192ed03;
    private const ulong TripleSalt = 0x8cb92ba72f3d8dd7;

    /// <summary>The embedding of a text, of length 1; all zeros for a text of nothing but white space and control characters.</summary>
    public static float[] Embed(ReadOnlySpan<char> text)
    {
        float[] embedding = new float[Dimensions];
        Embed(text, embedding);
        return embedding;
    }

    /// <summary>Writes the embedding into <paramref name="embedding"/>, which has <see cref="Dimensions"/> elements.</summary>
    public static void Embed(ReadOnlySpan<char> text, Span<float> embedding)
    {
        if (embedding.Length != Dimensions)
        {
            throw new ArgumentException($"An embedding has {Dimensions} elements, not {embedding.Length}.", nameof(embedding));
        }
        embedding.Clear();
        ulong[] features = ArrayPool<ulong>.Shared.Rent(MostFeatures);
        try
        {
            int count = 0;
            if (text.Length <= MostCharacters)
            {
                Collect(text, features, ref count);
            }
            else
            {
                Collect(text[..(MostCharacters / 2)], features, ref count);
                Collect(text[^(MostCharacters / 2)..], features, ref count);
            }
            // Equal features stand together once sorted: counts without a table.
            Span<ulong> sorted = features.AsSpan(0, count);
            sorted.Sort();
            for (int from = 0; from < count;)
            {
                ulong feature = sorted[from];
                int to = from + 1;
                while (to < count && sorted[to] == feature)
                {
                    to++;
                }
                float weight = (feature & 3) switch { 0 => WordWeight, 1 => PairWeight, _ => TripleWeight };
                float value = to - from == 1 ? weight : weight * (1 + MathF.Log(to - from));
                embedding[(int)(feature >> 56)] += (feature & (1UL << 55)) == 0 ? value : -value;
                from = to;
            }
        }
        finally
        {
            // Hashes of what a user wrote.
            ArrayPool<ulong>.Shared.Return(features, clearArray: true);
        }
        float length = MathF.Sqrt(Vectors.Dot(embedding, embedding));
        if (length > 0)
        {
            for (int i = 0; i < embedding.Length; i++)
            {
                embedding[i] /= length;
            }
        }
    }

    // A feature is a hash whose upper nine bits say where it goes, and whose lowest two what it is. At most three per character and a few per word: never more than MostFeatures.
    private static void Collect(ReadOnlySpan<char> text, ulong[] features, ref int count)
    {
        ulong word = 0, last = 0, before = 0, beforeThat = 0;
        foreach (Rune raw in text.EnumerateRunes())
        {
            Kind kind = KindOf(raw);
            if (kind == Kind.Letter)
            {
                ulong letter = (ulong)Lower(raw).Value + 1;
                if (word == 0)
                {
                    // The beginning of a word is a character of its own.
                    (beforeThat, before) = (0, 1);
                }
                word = Mix(word + letter, WordSalt) | 1;
                EndTriple(letter, features, ref count);
                continue;
            }
            EndWord(features, ref count);
            if (kind == Kind.Symbol)
            {
                word = Mix((ulong)raw.Value + 1, WordSalt) | 1;
                (beforeThat, before) = (0, 0);
                EndWord(features, ref count);
            }
        }
        EndWord(features, ref count);

        void EndTriple(ulong letter, ulong[] all, ref int n)
        {
            if (beforeThat != 0)
            {
                all[n++] = (Mix((beforeThat << 42) ^ (before << 21) ^ letter, TripleSalt) & ~3UL) | 2;
            }
            (beforeThat, before) = (before, letter);
        }

        void EndWord(ulong[] all, ref int n)
        {
            if (word == 0)
            {
                return;
            }
            if (before != 0)
            {
                EndTriple(1, all, ref n);
            }
            all[n++] = Mix(word, WordSalt) & ~3UL;
            if (last != 0)
            {
                all[n++] = (Mix(last + word * 3, PairSalt) & ~3UL) | 1;
            }
            (last, word, before, beforeThat) = (word, 0, 0, 0);
        }
    }

    private enum Kind
    {
        Space,
        Letter,
        Symbol,
    }

    private static Kind KindOf(Rune rune)
    {
        if (rune.IsAscii)
        {
            int value = rune.Value;
            return (uint)((value | 0x20) - 'a') <= 'z' - 'a' || (uint)(value - '0') <= 9 ? Kind.Letter : value <= ' ' || value == 0x7f ? Kind.Space : Kind.Symbol;
        }
        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter
                or UnicodeCategory.OtherLetter or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
                or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Letter,
            UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Control or UnicodeCategory.Format => Kind.Space,
            _ => Kind.Symbol,
        };
    }

    private static Rune Lower(Rune rune) =>
        rune.IsAscii ? (uint)(rune.Value - 'A') <= 'Z' - 'A' ? new Rune(rune.Value | 0x20) : rune : Rune.ToLowerInvariant(rune);

    /// <summary>The finalizer of MurmurHash3 (Appleby), salted.</summary>
    internal static ulong Mix(ulong value, ulong salt)
    {
        value = (value ^ salt) * 0xff51afd7ed558ccd;
        value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53;
        return value ^ (value >> 33);
    }
}
