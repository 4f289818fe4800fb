using System.Buffers;

namespace ContinualNative.Core.Routing;

/// <summary>
/// How often the model was wrong on prompts with a word in them. A new product, name or term comes in sentences that are otherwise well known, and the model answers them as surely as ever: neither its
/// confidence nor the distance of the whole prompt tells. The least proven word does.
/// <para>
/// A word's risk is the estimate of Krichevsky and Trofimov (1981, "The performance of universal encoding"), (wrong + ½) ÷ (judged + 1): ½ for one never judged. Words are runs of letters, without case;
/// what has a digit in it is none (numbers, dates and ids are always new), and ideographs and kana are one each. Words are told apart by a hash: two that share one look more proven than they are.
/// </para>
/// Thread-safe; reading takes no lock.
/// </summary>
public sealed class WordRiskIndex
{
    /// <summary>Characters that are looked at: of a longer text the first and the last half as many each.</summary>
    public const int MostCharacters = 4096;

    private const int Bits = 18;
    private const ulong Salt = 0x2545f4914f6cdd1d;

    private volatile Counts _counts = new();

    /// <summary>The highest risk of a word of the text, 0 to 1; NaN for one without words.</summary>
    /// <param name="text">The text.</param>
    /// <param name="leaveOutSelf">Whether this text is among the right ones that were counted, and is to be passed over: it would prove its own words.</param>
    public float Risk(ReadOnlySpan<char> text, bool leaveOutSelf = false)
    {
        Counts counts = _counts;
        float risk = float.NaN;
        int[] words = ArrayPool<int>.Shared.Rent(MostCharacters + 2);
        try
        {
            foreach (int word in Words(text, words))
            {
                int wrong = Volatile.Read(ref counts.Wrong[word]), right = Math.Max(Volatile.Read(ref counts.Right[word]) - (leaveOutSelf ? 1 : 0), 0);
                float its = (wrong + 0.5f) / (wrong + right + 1f);
                risk = its > risk ? its : float.IsNaN(risk) ? its : risk;
            }
        }
        finally
        {
            // Hashes of what a user wrote.
            ArrayPool<int>.Shared.Return(words, clearArray: true);
        }
        return risk;
    }

    /// <summary>Counts a prompt whose answer was judged, or that was learned from (as right).</summary>
    public void Add(ReadOnlySpan<char> text, bool right) => Add(_counts, text, right);

    /// <summary>Forgets all, and starts anew with these; readers see the old counts or the new ones.</summary>
    public void Replace(IEnumerable<(string Text, bool Right)> judged)
    {
        ArgumentNullException.ThrowIfNull(judged);
        Counts next = new();
        foreach ((string text, bool right) in judged)
        {
            Add(next, text, right);
        }
        _counts = next;
    }

    private static void Add(Counts counts, ReadOnlySpan<char> text, bool right)
    {
        int[] words = ArrayPool<int>.Shared.Rent(MostCharacters + 2);
        try
        {
            // Once a prompt: what is estimated is a share of prompts.
            Span<int> all = Words(text, words);
            all.Sort();
            int last = -1;
            foreach (int word in all)
            {
                if (word != last)
                {
                    Interlocked.Increment(ref (right ? counts.Right : counts.Wrong)[word]);
                    last = word;
                }
            }
        }
        finally
        {
            ArrayPool<int>.Shared.Return(words, clearArray: true);
        }
    }

    // At most one per character.
    private static Span<int> Words(ReadOnlySpan<char> text, int[] words)
    {
        int count = 0;
        if (text.Length <= MostCharacters)
        {
            Collect(text, words, ref count);
        }
        else
        {
            Collect(text[..(MostCharacters / 2)], words, ref count);
            Collect(text[^(MostCharacters / 2)..], words, ref count);
        }
        return words.AsSpan(0, count);
    }

    private static void Collect(ReadOnlySpan<char> text, int[] words, ref int count)
    {
        ulong hash = 0;
        bool number = false;
        foreach (char c in text)
        {
            if (c is >= '\u3040' and <= '\u30ff' or >= '\u3400' and <= '\u9fff')
            {
                End(words, ref count);
                hash = PromptEmbedder.Mix(c, Salt);
                End(words, ref count);
            }
            else if (char.IsLetter(c) || char.GetUnicodeCategory(c) is System.Globalization.UnicodeCategory.NonSpacingMark or System.Globalization.UnicodeCategory.SpacingCombiningMark || char.IsSurrogate(c))
            {
                hash = PromptEmbedder.Mix(hash + char.ToLowerInvariant(c), Salt);
            }
            else if (char.IsDigit(c))
            {
                number = true;
            }
            else
            {
                End(words, ref count);
            }
        }
        End(words, ref count);

        void End(int[] all, ref int n)
        {
            if (hash != 0 && !number)
            {
                all[n++] = (int)(hash >> (64 - Bits));
            }
            (hash, number) = (0, false);
        }
    }

    private sealed class Counts
    {
        public readonly int[] Right = new int[1 << Bits];
        public readonly int[] Wrong = new int[1 << Bits];
    }
}
