using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Core.Redaction;

/// <summary>Rewrites strings and numbers of a JSON text and leaves every other character, and every string that does not change, as it is.</summary>
internal static class JsonText
{
    // JSON inside of a string of JSON (arguments of a tool call inside of a request) is JSON again, but not for ever.
    private const int MaxNesting = 4;

    private static readonly SearchValues<char> StringStops = SearchValues.Create("\"\\");

    /// <summary>The text rewritten, or null when it is no JSON object or array.</summary>
    /// <param name="text">The text.</param>
    /// <param name="before">The name of the property that it is the value of, or empty.</param>
    /// <param name="rewriteText">From a text and the name of its property to the new text.</param>
    /// <param name="rewriteNumber">From a number and the name of its property to JSON, or null to keep it.</param>
    /// <param name="unquote">From the text of a string to the JSON to write in its place, or null to rewrite it as text.</param>
    /// <param name="nesting">How many strings it is inside of.</param>
    public static string? Rewrite(string text, string before, Func<string, string, string> rewriteText, Func<string, string, string?>? rewriteNumber, Func<string, string?>? unquote = null, int nesting = 0)
    {
        if (nesting > MaxNesting || !IsContainer(text))
        {
            return null;
        }
        StringBuilder result = new(text.Length);
        string property = before;
        for (int i = 0; i < text.Length;)
        {
            char c = text[i];
            if (c == '"')
            {
                int end = StringEnd(text, i);
                ReadOnlySpan<char> raw = text.AsSpan((i + 1)..(end - 1));
                string value = Unescape(raw);
                bool name = IsName(text, end);
                if (!name && unquote?.Invoke(value) is { } json)
                {
                    result.Append(json);
                }
                else
                {
                    string changed = Rewrite(value, name ? "" : property, rewriteText, rewriteNumber, unquote, nesting + 1) ?? rewriteText(value, name ? "" : property);
                    result.Append('"');
                    if (changed == value)
                    {
                        result.Append(raw);
                    }
                    else
                    {
                        AppendEscaped(result, changed);
                    }
                    result.Append('"');
                }
                property = name ? value : property;
                i = end;
            }
            else if (c == '-' || char.IsAsciiDigit(c))
            {
                int end = i + 1;
                while (end < text.Length && (char.IsAsciiDigit(text[end]) || text[end] is '.' or 'e' or 'E' or '+' or '-'))
                {
                    end++;
                }
                string number = text[i..end];
                result.Append(rewriteNumber?.Invoke(number, property) ?? number);
                i = end;
            }
            else
            {
                result.Append(c);
                i++;
            }
        }
        return result.ToString();
    }

    /// <summary>Appends a text as the inside of a JSON string; half a surrogate pair becomes an escape.</summary>
    public static void AppendEscaped(StringBuilder target, string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            switch (c)
            {
                case '"':
                    target.Append("\\\"");
                    break;
                case '\\':
                    target.Append("\\\\");
                    break;
                case '\n':
                    target.Append("\\n");
                    break;
                case '\r':
                    target.Append("\\r");
                    break;
                case '\t':
                    target.Append("\\t");
                    break;
                case < ' ':
                    target.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
                    break;
                case var _ when char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]):
                    target.Append(c).Append(text[++i]);
                    break;
                case var _ when char.IsSurrogate(c):
                    target.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
                    break;
                default:
                    target.Append(c);
                    break;
            }
        }
    }

    private static bool IsContainer(string text)
    {
        ReadOnlySpan<char> trimmed = text.AsSpan().Trim(" \t\r\n");
        if (trimmed.Length < 2 || (trimmed[0], trimmed[^1]) is not (('{', '}') or ('[', ']')))
        {
            return false;
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 256 });
            return true;
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            // ArgumentException: half a surrogate pair, which no JSON text can hold unescaped.
            return false;
        }
    }

    // Past the closing quote of the string that opens there. The text is valid.
    private static int StringEnd(string text, int open)
    {
        int i = open + 1;
        while (true)
        {
            i += text.AsSpan(i).IndexOfAny(StringStops);
            if (text[i] == '"')
            {
                return i + 1;
            }
            i += 2;
        }
    }

    private static bool IsName(string text, int at)
    {
        while (at < text.Length && text[at] is ' ' or '\t' or '\r' or '\n')
        {
            at++;
        }
        return at < text.Length && text[at] == ':';
    }

    private static string Unescape(ReadOnlySpan<char> raw)
    {
        if (!raw.Contains('\\'))
        {
            return raw.ToString();
        }
        StringBuilder value = new(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] != '\\')
            {
                value.Append(raw[i]);
                continue;
            }
            i++;
            if (raw[i] == 'u')
            {
                value.Append((char)ushort.Parse(raw.Slice(i + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
                i += 4;
                continue;
            }
            value.Append(raw[i] switch { 'b' => '\b', 'f' => '\f', 'n' => '\n', 'r' => '\r', 't' => '\t', var c => c });
        }
        return value.ToString();
    }
}
