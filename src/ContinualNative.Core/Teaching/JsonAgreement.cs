using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Core.Teaching;

/// <summary>Compares answers as JSON values.</summary>
internal static class JsonAgreement
{
    private const int MaxStarts = 8;

    /// <summary>
    /// Equal leaves ÷ all leaves of either. A leaf is a scalar, or an object or array without content, at its path; the order of an object's
    /// properties does not matter, that of an array does, and numbers are equal by value. 0 when only one of the answers holds JSON; answers
    /// without any are compared as normalized texts.
    /// </summary>
    public static double Score(string local, string teacher)
    {
        Dictionary<(int Parent, string Step), int> paths = [];
        Dictionary<int, string>? a = Leaves(local, paths);
        Dictionary<int, string>? b = Leaves(teacher, paths);
        if (a is null || b is null)
        {
            return a is null && b is null && AnswerText.Normalize(local) == AnswerText.Normalize(teacher) ? 1 : 0;
        }
        int equal = 0;
        int both = 0;
        foreach ((int path, string value) in a)
        {
            if (b.TryGetValue(path, out string? other))
            {
                both++;
                equal += value == other ? 1 : 0;
            }
        }
        return (double)equal / (a.Count + b.Count - both);
    }

    private static Dictionary<int, string>? Leaves(string answer, Dictionary<(int, string), int> paths)
    {
        using JsonDocument? document = Find(answer);
        if (document is null)
        {
            return null;
        }
        Dictionary<int, string> leaves = [];
        try
        {
            Collect(document.RootElement, 0, paths, leaves);
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair, escaped: no text.
            return null;
        }
        return leaves;
    }

    // A path is a number, given to its parent's number and its last step: written out, long names above many leaves would fill the memory.
    private static void Collect(JsonElement element, int path, Dictionary<(int, string), int> paths, Dictionary<int, string> leaves)
    {
        if (element.ValueKind == JsonValueKind.Object && element.EnumerateObject().Any())
        {
            foreach (JsonProperty property in element.EnumerateObject())
            {
                Collect(property.Value, Step("." + property.Name), paths, leaves);
            }
        }
        else if (element.ValueKind == JsonValueKind.Array && element.GetArrayLength() > 0)
        {
            int index = 0;
            foreach (JsonElement item in element.EnumerateArray())
            {
                Collect(item, Step((index++).ToString(CultureInfo.InvariantCulture)), paths, leaves);
            }
        }
        else
        {
            leaves[path] = Leaf(element);
        }

        int Step(string step)
        {
            if (!paths.TryGetValue((path, step), out int next))
            {
                next = paths.Count + 1;
                paths.Add((path, step), next);
            }
            return next;
        }
    }

    private static string Leaf(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => "{}",
        JsonValueKind.Array => "[]",
        JsonValueKind.String => "s" + element.GetString(),
        JsonValueKind.Number => "n" + Number(element.GetRawText()),
        _ => element.GetRawText(),
    };

    // Digits without zeros around them, and the power of ten of the last: exact, whatever the size. 100, 1e2 and 100.00 are 1e2.
    private static string Number(string raw)
    {
        int exponentAt = raw.AsSpan().IndexOfAny('e', 'E');
        string mantissa = exponentAt < 0 ? raw : raw[..exponentAt];
        if (!long.TryParse(exponentAt < 0 ? "0" : raw[(exponentAt + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long exponent) || Math.Abs(exponent) > int.MaxValue)
        {
            return raw;
        }
        bool negative = mantissa[0] == '-';
        int point = mantissa.IndexOf('.');
        string digits = mantissa.Replace(".", "", StringComparison.Ordinal).TrimStart('-').TrimStart('0');
        exponent -= point < 0 ? 0 : mantissa.Length - point - 1;
        string significant = digits.TrimEnd('0');
        exponent += digits.Length - significant.Length;
        return significant.Length == 0 ? "0" : $"{(negative ? "-" : "")}{significant}e{exponent}";
    }

    // The whole answer, else what stands in a code fence, else the first object or array inside of the text.
    private static JsonDocument? Find(string answer)
    {
        string text = answer.Trim();
        if (text.Length == 0)
        {
            return null;
        }
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        if (Parse(bytes, whole: true) is { } plain)
        {
            return plain;
        }
        if (AnswerText.Fenced(text) is { } fenced && Parse(Encoding.UTF8.GetBytes(fenced.Trim()), whole: true) is { } inner)
        {
            return inner;
        }
        int at = 0;
        for (int tries = 0; tries < MaxStarts; tries++)
        {
            int next = bytes.AsSpan(at).IndexOfAny((byte)'{', (byte)'[');
            if (next < 0)
            {
                return null;
            }
            at += next;
            if (Parse(bytes.AsSpan(at), whole: false) is { } part)
            {
                return part;
            }
            at++;
        }
        return null;
    }

    private static JsonDocument? Parse(ReadOnlySpan<byte> text, bool whole)
    {
        if (text.IsEmpty)
        {
            return null;
        }
        Utf8JsonReader reader = new(text);
        try
        {
            JsonDocument document = JsonDocument.ParseValue(ref reader);
            if (!whole || reader.BytesConsumed == text.Length)
            {
                return document;
            }
            document.Dispose();
            return null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
