using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Frontier;

/// <summary>Takes the fields out of one JSON object of settings; every error names the field. <see cref="End"/> refuses what was not asked for.</summary>
internal sealed class SettingReader
{
    private readonly Dictionary<string, JsonProperty> _fields = new(StringComparer.Ordinal);
    private readonly List<string> _known = [];

    public SettingReader(JsonElement item, string source)
    {
        Source = source;
        foreach (JsonProperty field in ObjectOf(item, source).EnumerateObject())
        {
            if (!_fields.TryAdd(Plain(field.Name), field))
            {
                throw new SettingException(field.Name, "it is given twice", $"{source}.{field.Name}");
            }
        }
    }

    /// <summary>How messages name the object's place.</summary>
    public string Source { get; }

    public static JsonElement ObjectOf(JsonElement item, string source) =>
        item.ValueKind == JsonValueKind.Object ? item : throw new SettingException(source, $"it must be an object, not {JsonKind.Of(item)}", source);

    /// <summary>A field's value; null when it is left out or null.</summary>
    public JsonElement? Take(string key)
    {
        _known.Add(key);
        return _fields.Remove(Plain(key), out JsonProperty field) && field.Value.ValueKind != JsonValueKind.Null ? field.Value : null;
    }

    public string? Text(string key) =>
        Take(key) is not { } value ? null : value.ValueKind == JsonValueKind.String ? value.GetString() : throw Kind(key, "a string", value);

    public bool? Flag(string key) =>
        Take(key) is not { } value ? null : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Kind(key, "true or false", value);

    public int? Whole(string key) =>
        Take(key) is not { } value ? null : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : throw Kind(key, "a whole number", value);

    public double? Number(string key) =>
        Take(key) is not { } value ? null : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number) ? number : throw Kind(key, "a number", value);

    public decimal? Amount(string key) =>
        Take(key) is not { } value ? null : value.ValueKind == JsonValueKind.Number && value.TryGetDecimal(out decimal amount) ? amount : throw Kind(key, "a number of dollars", value);

    public TimeSpan? Seconds(string key) =>
        Number(key) is not { } seconds ? null : Math.Abs(seconds) <= 1e7 ? TimeSpan.FromSeconds(seconds) : throw Wrong(key, $"{seconds} is not a number of seconds that makes sense");

    public SettingException Missing(string key) => Wrong(key, "it is missing");

    public SettingException Wrong(string key, string reason) => new(key, reason, $"{Source}.{key}");

    /// <summary>Throws <see cref="SettingException"/> when there is a field that nobody took.</summary>
    public void End()
    {
        foreach (JsonProperty field in _fields.Values)
        {
            throw new SettingException(field.Name, $"there is no such setting; known are {string.Join(", ", _known)}", $"{Source}.{field.Name}");
        }
    }

    private static string Plain(string key) => key.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    private SettingException Kind(string key, string expected, JsonElement value) => Wrong(key, $"it must be {expected}, not {JsonKind.Of(value)}");
}
