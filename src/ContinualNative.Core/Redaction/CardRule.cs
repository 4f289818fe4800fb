namespace ContinualNative.Core.Redaction;

/// <summary>
/// Numbers of payment cards (ISO/IEC 7812): 13 to 19 digits, beginning with 2 to 6 as those of the card schemes do, with a right check digit
/// (Luhn, US patent 2,950,048). The digits stand together, or in groups as cards print them: all but the last of four or more, which dates are not.
/// </summary>
internal sealed class CardRule : IRedactionRule
{
    private const int MinDigits = 13;
    private const int MaxDigits = 19;

    public string Kind => "CARD";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        List<DigitRun.Group> groups = [];
        for (int at = 0; at < text.Length;)
        {
            at = DigitRun.Next(text, at, groups);
            if (at < 0)
            {
                return;
            }
            for (int first = 0; first < groups.Count;)
            {
                int last = Match(text, groups, first);
                if (last >= 0)
                {
                    found.Add(new RedactionRange(groups[first].Start, groups[last].End - groups[first].Start));
                }
                first = Math.Max(first, last) + 1;
            }
        }
    }

    // The last group of the longest card that begins with a group, or -1.
    private static int Match(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int first)
    {
        int match = -1;
        int digits = 0;
        Span<char> number = stackalloc char[MaxDigits];
        if (DigitRun.IsWordBefore(text, groups[first].Start) || text[groups[first].Start] is < '2' or > '6')
        {
            return -1;
        }
        for (int last = first; last < groups.Count; last++)
        {
            DigitRun.Group group = groups[last];
            if (digits + group.Length > MaxDigits || (last > first && groups[last - 1].Length < 4))
            {
                break;
            }
            text[group.Start..group.End].CopyTo(number[digits..]);
            digits += group.Length;
            if (digits >= MinDigits && !DigitRun.IsWord(text, group.End) && IsLuhn(number[..digits]))
            {
                match = last;
            }
        }
        return match;
    }

    private static bool IsLuhn(ReadOnlySpan<char> digits)
    {
        int sum = 0;
        for (int i = 0; i < digits.Length; i++)
        {
            int digit = digits[digits.Length - 1 - i] - '0';
            if (i % 2 == 1)
            {
                digit = digit > 4 ? (2 * digit) - 9 : 2 * digit;
            }
            sum += digit;
        }
        return sum % 10 == 0;
    }
}
