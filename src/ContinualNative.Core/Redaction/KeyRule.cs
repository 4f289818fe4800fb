using System.Buffers;

namespace ContinualNative.Core.Redaction;

/// <summary>
/// Keys and secrets that can be told by how they begin: this server's own keys, those of common services, JSON web tokens, private keys in PEM,
/// and what follows upon <c>Bearer</c> or <c>Authorization: Basic</c>.
/// </summary>
internal sealed class KeyRule : IRedactionRule
{
    private const string PemBegin = "-----BEGIN ";
    private const string PemEnd = "-----END ";
    private const string PemTail = "PRIVATE KEY";

    // Prefix, least characters after it, and whether a digit must be among them: without one, "sk-learn-and-something-longer" is a name.
    private static readonly (string Prefix, int Least, bool Digit)[] Prefixes =
    [
        ("cnk_", 20, false),
        ("sk-", 16, true), ("sk_live_", 16, false), ("sk_test_", 16, false), ("rk_live_", 16, false), ("rk_test_", 16, false), ("pk_live_", 16, false), ("whsec_", 16, false),
        ("ghp_", 20, false), ("gho_", 20, false), ("ghu_", 20, false), ("ghs_", 20, false), ("ghr_", 20, false), ("github_pat_", 20, false), ("glpat-", 16, false),
        ("AKIA", 16, false), ("ASIA", 16, false),
        ("xoxa-", 10, true), ("xoxb-", 10, true), ("xoxe-", 10, true), ("xoxe.", 10, true), ("xoxo-", 10, true), ("xoxp-", 10, true), ("xoxr-", 10, true), ("xoxs-", 10, true), ("xapp-", 10, true),
        ("AIza", 30, false), ("ya29.", 20, false), ("hf_", 20, false), ("npm_", 30, false), ("gsk_", 20, false), ("xai-", 20, true), ("SG.", 40, false),
        ("dop_v1_", 32, false), ("pypi-", 40, true), ("AGE-SECRET-KEY-", 40, false), ("eyJ", 16, false),
    ];

    private static readonly SearchValues<string> Starts = SearchValues.Create([.. Prefixes.Select(static p => p.Prefix), PemBegin], StringComparison.Ordinal);
    private static readonly SearchValues<string> Schemes = SearchValues.Create(["bearer", "basic"], StringComparison.OrdinalIgnoreCase);

