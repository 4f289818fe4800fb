using System.Text.Json;

namespace ContinualNative.Core.Redaction;

/// <summary>A pattern of the user's own.</summary>
/// <param name="Name">What it finds: letters, digits and underscores; placeholders show it in capitals.</param>
/// <param name="Pattern">A regular expression of .NET. What it matches is redacted as a whole.</param>
/// <param name="IgnoreCase">Whether capitals do not matter.</param>
public sealed record RedactionPattern(string Name, string Pattern, bool IgnoreCase = false);

/// <summary>What is redacted, and where.</summary>
public sealed record RedactionOptions
{
    private static readonly string[] Keys =
        ["for_storage", "for_frontier", "email", "phone", "card", "iban", "key", "ip", "patterns", "pattern_timeout_seconds"];

    /// <summary>Whether texts are redacted before they are stored.</summary>
    public bool ForStorage { get; init; } = true;

    /// <summary>Whether texts are redacted before they are sent to a frontier model.</summary>
    public bool ForFrontier { get; init; } = true;

    /// <summary>E-mail addresses, as <c>EMAIL</c>.</summary>
    public bool Email { get; init; } = true;

    /// <summary>Telephone numbers, as <c>PHONE</c>.</summary>
    public bool Phone { get; init; } = true;

    /// <summary>Numbers of payment cards, as <c>CARD</c>.</summary>
    public bool Card { get; init; } = true;

    /// <summary>International bank account numbers, as <c>IBAN</c>.</summary>
    public bool Iban { get; init; } = true;

    /// <summary>API keys, tokens and private keys, as <c>KEY</c>.</summary>
    public bool Key { get; init; } = true;

    /// <summary>
    /// IPv4 and IPv6 addresses, as <c>IP</c>. Off by default: version numbers look like them, and most addresses in prompts are of machines.
    /// </summary>
    public bool Ip { get; init; }

    /// <summary>The user's own patterns.</summary>
    public IReadOnlyList<RedactionPattern> Patterns { get; init; } = [];

    /// <summary>How long one user pattern may look at one text before the text is given up with a <see cref="RedactionException"/>.</summary>
    public TimeSpan PatternTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Reads <c>{"for_storage", "for_frontier", "email", "phone", "card", "iban", "key", "ip", "patterns": {"name": "regex" | {"pattern", "ignore_case"}}, "pattern_timeout_seconds"}</c>,
    /// each optional. Patterns are only tried by the <see cref="Redactor"/>. Throws <see cref="PolicyOptionException"/>.
    /// </summary>
    /// <param name="value">The object.</param>
    /// <param name="path">How messages call it.</param>
    public static RedactionOptions Parse(JsonElement value, string path = "redaction")
    {
        RedactionOptions options = new();
        foreach ((string key, string place, JsonElement field) in OptionReader.Fields(value, path, Keys))
        {
            options = key switch
            {
                "for_storage" => options with { ForStorage = OptionReader.Flag(field, place) },
                "for_frontier" => options with { ForFrontier = OptionReader.Flag(field, place) },
                "email" => options with { Email = OptionReader.Flag(field, place) },
                "phone" => options with { Phone = OptionReader.Flag(field, place) },
                "card" => options with { Card = OptionReader.Flag(field, place) },
                "iban" => options with { Iban = OptionReader.Flag(field, place) },
                "key" => options with { Key = OptionReader.Flag(field, place) },
                "ip" => options with { Ip = OptionReader.Flag(field, place) },
                "pattern_timeout_seconds" => options with { PatternTimeout = TimeSpan.FromSeconds(OptionReader.Number(field, place, 0.001, 60)) },
                _ => options with { Patterns = ParsePatterns(field, place) },
            };
        }
        return options;
    }

    private static List<RedactionPattern> ParsePatterns(JsonElement value, string path)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw new PolicyOptionException(path, $"it must be an object of names and regular expressions, not {JsonKind.Of(value)}");
        }
        List<RedactionPattern> patterns = [];
        foreach (JsonProperty entry in value.EnumerateObject())
        {
            string place = $"{path}.{entry.Name}";
            if (entry.Value.ValueKind != JsonValueKind.Object)
            {
                patterns.Add(new RedactionPattern(entry.Name, OptionReader.Text(entry.Value, place)));
                continue;
            }
            string? pattern = null;
            bool ignoreCase = false;
            foreach ((string key, string where, JsonElement field) in OptionReader.Fields(entry.Value, place, ["pattern", "ignore_case"]))
            {
                if (key == "pattern")
                {
                    pattern = OptionReader.Text(field, where);
                }
                else
                {
                    ignoreCase = OptionReader.Flag(field, where);
                }
            }
            patterns.Add(new RedactionPattern(entry.Name, pattern ?? throw new PolicyOptionException($"{place}.pattern", "it is missing; give a regular expression"), ignoreCase));
        }
        return patterns;
    }
}
