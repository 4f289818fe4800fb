namespace ContinualNative.Core.Redaction;

/// <summary>
/// How placeholders look: <c>[EMAIL_1]</c>, a kind in capitals and a number from 1. Tokenizers cut it into few, always equal pieces, and models
/// know brackets around capitals as something to copy. What comes back is read with some grace: <c>[ Email 1 ]</c>, <c>[email-1]</c> and
/// Markdown's <c>[EMAIL\_1]</c> are the same placeholder.
/// </summary>
internal static class Placeholder
{
    /// <summary>Longest kind.</summary>
    public const int MaxKindLength = 24;

    /// <summary>Characters that one may have, brackets included, when it is read.</summary>
    public const int MaxLength = 64;

    internal enum Reading
    {
        /// <summary>No placeholder begins here.</summary>
        None,

        /// <summary>The text ends before it is known.</summary>
        Unfinished,

        /// <summary>One of a known kind.</summary>
        Found,
    }

    public static string Format(string kind, int number) => $"[{kind}_{number}]";

    public static bool IsKind(string? kind) =>
        kind is { Length: > 0 and <= MaxKindLength } && char.IsAsciiLetterUpper(kind[0]) && kind[^1] != '_' && !kind.Contains("__", StringComparison.Ordinal) &&
        kind.All(static c => char.IsAsciiLetterUpper(c) || char.IsAsciiDigit(c) || c == '_');

    /// <summary>Reads what begins with the bracket at <paramref name="start"/>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="start">Where a <c>[</c> stands.</param>
    /// <param name="kinds">The kinds that are known.</param>
    /// <param name="length">Its length in the text, when it is found.</param>
    /// <param name="name">Kind and number as in <c>EMAIL_1</c>, when it is found.</param>
    public static Reading Read(ReadOnlySpan<char> text, int start, IReadOnlyCollection<string> kinds, out int length, out string name)
    {
        (length, name) = (0, "");
        // Words joined by single underscores, whatever stood between them.
        Span<char> words = stackalloc char[MaxLength];
        int written = 0;
        bool gap = false;
        int end = Math.Min(text.Length, start + MaxLength);
        for (int i = start + 1; i < end; i++)
        {
            char c = text[i];
            if (c == ']')
            {
                if (IsName(words[..written], kinds))
                {
                    (length, name) = (i + 1 - start, new string(words[..written]));
                    return Reading.Found;
                }
                return Reading.None;
            }
            if (c is '_' or ' ' or '\t' or '\u00A0' or '-' or '\\')
            {
                gap = true;
                continue;
            }
            if (!char.IsAsciiLetterOrDigit(c))
            {
                return Reading.None;
            }
            if (gap && written > 0)
            {
                words[written++] = '_';
            }
            gap = false;
            words[written++] = char.ToUpperInvariant(c);
        }
        return text.Length < start + MaxLength && MayBecomeName(words[..written], kinds) ? Reading.Unfinished : Reading.None;
    }

    private static bool IsName(ReadOnlySpan<char> words, IReadOnlyCollection<string> kinds)
    {
        int cut = words.LastIndexOf('_');
        return cut > 0 && IsNumber(words[(cut + 1)..]) && IsKnown(words[..cut], kinds);
    }

    private static bool IsNumber(ReadOnlySpan<char> digits) => digits.Length is > 0 and <= 9 && digits[0] != '0' && !digits.ContainsAnyExceptInRange('0', '9');

    private static bool IsKnown(ReadOnlySpan<char> kind, IReadOnlyCollection<string> kinds)
    {
        foreach (string known in kinds)
        {
            if (kind.SequenceEqual(known))
            {
                return true;
            }
        }
        return false;
    }

    private static bool MayBecomeName(ReadOnlySpan<char> words, IReadOnlyCollection<string> kinds)
    {
        foreach (string known in kinds)
        {
            if (words.Length <= known.Length
                ? known.AsSpan().StartsWith(words)
                : words.StartsWith(known) && words[known.Length] == '_' && (words.Length == known.Length + 1 || IsNumber(words[(known.Length + 1)..])))
            {
                return true;
            }
        }
        return false;
    }
}
