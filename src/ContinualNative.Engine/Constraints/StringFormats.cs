namespace ContinualNative.Engine.Constraints;

/// <summary>The values of JSON Schema's <c>format</c> that strings can be held to, each as a regular expression.</summary>
internal static class StringFormats
{
    // RFC 3339 with the calendar's month lengths; 29 February only in leap years of the Gregorian calendar.
    private const string LeapYear = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
    private const string Date =
        "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" + LeapYear + "-02-29)";
    private const string Time = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

    // RFC 3339, appendix A, with at most nine digits a part.
    private const string ClockPart = "(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S)";
    private const string DayPart = "(?:[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?|[0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)";

    // RFC 1123 labels.
    private const string Label = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?";
    private const string Host = Label + "(?:\\." + Label + "){0,8}";
    private const string Atom = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]{1,64}";
    private const string Byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    private const string H = "[0-9A-Fa-f]{1,4}";
    private const string PathCharacter = "(?:[0-9A-Za-z._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";

    private static readonly Dictionary<string, string> Patterns = new(StringComparer.Ordinal)
    {
        ["date"] = Date,
        ["time"] = Time,
        ["date-time"] = Date + "T" + Time,
        ["duration"] = $"P(?:[0-9]{{1,9}}W|{DayPart}(?:T{ClockPart})?|T{ClockPart})",
        ["uuid"] = "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
        ["hostname"] = Host,
        ["email"] = $"{Atom}(?:\\.{Atom}){{0,3}}@{Host}",
        ["ipv4"] = $"(?:{Byte}\\.){{3}}{Byte}",
        ["ipv6"] = $"(?:{H}:){{7}}{H}|(?:{H}:){{1,7}}:|(?:{H}:){{1,6}}:{H}|(?:{H}:){{1,5}}(?::{H}){{1,2}}|(?:{H}:){{1,4}}(?::{H}){{1,3}}"
            + $"|(?:{H}:){{1,3}}(?::{H}){{1,4}}|(?:{H}:){{1,2}}(?::{H}){{1,5}}|{H}:(?::{H}){{1,6}}|:(?:(?::{H}){{1,7}}|:)",
        ["uri"] = $"[A-Za-z][0-9A-Za-z+.-]{{0,15}}://{Host}(?::[0-9]{{1,5}})?(?:/{PathCharacter}*)*(?:\\?(?:{PathCharacter}|[/?])*)?(?:#(?:{PathCharacter}|[/?])*)?",
    };

    /// <summary>The names, for error messages.</summary>
    public static string Names => string.Join(", ", Patterns.Keys.Order(StringComparer.Ordinal));

    /// <summary>The anchored pattern of a format, or null where it is not supported.</summary>
    public static string? Pattern(string format) => Patterns.TryGetValue(format, out string? pattern) ? $"^(?:{pattern})$" : null;
}
