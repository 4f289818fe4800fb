using System.Globalization;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Training;

/// <summary>Sizes as people write them: <c>1GiB</c>, <c>512MiB</c>, <c>1.5 GB</c>, <c>800000000</c>.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, double Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1), ("", 1),
    ];

    /// <summary>Bytes; throws <see cref="SettingException"/> naming the option.</summary>
    public static long Parse(string option, string text)
    {
        string number = text.TrimEnd(' ', 'k', 'K', 'M', 'G', 'T', 'i', 'I', 'b', 'B');
        string unit = text[number.Length..].Trim();
        foreach ((string name, double bytes) in Units)
        {
            if (unit.Equals(name, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double count) && count * bytes < long.MaxValue)
            {
                return (long)(count * bytes);
            }
        }
        throw new SettingException(option, $"'{text}' is no size; write it like 1GiB or 800MB");
    }
}
