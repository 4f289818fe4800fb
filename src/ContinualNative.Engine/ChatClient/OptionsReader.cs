using System.Globalization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace ContinualNative.Engine.ChatClient;

/// <summary>Reads <see cref="ContinualNativeOptions"/> from configuration, and names the key of whatever is wrong there.</summary>
internal static class OptionsReader
{
    // By hand: the generic binder ignores keys that it does not know, and a mistyped key would silently leave its default in force.
    private static readonly Dictionary<string, Action<ContinualNativeOptions, string>> Keys = new(StringComparer.OrdinalIgnoreCase)
    {
        [nameof(ContinualNativeOptions.ModelPath)] = static (o, v) => o.ModelPath = v,
        [nameof(ContinualNativeOptions.ModelName)] = static (o, v) => o.ModelName = v,
        [nameof(ContinualNativeOptions.AdapterPath)] = static (o, v) => o.AdapterPath = v,
        [nameof(ContinualNativeOptions.Parallel)] = static (o, v) => o.Parallel = Whole(v),
        [nameof(ContinualNativeOptions.ContextLength)] = static (o, v) => o.ContextLength = Whole(v),
        [nameof(ContinualNativeOptions.KvTokens)] = static (o, v) => o.KvTokens = Whole(v),
        [nameof(ContinualNativeOptions.Threads)] = static (o, v) => o.Threads = Whole(v),
        [nameof(ContinualNativeOptions.ThreadPoll)] = static (o, v) => o.ThreadPoll = Whole(v),
        [nameof(ContinualNativeOptions.GpuLayers)] = static (o, v) => o.GpuLayers = Whole(v),
        [nameof(ContinualNativeOptions.PrefillChunk)] = static (o, v) => o.PrefillChunk = Whole(v),
        [nameof(ContinualNativeOptions.BatchTokens)] = static (o, v) => o.BatchTokens = Whole(v),
        [nameof(ContinualNativeOptions.QueueCapacity)] = static (o, v) => o.QueueCapacity = Whole(v),
        [nameof(ContinualNativeOptions.PrefixCache)] = static (o, v) => o.PrefixCache = Flag(v),
        [nameof(ContinualNativeOptions.PrefixCacheMemory)] = static (o, v) => o.PrefixCacheMemory =
            long.TryParse(v, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long bytes) ? bytes : throw new FormatException("a whole number of bytes"),
        [nameof(ContinualNativeOptions.PrefixCacheShare)] = static (o, v) => o.PrefixCacheShare =
            double.TryParse(v, NumberStyles.Float, CultureInfo.InvariantCulture, out double share) ? share : throw new FormatException("a number"),
        [nameof(ContinualNativeOptions.ExactAttention)] = static (o, v) => o.ExactAttention = Flag(v),
        [nameof(ContinualNativeOptions.RequestTimeout)] = static (o, v) => o.RequestTimeout = Time(v),
        [nameof(ContinualNativeOptions.DrainTimeout)] = static (o, v) => o.DrainTimeout = Time(v),
    };

    /// <summary>Takes over what the section sets. Throws <see cref="OptionsValidationException"/>.</summary>
    public static void Read(IConfiguration configuration, ContinualNativeOptions options)
    {
        List<string> failures = [];
        foreach (IConfigurationSection entry in configuration.GetChildren())
        {
            if (!Keys.TryGetValue(entry.Key, out Action<ContinualNativeOptions, string>? set))
            {
                failures.Add($"{entry.Path}: there is no such setting; known are {string.Join(", ", Keys.Keys)}.");
            }
            else if (entry.Value is { } value)
            {
                try
                {
                    set(options, value);
                }
                catch (FormatException e)
                {
                    failures.Add($"{entry.Path} is '{value}'; it must be {e.Message}.");
                }
            }
        }
        if (failures.Count > 0)
        {
            throw new OptionsValidationException(Options.DefaultName, typeof(ContinualNativeOptions), failures);
        }
    }

    private static bool Flag(string value) => bool.TryParse(value, out bool flag) ? flag : throw new FormatException("true or false");

    private static int Whole(string value) =>
        int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : throw new FormatException("a whole number");

    private static TimeSpan Time(string value) =>
        TimeSpan.TryParse(value, CultureInfo.InvariantCulture, out TimeSpan time) ? time : throw new FormatException("a time such as 00:00:30");
}
