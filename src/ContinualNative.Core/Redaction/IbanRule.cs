namespace ContinualNative.Core.Redaction;

/// <summary>
/// International bank account numbers (ISO 13616): two letters, two check digits, 11 to 30 letters and digits, and a remainder of 1 modulo 97
/// (ISO/IEC 7064). Groups may be separated by one space or hyphen. Of several ends that fit, the farthest counts.
/// </summary>
internal sealed class IbanRule : IRedactionRule
{
    private const int MinLength = 15;
    private const int MaxLength = 34;

    public string Kind => "IBAN";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        for (int i = 0; i + MinLength <= text.Length; i++)
        {
            if (char.IsAsciiLetter(text[i]) && char.IsAsciiLetter(text[i + 1]) && char.IsAsciiDigit(text[i + 2]) && char.IsAsciiDigit(text[i + 3]) &&
                !DigitRun.IsWordBefore(text, i) && End(text, i) is var end and > 0)
            {
                found.Add(new RedactionRange(i, end - i));
                i = end - 1;
            }
        }
    }

    private static int End(ReadOnlySpan<char> text, int start)
    {
        int head = Append(Append(Append(Append(0, text[start]), text[start + 1]), text[start + 2]), text[start + 3]);
        const int HeadPower = 1_000_000 % 97;
        int remainder = 0;
        int count = 4;
        int end = -1;
        for (int i = start + 4; i < text.Length && count < MaxLength; i++)
        {
            char c = text[i];
            if (!char.IsAsciiLetterOrDigit(c))
            {
                if ((DigitRun.IsSpace(c) || DigitRun.IsHyphen(c)) && i + 1 < text.Length && char.IsAsciiLetterOrDigit(text[i + 1]))
                {
                    continue;
                }
                break;
            }
            remainder = Append(remainder, c);
            count++;
            // The number is checked with its first four characters moved to its end: six digits, as the letters make two each.
            if (count >= MinLength && !DigitRun.IsWord(text, i + 1) && ((remainder * HeadPower) + head) % 97 == 1)
            {
                end = i + 1;
            }
        }
        return end;
    }

    // A is 10, Z is 35.
    private static int Append(int remainder, char c) =>
        char.IsAsciiDigit(c) ? ((remainder * 10) + c - '0') % 97 : ((remainder * 100) + char.ToUpperInvariant(c) - 'A' + 10) % 97;
}
