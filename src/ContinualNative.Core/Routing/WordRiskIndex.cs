using System.Buffers;

namespace ContinualNative.Core.Routing;

/// <summary>
/// How often the model was wrong on prompts with a word in them. A new product, name or term comes in sentences that are otherwise well known, and the model answers them as surely as ever: neither its
/// confidence nor the distance of the whole prompt tells. The least proven word does.
/// <para>
/// Of all prompts with a word the share wrong is estimated as Krichevsky and Trofimov did (1981, "The performance of universal encoding"): p = (wrong + ½) ÷ (judged + 1), ½ for one never judged. A word's risk is
/// (w + p) ÷ (n + 1), with w wrong ones of n, where those before the last 500 prompts count half, before the last 1000 a quarter, and so on: what was right for months and is wrong now is noticed after a few prompts, and
/// a word that nobody used for a while keeps what it has proved. Words are runs of letters, without case; what has a digit in it is none (numbers, dates and ids are always new), and ideographs and kana are one
/// each. Words are told apart by a hash: two that share one look more proven than they are.
/// </para>
/// Thread-safe.
/// </summary>
public sealed class WordRiskIndex
{
    /// <summary>Characters that are looked at: of a longer text the first and the last half as many each.</summary>
    public const int MostCharacters = 4096;

    private const int Bits = 18;

    // Prompts after which a verdict counts half. A shorter one notices redefined requests sooner, and orders unknown ones less well (bench/results/routing-2026-11-26.md).
    private const float HalfLife = 500;

    private const ulong Salt = 0x2545f4914f6cdd1d;

    private readonly Lock _gate = new();
    private Counts _counts = new();

    /// <summary>The highest risk of a word of the text, 0 to 1; NaN for one without words.</summary>
    /// <param name="text">The text.</param>
    /// <param name="leaveOutSelf">Whether this text is among the right ones that were counted, and is to be passed over: it would prove its own words.</param>
    public float Risk(ReadOnlySpan<char> text, bool leaveOutSelf = false)
    {
        float risk = float.NaN;
        int[] words = ArrayPool<int>.Shared.Rent(MostCharacters + 2);
        try
        {
            Span<int> all = Words(text, words);
            lock (_gate)
            {
                foreach (int word in all)
                {
                    float its = _counts.Risk(word, leaveOutSelf);
                    risk = its > risk ? its : float.IsNaN(risk) ? its : risk;
                }
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
    public void Add(ReadOnlySpan<char> text, bool right)
    {
        lock (_gate)
        {
            Add(_counts, text, right);
        }
    }

    /// <summary>Forgets all, and starts anew with these, oldest first; readers see the old counts or the new ones.</summary>
    public void Replace(IEnumerable<(string Text, bool Right)> judged)
    {
        ArgumentNullException.ThrowIfNull(judged);
        Counts next = new();
        foreach ((string text, bool right) in judged)
        {
            Add(next, text, right);
        }
        lock (_gate)
        {
            _counts = next;
        }
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
            counts.Prompts++;
            foreach (int word in all)
            {
                if (word != last)
                {
                    counts.Add(word, right);
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

    private struct Word
    {
        public int Right;
        public int Wrong;
        public float RecentRight;
        public float RecentWrong;

        // Where the recent ones were last brought up to date.
        public int At;
    }

    private sealed class Counts
    {
        private readonly Word[] _words = new Word[1 << Bits];

        public int Prompts { get; set; }

        public void Add(int word, bool right)
        {
            ref Word its = ref _words[word];
            float kept = Kept(its);
            its.RecentRight = its.RecentRight * kept + (right ? 1 : 0);
            its.RecentWrong = its.RecentWrong * kept + (right ? 0 : 1);
            its.At = Prompts;
            _ = right ? its.Right++ : its.Wrong++;
        }

        public float Risk(int word, bool leaveOutSelf)
        {
            ref readonly Word its = ref _words[word];
            int right = leaveOutSelf ? Math.Max(its.Right - 1, 0) : its.Right;
            float ever = (its.Wrong + 0.5f) / (its.Wrong + right + 1f);
            float kept = Kept(its);
            float wrong = its.RecentWrong * kept, rights = its.RecentRight * kept;
            if (leaveOutSelf && its.Right > 0)
            {
                // How old that one is is not known: the mean of them.
                rights *= 1 - 1f / its.Right;
            }
            return (wrong + ever) / (wrong + rights + 1);
        }

        // What is left of the recent verdicts on a word.
        private float Kept(in Word word) => MathF.Pow(0.5f, (Prompts - word.At) / HalfLife);
    }
}
