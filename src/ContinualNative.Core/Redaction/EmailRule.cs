using System.Globalization;

namespace ContinualNative.Core.Redaction;

/// <summary>
/// E-mail addresses: the part before the at sign, and a domain with at least one dot that ends in two letters or more. Letters of all scripts
/// count; <c>%40</c> is an at sign too, as in URLs.
/// </summary>
internal sealed class EmailRule : IRedactionRule
{
    public string Kind => "EMAIL";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        // Neither side reaches beyond the neighbouring at signs, so every character is looked at twice at most.
        int floor = 0;
        for (int i = 0; i < text.Length;)
        {
            int width = text[i] is '@' or '\uFF20' ? 1 : text[i] == '%' && text[i..].StartsWith("%40", StringComparison.Ordinal) ? 3 : 0;
            if (width == 0)
            {
                i++;
                continue;
            }
            int start = i;
            while (start > floor && IsLocal(text[start - 1]))
            {
                start--;
            }
            while (start < i && text[start] is '.' or '\'' or '-' or '_' or '%')
            {
                start++;
            }
            int end = DomainEnd(text, i + width);
            floor = i + width;
            if (start < i && end > 0)
            {
                found.Add(new RedactionRange(start, end - start));
                floor = end;
            }
            i = floor;
        }
    }

    private static int DomainEnd(ReadOnlySpan<char> text, int start)
    {
        int end = -1;
        int label = start;
        bool dotted = false;
        bool letters = true;
        for (int i = start; ; i++)
        {
            bool over = i == text.Length || !IsDomain(text[i]);
            if (over || text[i] == '.')
            {
                if (i == label || text[label] == '-')
                {
                    break;
                }
                if (dotted && letters && i - label >= 2)
                {
                    end = i;
                }
                if (over)
                {
                    break;
                }
                (label, dotted, letters) = (i + 1, true, true);
                continue;
            }
            // "bob@x.org-" and "bob@x.org2026" are an address and something else, unless a later dot says otherwise.
            if (dotted && letters && i - label >= 2 && !char.IsLetter(text[i]) && !IsMark(text[i]))
            {
                end = i;
            }
            letters &= char.IsLetter(text[i]) || IsMark(text[i]) || text[label..].StartsWith("xn--", StringComparison.OrdinalIgnoreCase);
        }
        return end;
    }

    // Decision: fewer signs than RFC 5322 allows. "?email=bob@x.org" and "|bob@x.org" are far more common than addresses with such signs.
    private static bool IsLocal(char c) => char.IsLetterOrDigit(c) || IsMark(c) || c is '.' or '_' or '%' or '+' or '-' or '\'';

    private static bool IsDomain(char c) => char.IsLetterOrDigit(c) || IsMark(c) || c is '-' or '.';

    private static bool IsMark(char c) => CharUnicodeInfo.GetUnicodeCategory(c) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;
}
