using System.Globalization;
using System.Text;

namespace ContinualNative.Engine.Chat;

/// <summary>Python's <c>strftime</c> in the C locale, as far as chat templates go.</summary>
internal static class PythonDate
{
    public static string Format(DateTimeOffset time, string format)
    {
        StringBuilder text = new(format.Length + 16);
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            int start = i++;
            bool bare = format[i] == '-' && i + 1 < format.Length;
            if (bare)
            {
                i++;
            }

            string? value = Directive(time, format[i]);
            if (value is null)
            {
                text.Append(format, start, i - start + 1);
            }
            else
            {
                text.Append(bare ? WithoutPadding(value) : value);
            }
        }

        return text.ToString();
    }

    private static string? Directive(DateTimeOffset time, char directive) => directive switch
    {
        'a' => Name(time, "ddd"),
        'A' => Name(time, "dddd"),
        'b' or 'h' => Name(time, "MMM"),
        'B' => Name(time, "MMMM"),
        'c' => Format(time, "%a %b %e %H:%M:%S %Y"),
        'd' => Two(time.Day),
        'D' or 'x' => Format(time, "%m/%d/%y"),
        'e' => time.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
        'f' => ((time.Ticks % TimeSpan.TicksPerSecond) / 10).ToString("D6", CultureInfo.InvariantCulture),
        'F' => Format(time, "%Y-%m-%d"),
        'H' => Two(time.Hour),
        'I' => Two((time.Hour + 11) % 12 + 1),
        'j' => time.DayOfYear.ToString("D3", CultureInfo.InvariantCulture),
        'm' => Two(time.Month),
        'M' => Two(time.Minute),
        'p' => time.Hour < 12 ? "AM" : "PM",
        'S' => Two(time.Second),
        'T' or 'X' => Format(time, "%H:%M:%S"),
        'u' => (((int)time.DayOfWeek + 6) % 7 + 1).ToString(CultureInfo.InvariantCulture),
        'w' => ((int)time.DayOfWeek).ToString(CultureInfo.InvariantCulture),
        'y' => Two(time.Year % 100),
        'Y' => time.Year.ToString("D4", CultureInfo.InvariantCulture),
        'z' or 'Z' => string.Empty, // Python's datetime.now() is naive
        '%' => "%",
        _ => null,
    };

    private static string Name(DateTimeOffset time, string format) => time.ToString(format, CultureInfo.InvariantCulture);

    private static string Two(int number) => number.ToString("D2", CultureInfo.InvariantCulture);

    private static string WithoutPadding(string value)
    {
        string trimmed = value.TrimStart('0', ' ');
        return trimmed.Length == 0 && value.Length > 0 ? "0" : trimmed;
    }
}
