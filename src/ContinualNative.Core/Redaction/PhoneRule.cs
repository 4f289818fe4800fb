namespace ContinualNative.Core.Redaction;

/// <summary>
/// Telephone numbers: with a plus or 00 and a country's code (E.164, at most 15 digits); of North America in groups of three, three and four;
/// of other countries with a leading 0 and at least two groups; and 7 to 15 digits in any grouping right after a word such as "phone" or "mobile".
/// </summary>
/// <remarks>
/// Decision: digits in one block without a plus, and groups without a leading 0, are numbers of orders, parts and dates more often than
/// of telephones, so they need the word before them. Redacting too much costs answers: "[PHONE_1]" cannot be added up or looked up.
/// </remarks>
internal sealed class PhoneRule : IRedactionRule
{
    private const int MaxLookBack = 40;
    private const int MaxFillers = 4;

    private static readonly HashSet<string> Words = new(StringComparer.OrdinalIgnoreCase)
    {
        "phone", "telephone", "tel", "ph", "mob", "mobile", "cell", "cellphone", "call", "fax", "whatsapp", "sms", "text", "dial", "ring", "landline", "hotline",
        "telefon", "handy", "mobil", "rufnummer", "telefonnummer", "handynummer", "anrufen", "ruf",
        "téléphone", "portable", "fixe", "teléfono", "telefono", "móvil", "movil", "celular", "cellulare", "telefone", "telemóvel", "telefoon", "mobiel",
    };

    private static readonly HashSet<string> Fillers = new(StringComparer.OrdinalIgnoreCase)
    {
        "number", "no", "nr", "num", "nummer", "numéro", "número", "numero", "is", "ist", "est", "es", "me", "us", "him", "her", "them", "at", "on", "under", "unter", "the",
        "my", "our", "mein", "meine", "s", "n", "or", "oder", "back", "home", "work", "direct", "today", "now",
    };

    private static readonly HashSet<string> Abbreviations = new(StringComparer.OrdinalIgnoreCase) { "tel", "ph", "mob", "no", "nr", "num" };