    public string Kind => "KEY";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        FindPrefixed(text, found);
        FindSchemes(text, found);
    }

    private static void FindPrefixed(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        bool pemEnds = true;
        Ahead ahead = new(text);
        for (int i = 0; i < text.Length;)
        {
            int next = text[i..].IndexOfAny(Starts);
            if (next < 0)
            {
                return;
            }
            i += next;
            int end = text[i] == '-' ? PemBlockEnd(text, i, ref pemEnds) : DigitRun.IsWordBefore(text, i) ? -1 : TokenEnd(text, i, ref ahead);
            if (end > 0)
            {
                found.Add(new RedactionRange(i, end - i));
            }
            i = Math.Max(i + 1, end);
        }
    }

    private static int TokenEnd(ReadOnlySpan<char> text, int start, ref Ahead ahead)
    {
        foreach ((string prefix, int least, bool digit) in Prefixes)
        {
            if (!text[start..].StartsWith(prefix, StringComparison.Ordinal))
            {
                continue;
            }
            int body = start + prefix.Length;
            int end = prefix is "eyJ" or "SG." or "ya29." or "xoxe." ? ahead.DottedEnd(body) : ahead.PlainEnd(body);
            // A stop at the end is the sentence's; more than three are an ellipsis of somebody who hides the rest.
            for (int stops = 0; stops < 3 && end > body && text[end - 1] == '.'; stops++)
            {
                end--;
            }
            // Of a web token, header and payload are told by the dot between them.
            if (end - body >= least && (!digit || ahead.Digit(body) < end) && (prefix != "eyJ" || (ahead.Dot(body) < end && ahead.Dot(body) - body >= 8)))
            {
                return end;
            }
        }
        return -1;
    }

    // Decision: a block without an end is a key that was cut off, and is redacted as far as it can reach.
    private static int PemBlockEnd(ReadOnlySpan<char> text, int start, ref bool pemEnds)
    {
        int label = start + PemBegin.Length;
        int tail = text[label..Math.Min(text.Length, label + 40)].IndexOf(PemTail, StringComparison.Ordinal);
        if (tail < 0 || text[label..(label + tail)].ContainsAny('\n', '-'))
        {
            return -1;
        }
        int at = label + tail + PemTail.Length;
        int close = pemEnds ? text[at..].IndexOf(PemEnd, StringComparison.Ordinal) : -1;
        if (close >= 0)
        {
            int end = at + close + PemEnd.Length;
            // The rest of that line's mark: its label and five hyphens.
            int dashes = text[end..Math.Min(text.Length, end + 60)].IndexOf("-----", StringComparison.Ordinal);
            return dashes < 0 ? end : end + dashes + 5;
        }
        // Looked for once: without this, many beginnings and no end would cost the square of the text.
        pemEnds = false;
        while (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] is '+' or '/' or '=' or '-' or ':' or ',' or '\\' or '\n' or '\r' or ' '))
        {
            at++;
        }
        while (at > label && text[at - 1] is '\n' or '\r' or ' ')
        {
            at--;
        }
        return at;
    }

    private static void FindSchemes(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        for (int i = 0; i < text.Length;)
        {
            int next = text[i..].IndexOfAny(Schemes);
            if (next < 0)
            {
                return;
            }
            int scheme = i + next;
            bool bearer = text[scheme] is 'b' or 'B' && text[scheme + 1] is 'e' or 'E';
            int start = scheme + (bearer ? 6 : 5);
            i = start;
            int spaces = start;
            while (start < text.Length && start - spaces < 4 && text[start] is ' ' or '\t')
            {
                start++;
            }
            if (start == spaces || DigitRun.IsWordBefore(text, scheme))
            {
                continue;
            }
            int end = start;
            bool digit = false;
            while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] is '-' or '.' or '_' or '~' or '+' or '/' or '='))
            {
                digit |= char.IsAsciiDigit(text[end]);
                end++;
            }
            while (end > start && text[end - 1] is '.' or '-')
            {
                end--;
            }
            // Words follow upon these words too: "bearer certificates", "basic understanding".
            bool secret = bearer
                ? end - start >= 8 && (digit || end - start >= 24)
                : end - start >= 8 && text[Math.Max(0, scheme - 24)..scheme].Contains("authorization", StringComparison.OrdinalIgnoreCase);
            if (secret)
            {
                found.Add(new RedactionRange(start, end - start));
                i = end;
            }
        }
    }

    /// <summary>
    /// Where something comes next, remembered until it is passed. Prefixes may stand closely ("sk-sk-sk-…"), and looking ahead from each
    /// would cost the square of the text.
    /// </summary>
    private ref struct Ahead(ReadOnlySpan<char> text)
    {
        private const string Plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

        private static readonly SearchValues<char> PlainChars = SearchValues.Create(Plain);
        private static readonly SearchValues<char> DottedChars = SearchValues.Create(Plain + ".");

        private readonly ReadOnlySpan<char> _text = text;
        private int _plainEnd = -1;
        private int _dottedEnd = -1;
        private int _digit = -1;
        private int _dot = -1;

        public int PlainEnd(int from) => _plainEnd >= from ? _plainEnd : _plainEnd = At(from, _text[from..].IndexOfAnyExcept(PlainChars));

        public int DottedEnd(int from) => _dottedEnd >= from ? _dottedEnd : _dottedEnd = At(from, _text[from..].IndexOfAnyExcept(DottedChars));

        public int Digit(int from) => _digit >= from ? _digit : _digit = At(from, _text[from..].IndexOfAnyInRange('0', '9'));

        public int Dot(int from) => _dot >= from ? _dot : _dot = At(from, _text[from..].IndexOf('.'));

        private readonly int At(int from, int offset) => offset < 0 ? _text.Length : from + offset;
    }
}
