using System.Globalization;
using System.Text;

namespace ContinualNative.Core.Teaching;

/// <summary>Answers as people mean them, without how they are written down.</summary>
internal static class AnswerText
{
    private static readonly (char Open, char Close)[] Pairs =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('*', '*'), ('_', '_'), ('(', ')'), ('[', ']'), ('{', '}'), ('<', '>'), ('«', '»'), ('»', '«'), ('「', '」'), ('『', '』')];

    /// <summary>
    /// The answer in lower case, in the usual form of each character (<see cref="CharacterFolding"/>), with single spaces, without a fence around
    /// it, and without surrounding quotes, emphasis, brackets and closing punctuation. Words are kept, articles included; so are signs
    /// that carry meaning, such as a minus, a currency or a percent sign. An answer of punctuation only stays as it is.
    /// </summary>
    public static string Normalize(string answer)
    {
        string text = answer.Trim();
        if (text.StartsWith("```", StringComparison.Ordinal) || text.StartsWith("~~~", StringComparison.Ordinal))
        {
            // Decision: only a fence around all of the answer is taken off. Beside prose, the code is one part of what is said.
            text = FenceAround(text) ?? text;
        }
        text = Lowered(CharacterFolding.Fold(text));
        string bare = Strip(text);
        return bare.Length > 0 ? bare : text;
    }

    /// <summary>Words of the answer, normalized, in order: runs of letters and digits, with the marks inside of numbers; each character of Chinese, Japanese and the like.</summary>
    public static IEnumerable<string> Words(string answer)
    {
        string text = Lowered(CharacterFolding.Fold(answer));
        for (int i = 0; i < text.Length;)
        {
            if (!IsWord(text, i))
            {
                i++;
                continue;
            }
            int start = i++;
            if (IsIdeograph(text[start]))
            {
                yield return text[start..i];
                continue;
            }
            while (i < text.Length && !IsIdeograph(text[i]) &&
                (IsWord(text, i) || (i + 1 < text.Length && (text[i] is '.' or ',' ? char.IsDigit(text[i - 1]) && char.IsDigit(text[i + 1]) : text[i] == '\'' && char.IsLetter(text[i - 1]) && char.IsLetter(text[i + 1])))))
            {
                i++;
            }
            yield return text[start..i];
        }
    }

    /// <summary>What stands in the first code fence that begins a line, or null. A fence is closed by one of the same character that is no shorter, or by the end.</summary>
    public static string? Fenced(string text)
    {
        (int start, int end, _) = FirstFence(text);
        return start < 0 ? null : text[start..end];
    }

    private static string? FenceAround(string text)
    {
        (int start, int end, int after) = FirstFence(text);
        return start >= 0 && after == text.Length ? text[start..end] : null;
    }

    // Content from start to end; after: past the closing fence's line.
    private static (int Start, int End, int After) FirstFence(string text)
    {
        char mark = '\0';
        int length = 0;
        int start = -1;
        for (int line = 0; line < text.Length;)
        {
            int feed = text.IndexOf('\n', line);
            int next = feed < 0 ? text.Length : feed + 1;
            ReadOnlySpan<char> content = text.AsSpan(line..next).Trim();
            int run = content.Length > 0 && content[0] is '`' or '~' ? Run(content) : 0;
            if (run >= 3)
            {
                if (start < 0)
                {
                    // One line, "```yes```", is closed where it is opened.
                    int close = content[run..].LastIndexOf(content[..run]);
                    if (close > 0)
                    {
                        int at = text.IndexOf(content[0], line) + run;
                        return (at, at + close, next);
                    }
                    (mark, length, start) = (content[0], run, next);
                }
                else if (content[0] == mark && run >= length && run == content.Length)
                {
                    return (start, line, next);
                }
            }
            line = next;
        }
        return (start, text.Length, text.Length);
    }

    private static int Run(ReadOnlySpan<char> line)
    {
        int other = line.IndexOfAnyExcept(line[0]);
        return other < 0 ? line.Length : other;
    }

    // Lower case, and single spaces for white space; what nobody sees is left out.
    private static string Lowered(string text)
    {
        StringBuilder result = new(text.Length);
        bool space = false;
        foreach (char c in text)
        {
            if (char.IsWhiteSpace(c))
            {
                space = true;
                continue;
            }
            if (c is '\u00AD' or '\uFEFF' or (>= '\u200B' and <= '\u200F') or (>= '\u202A' and <= '\u202E') or '\u2060' or (>= '\u2066' and <= '\u2069'))
            {
                continue;
            }
            if (space && result.Length > 0)
            {
                result.Append(' ');
            }
            space = false;
            // Curly quotes and dashes are a matter of the keyboard.
            result.Append(c switch
            {
                '’' or '‘' or '‚' or '‛' => '\'',
                '“' or '”' or '„' or '‟' => '"',
                >= '\u2010' and <= '\u2015' or '\u2212' => '-',
                _ => char.ToLowerInvariant(c),
            });
        }
        return result.ToString();
    }

    private static string Strip(string text)
    {
        int start = 0;
        int end = text.Length;
        while (start < end)
        {
            if (text[end - 1] is '.' or ',' or ';' or ':' or '!' or '?' or '…' or '。' or '！' or '？' or ' ' or '\u2028')
            {
                end--;
                continue;
            }
            if (text[start] == ' ')
            {
                start++;
                continue;
            }
            bool paired = false;
            foreach ((char open, char close) in Pairs)
            {
                // "(a) or (b)" begins and ends with brackets that are not one another's.
                if (end - start >= 2 && text[start] == open && text[end - 1] == close && (open == close || text.AsSpan((start + 1)..(end - 1)).IndexOfAny(open, close) < 0))
                {
                    start++;
                    end--;
                    paired = true;
                    break;
                }
            }
            if (!paired)
            {
                break;
            }
        }
        return text[start..end];
    }

    private static bool IsWord(string text, int at) =>
        char.IsLetterOrDigit(text[at]) || char.IsSurrogate(text[at]) ||
        CharUnicodeInfo.GetUnicodeCategory(text[at]) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;

    private static bool IsIdeograph(char c) => c is (>= '\u3040' and <= '\u30FF') or (>= '\u3400' and <= '\u9FFF') or (>= '\uF900' and <= '\uFAFF');
}
