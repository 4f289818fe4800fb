using System.Text.Json;

namespace ContinualNative.Core;

/// <summary>Reads options from JSON; every fault is a <see cref="PolicyOptionException"/> that names its key.</summary>
internal static class OptionReader
{
    /// <summary>
    /// The fields of an object that are not null, each with its key out of <paramref name="known"/> and its place as the user wrote it.
    /// <c>pass_mark</c>, <c>passMark</c> and <c>pass-mark</c> are one key, as they are among the server's other settings.
    /// </summary>
    public static IEnumerable<(string Key, string Place, JsonElement Value)> Fields(JsonElement value, string path, string[] known)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw new PolicyOptionException(path, $"it must be an object, not {JsonKind.Of(value)}");
        }
        HashSet<string> seen = [];
        foreach (JsonProperty field in value.EnumerateObject())
        {
            string place = $"{path}.{field.Name}";
            string key = known.FirstOrDefault(k => Plain(k) == Plain(field.Name))
                ?? throw new PolicyOptionException(place, $"there is no such option; known are {string.Join(", ", known)}");
            if (!seen.Add(key))
            {
                throw new PolicyOptionException(place, "it is given twice; keep one of the two");
            }
            if (field.Value.ValueKind != JsonValueKind.Null)
            {
                yield return (key, place, field.Value);
            }
        }
    }

    public static bool Flag(JsonElement value, string place) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw new PolicyOptionException(place, $"it must be true or false, not {JsonKind.Of(value)}"),
    };

    public static double Number(JsonElement value, string place, double min, double max) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max
            ? number
            : throw new PolicyOptionException(place, $"it must be a number from {min:R} to {max:R}, not {(value.ValueKind == JsonValueKind.Number ? value.GetRawText() : JsonKind.Of(value))}");

    public static int Whole(JsonElement value, string place, int min, int max) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max
            ? number
            : throw new PolicyOptionException(place, $"it must be a whole number from {min} to {max}, not {(value.ValueKind == JsonValueKind.Number ? value.GetRawText() : JsonKind.Of(value))}");

    public static string Text(JsonElement value, string place)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            throw new PolicyOptionException(place, $"it must be a string, not {JsonKind.Of(value)}");
        }
        try
        {
            string text = value.GetString()!;
            return text.Length > 0 ? text : throw new PolicyOptionException(place, "it is empty");
        }
        catch (InvalidOperationException e)
        {
            throw new PolicyOptionException(place, "it is not valid UTF-8 or holds half of a surrogate pair", e);
        }
    }

    private static string Plain(string key) => key.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal).ToLowerInvariant();
}
