using System.Text.Json;
using ContinualNative.Core;

namespace ContinualNative.Host.Http;

/// <summary>Values out of JSON, each with an error that names its field.</summary>
internal static class JsonIn
{
    public static bool IsNull(this JsonElement value) => value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    public static string Text(JsonElement value, string param) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw ApiException.WrongType(param, "a string", JsonKind.Of(value));

    public static bool Flag(JsonElement value, string param) =>
        value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw ApiException.WrongType(param, "a boolean", JsonKind.Of(value));

    /// <summary>A finite number in [low, high].</summary>
    public static float Number(JsonElement value, string param, double low, double high)
    {
        if (value.ValueKind != JsonValueKind.Number)
        {
            throw ApiException.WrongType(param, "a number", JsonKind.Of(value));
        }
        return value.TryGetDouble(out double number) && number >= low && number <= high
            ? (float)number
            : throw ApiException.WrongValue(param, $"Invalid '{param}': {Short(value)} does not lie between {low} and {high}.");
    }

    /// <summary>A whole number in [low, high]; <c>3.0</c> counts as one.</summary>
    public static long Whole(JsonElement value, string param, long low, long high)
    {
        if (value.ValueKind != JsonValueKind.Number)
        {
            throw ApiException.WrongType(param, "an integer", JsonKind.Of(value));
        }
        if (!value.TryGetInt64(out long number))
        {
            if (!value.TryGetDouble(out double real) || real != Math.Floor(real))
            {
                throw ApiException.WrongType(param, "an integer", "a decimal number");
            }
            if (real is < -9.2e18 or > 9.2e18)
            {
                throw ApiException.WrongValue(param, $"Invalid '{param}': {Short(value)} does not lie between {low} and {high}.");
            }
            number = (long)real;
        }
        return number >= low && number <= high
            ? number
            : throw ApiException.WrongValue(param, $"Invalid '{param}': {number} does not lie between {low} and {high}.");
    }

    public static JsonElement Object(JsonElement value, string param) =>
        value.ValueKind == JsonValueKind.Object ? value : throw ApiException.WrongType(param, "an object", JsonKind.Of(value));

    public static JsonElement Array(JsonElement value, string param) =>
        value.ValueKind == JsonValueKind.Array ? value : throw ApiException.WrongType(param, "an array", JsonKind.Of(value));

    /// <summary>One of a few words.</summary>
    public static string OneOf(JsonElement value, string param, params ReadOnlySpan<string> words)
    {
        string text = Text(value, param);
        foreach (string word in words)
        {
            if (word == text)
            {
                return word;
            }
        }
        throw ApiException.WrongValue(param, $"Invalid '{param}': '{Short(text)}' is none of {string.Join(", ", words!)}.");
    }

    /// <summary>Client text cut to a length fit for an error message.</summary>
    public static string Short(string text) => text.Length <= 64 ? text : text[..(char.IsHighSurrogate(text[63]) ? 63 : 64)] + "…";

    private static string Short(JsonElement number) => Short(number.GetRawText());
}
