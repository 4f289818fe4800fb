using System.Text.Json;

namespace ContinualNative.Core;

/// <summary>Kinds of JSON values in words, for messages about a value of the wrong kind.</summary>
public static class JsonKind
{
    /// <summary>What <paramref name="value"/> is, with its article: <c>an object</c>, <c>a string</c>, ...; <c>null</c> for null and undefined.</summary>
    public static string Of(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.True or JsonValueKind.False => "a boolean",
        _ => "null",
    };
}
