using System.Net;
using System.Net.Sockets;

namespace ContinualNative.Core.Redaction;

/// <summary>IPv4 addresses in four decimal parts, and IPv6 addresses in all their forms.</summary>
internal sealed class IpRule : IRedactionRule
{
    private const int MaxLength = 45;

    public string Kind => "IP";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        for (int i = 0; i < text.Length;)
        {
            if (!IsPart(text[i]))
            {
                i++;
                continue;
            }
            int start = i;
            while (i < text.Length && IsPart(text[i]))
            {
                i++;
            }
            int end = i;
            // A sentence's full stop, or the colon before a port or a list, is no part of the address; "::" is.
            while (end > start && text[end - 1] == '.')
            {
                end--;
            }
            if (end - start > 1 && text[end - 1] == ':' && text[end - 2] != ':')
            {
                end--;
            }
            if (DigitRun.IsWordBefore(text, start) || DigitRun.IsWord(text, i))
            {
                continue;
            }
            ReadOnlySpan<char> run = text[start..end];
            int colon = run.IndexOf(':');
            if (colon > 0 && run[..colon].Contains('.'))
            {
                // IPv4 with a port.
                run = run[..colon];
            }
            if (run.Length <= MaxLength && (run.Contains(':') ? run.Length > 2 && IPAddress.TryParse(run, out IPAddress? address) && address.AddressFamily == AddressFamily.InterNetworkV6 : IsFour(run)))
            {
                found.Add(new RedactionRange(start, run.Length));
            }
        }
    }

    private static bool IsPart(char c) => char.IsAsciiHexDigit(c) || c is '.' or ':';

    private static bool IsFour(ReadOnlySpan<char> run)
    {
        int parts = 0;
        foreach (Range part in run.Split('.'))
        {
            ReadOnlySpan<char> digits = run[part];
            if (++parts > 4 || digits.Length is 0 or > 3 || digits.ContainsAnyExceptInRange('0', '9') || int.Parse(digits) > 255)
            {
                return false;
            }
        }
        return parts == 4;
    }
}
