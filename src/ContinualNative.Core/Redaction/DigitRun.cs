using System.Globalization;

namespace ContinualNative.Core.Redaction;

/// <summary>
/// Groups of digits with at most three separators between two of them, on one line. Telephone and card numbers are looked for in windows of
/// such groups, never inside one, so a long number holds none.
/// </summary>
internal static class DigitRun
{
    private const int MaxSeparators = 3;

    /// <summary>Digits from <paramref name="Start"/> to before <paramref name="End"/>.</summary>
    internal readonly record struct Group(int Start, int End)
    {
        public int Length => End - Start;
    }

    /// <summary>Whether a letter, digit or underscore stands there; false outside of the text.</summary>
    public static bool IsWord(ReadOnlySpan<char> text, int at) => (uint)at < (uint)text.Length && (char.IsLetterOrDigit(text[at]) || text[at] == '_');

    /// <summary>
    /// Whether a word goes on to just before <paramref name="at"/>. The letter of an escape is no part of one: texts hold JSON and source code, where
    /// a number on a new line is written <c>\n4111…</c>.
    /// </summary>
    public static bool IsWordBefore(ReadOnlySpan<char> text, int at) => IsWord(text, at - 1) && EscapeBefore(text, at) == 0;

    /// <summary>How many characters the escape has that ends just before <paramref name="at"/>, backslash excluded; 0 when none does.</summary>
    public static int EscapeBefore(ReadOnlySpan<char> text, int at)
    {
        if (at >= 2 && text[at - 1] is 'b' or 'f' or 'n' or 'r' or 't' && IsEscaped(text, at - 1))
        {
            return 1;
        }
        return at >= 6 && text[at - 5] == 'u' && IsEscaped(text, at - 5) && IsHex(text[(at - 4)..at]) ? 5 : 0;
    }

    /// <summary>How many characters the escape has that begins with the character at <paramref name="at"/>, its backslash before it; 0 when none does.</summary>
    public static int EscapeAt(ReadOnlySpan<char> text, int at)
    {
        if (!IsEscaped(text, at))
        {
            return 0;
        }
        return text[at] is 'b' or 'f' or 'n' or 'r' or 't' ? 1 : text[at] == 'u' && text.Length - at >= 5 && IsHex(text.Slice(at + 1, 4)) ? 5 : 0;
    }

    // An odd number of backslashes stands before it. No text is looked back over for more than these few.
    private static bool IsEscaped(ReadOnlySpan<char> text, int at)
    {
        int count = 0;
        while (count < at && count < 16 && text[at - 1 - count] == '\\')
        {
            count++;
        }
        return count % 2 == 1;
    }

    private static bool IsHex(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
        {
            if (!char.IsAsciiHexDigit(c))
            {
                return false;
            }
        }
        return true;
    }

    public static bool IsSpace(char c) => c is ' ' or '\t' || CharUnicodeInfo.GetUnicodeCategory(c) == UnicodeCategory.SpaceSeparator;

    public static bool IsHyphen(char c) => c is '-' or (>= '\u2010' and <= '\u2013') or '\u2212';

    /// <summary>Fills <paramref name="groups"/> with the next run at or after <paramref name="from"/>; returns where to go on, or -1 when there is none.</summary>
    public static int Next(ReadOnlySpan<char> text, int from, List<Group> groups)
    {
        groups.Clear();
        int i = text[from..].IndexOfAnyInRange('0', '9');
        if (i < 0)
        {
            return -1;
        }
        i += from;
        while (true)
        {
            int start = i;
            while (i < text.Length && char.IsAsciiDigit(text[i]))
            {
                i++;
            }
            groups.Add(new Group(start, i));
            int next = i;
            while (next < text.Length && next - i < MaxSeparators && IsSeparator(text[next]))
            {
                next++;
            }
            if (next == i || next >= text.Length || !char.IsAsciiDigit(text[next]))
            {
                return i;
            }
            i = next;
        }
    }

    // A plus is none: it begins a number of its own.
    private static bool IsSeparator(char c) => c is '.' or '/' or '(' or ')' || IsHyphen(c) || IsSpace(c);
}
