using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Engine.Constraints;

/// <summary>JSON in one fixed spelling: compact, with the shortest escapes and everything else raw.</summary>
internal static class JsonText
{
    /// <summary>One character of a JSON string.</summary>
    public static string Character(int codePoint) => codePoint switch
    {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\b' => "\\b",
        '\f' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        < 0x20 => "\\u" + codePoint.ToString("x4", CultureInfo.InvariantCulture),
        _ => char.ConvertFromUtf32(codePoint),
    };

    /// <summary>A JSON string with its quotes.</summary>
    public static string String(string text)
    {
        var json = new StringBuilder(text.Length + 2).Append('"');
        foreach (Rune rune in text.EnumerateRunes())
        {
            json.Append(Character(rune.Value));
        }

        return json.Append('"').ToString();
    }

    /// <summary>Any JSON value; numbers keep the spelling that they came in.</summary>
    public static string Value(JsonElement value, int depth = 0)
    {
        if (depth > SchemaDocument.MaxDepth)
        {
            throw new EngineException(EngineError.InvalidRequest, $"Schema: a value in enum or const is nested deeper than {SchemaDocument.MaxDepth}; flatten it.");
        }

        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                return String(value.GetString()!);
            case JsonValueKind.Array:
                return "[" + string.Join(',', value.EnumerateArray().Select(item => Value(item, depth + 1))) + "]";
            case JsonValueKind.Object:
                return "{" + string.Join(',', value.EnumerateObject().Select(p => String(p.Name) + ":" + Value(p.Value, depth + 1))) + "}";
            default:
                return value.GetRawText();
        }
    }
}