    public string Kind => "PHONE";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found) => Find(text, "", found);

    /// <summary>As <see cref="Find(ReadOnlySpan{char}, ICollection{RedactionRange})"/>, with what stands before the text, such as the name of a JSON property.</summary>
    public static void Find(ReadOnlySpan<char> text, string before, ICollection<RedactionRange> found)
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
                int last = Match(text, before, groups, first);
                if (last >= 0)
                {
                    int start = Start(text, groups[first].Start, groups[last].End);
                    found.Add(new RedactionRange(start, groups[last].End - start));
                }
                first = Math.Max(first, last) + 1;
            }
        }
    }

    private static int Match(ReadOnlySpan<char> text, string before, List<DigitRun.Group> groups, int first)
    {
        DigitRun.Group head = groups[first];
        ReadOnlySpan<char> digits = text[head.Start..head.End];
        if (DigitRun.IsWordBefore(text, head.Start))
        {
            return -1;
        }
        int plus = head.Start - 1;
        if (plus >= 0 && text[plus] == '(')
        {
            plus--;
        }
        if (plus >= 0 && text[plus] is '+' or '\uFF0B')
        {
            // "C++11" and "a+10" are none; nine digits at least, as "+12 345 678" is a gain.
            return DigitRun.IsWordBefore(text, plus) || (plus > 0 && text[plus - 1] is '+') || digits[0] == '0' ? -1 : Window(text, groups, first, 9, 15, 11, strict: false);
        }
        // What hangs on a hyphen, stop or slash is the rest of another number, and a sign before it makes it an amount or an order. After the
        // opening bracket, plus is where that would stand.
        if (plus >= 0 && (text[plus] is '#' or '$' or '€' or '£' or '.' or '/' or ',' or '*' || DigitRun.IsHyphen(text[plus])))
        {
            return ContextOnly(text, before, groups, first);
        }
        int last = NorthAmerican(text, groups, first);
        if (last < 0 && digits.Length >= 2 && digits[0] == '0')
        {
            if (digits[1] == '0')
            {
                bool country = digits.Length == 2 ? first + 1 < groups.Count && text[groups[first + 1].Start] != '0' : digits[2] != '0';
                last = country ? Window(text, groups, first, 11, 17, 13, strict: true) : -1;
                // In one block, shorter ones are padded numbers of something.
                last = last == first && digits.Length < 13 ? -1 : last;
            }
            else if (digits.Length <= 6)
            {
                last = National(text, groups, first);
            }
        }
        return last >= 0 ? last : ContextOnly(text, before, groups, first);
    }

    // Three, three and four digits, area and exchange from 2 to 9 (North American Numbering Plan), perhaps after a 1; an area in brackets may be followed by seven.
    private static int NorthAmerican(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int first)
    {
        int area = text[groups[first].Start..groups[first].End] is "1" ? first + 1 : first;
        if (area + 1 >= groups.Count || groups[area].Length != 3 || text[groups[area].Start] is < '2' || text[groups[area + 1].Start] is < '2')
        {
            return -1;
        }
        if (groups[area + 1].Length == 7 && text[groups[area].Start..groups[area + 1].Start].Contains(')'))
        {
            return Ends(text, groups, area + 1) ? area + 1 : -1;
        }
        return area + 2 < groups.Count && groups[area + 1].Length == 3 && groups[area + 2].Length == 4 && Ends(text, groups, area + 2) ? area + 2 : -1;
    }

    private static int National(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int first)
    {
        if (first + 1 < groups.Count && groups[first].Length == 2 && groups[first + 1].Length <= 2)
        {
            // Pairs are days and months, unless there are five of them, as in France.
            for (int i = first; i < first + 5; i++)
            {
                if (i >= groups.Count || groups[i].Length != 2)
                {
                    return -1;
                }
            }
            return Ends(text, groups, first + 4) ? first + 4 : -1;
        }
        int last = Window(text, groups, first, 9, 12, 10, strict: true);
        return last > first ? last : -1;
    }

    private static int ContextOnly(ReadOnlySpan<char> text, string before, List<DigitRun.Group> groups, int first)
    {
        DigitRun.Group head = groups[first];
        if (IsDate(text, groups, first) || !FollowsPhoneWord(text, before, head.Start))
        {
            return -1;
        }
        return Window(text, groups, first, 7, 15, 10, strict: false);
    }

    /// <summary>
    /// The last group of a window of <paramref name="min"/> to <paramref name="max"/> digits, or -1. With <paramref name="enough"/> digits it goes on
    /// over hyphens and the like (extensions), but no longer over spaces: what comes then is another number.
    /// </summary>
    private static int Window(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int first, int min, int max, int enough, bool strict)
    {
        int digits = 0;
        int match = -1;
        for (int last = first; last < groups.Count; last++)
        {
            if (last > first && digits >= enough && OnlySpacesOrBracket(text, groups[last - 1], groups[last]))
            {
                break;
            }
            digits += groups[last].Length;
            if (digits > max)
            {
                break;
            }
            if (digits >= min && (strict ? Ends(text, groups, last) : !DigitRun.IsWord(text, groups[last].End)))
            {
                match = last;
            }
        }
        return match;
    }

    // Whether a number can end with this group: no letter follows, no percent sign, and nothing that hangs further digits on it.
    private static bool Ends(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int last)
    {
        int end = groups[last].End;
        return !DigitRun.IsWord(text, end) && (end == text.Length || text[end] is not ('%' or '€')) &&
            (last + 1 >= groups.Count || DigitRun.IsSpace(text[end]) || text[end] is '(' or ')');
    }

    private static bool OnlySpacesOrBracket(ReadOnlySpan<char> text, DigitRun.Group a, DigitRun.Group b)
    {
        foreach (char c in text[a.End..b.Start])
        {
            if (!DigitRun.IsSpace(c) && c is not ('(' or ')'))
            {
                return false;
            }
        }
        return true;
    }

    private static bool IsDate(ReadOnlySpan<char> text, List<DigitRun.Group> groups, int first)
    {
        if (first + 2 >= groups.Count)
        {
            return false;
        }
        (int a, int b, int c) = (groups[first].Length, groups[first + 1].Length, groups[first + 2].Length);
        char separator = text[groups[first].End];
        return separator == text[groups[first + 1].End] && ((a <= 2 && b <= 2 && c is 2 or 4) || (a == 4 && b <= 2 && c <= 2));
    }

    // The opening bracket or the plus that belongs to a number.
    private static int Start(ReadOnlySpan<char> text, int start, int end)
    {
        if (start > 0 && text[start - 1] == '(' && text[start..end].Contains(')'))
        {
            start--;
        }
        if (start > 0 && text[start - 1] is '+' or '\uFF0B')
        {
            start--;
        }
        if (start > 0 && text[start - 1] == '(' && text[start] is '+' or '\uFF0B' && text[start..end].Contains(')') && !text[(start + 1)..end].Contains('('))
        {
            start--;
        }
        return start;
    }

    private static bool FollowsPhoneWord(ReadOnlySpan<char> text, string before, int at)
    {
        int floor = Math.Max(0, at - MaxLookBack);
        int i = at;
        for (int fillers = 0; fillers <= MaxFillers; fillers++)
        {
            bool stop = false;
            while (i > floor && !char.IsLetter(text[i - 1]))
            {
                // Past a digit or the end of a sentence, the word belongs to something else.
                if (char.IsAsciiDigit(text[i - 1]) || text[i - 1] is '\n' or '!' or '?' or ';')
                {
                    return false;
                }
                stop |= text[i - 1] == '.';
                i--;
            }
            if (i == floor)
            {
                return floor == 0 && NamesPhone(before);
            }
            int end = i;
            while (i > floor && char.IsLetter(text[i - 1]))
            {
                i--;
            }
            ReadOnlySpan<char> word = text[i..end];
            if (stop && !Abbreviations.GetAlternateLookup<ReadOnlySpan<char>>().Contains(word))
            {
                return false;
            }
            if (IsPhoneWord(word))
            {
                return true;
            }
            if (!Fillers.GetAlternateLookup<ReadOnlySpan<char>>().Contains(word))
            {
                return false;
            }
        }
        return false;
    }

    private static bool IsPhoneWord(ReadOnlySpan<char> word) =>
        Words.GetAlternateLookup<ReadOnlySpan<char>>().Contains(word) || word.EndsWith("phone", StringComparison.OrdinalIgnoreCase) || word.EndsWith("telefon", StringComparison.OrdinalIgnoreCase);

    // Of phone_number, phoneNumber, mobile-nr and the like, the words.
    private static bool NamesPhone(string name)
    {
        int start = 0;
        for (int i = 1; i <= name.Length; i++)
        {
            if (i == name.Length || !char.IsLetter(name[i]) || (char.IsUpper(name[i]) && !char.IsUpper(name[i - 1])))
            {
                if (IsPhoneWord(name.AsSpan(start, i - start).Trim("_-. ")))
                {
                    return true;
                }
                start = i;
            }
        }
        return false;
    }
}
