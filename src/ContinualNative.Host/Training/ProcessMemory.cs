using System.Diagnostics;
using System.Globalization;

namespace ContinualNative.Host.Training;

/// <summary>How much memory this process has held at most. Linux tells exactly; elsewhere, what .NET knows.</summary>
internal sealed class ProcessMemory
{
    private const string Status = "/proc/self/status";
    private long _anonymous;

    /// <summary>Most resident bytes, mapped files counted in.</summary>
    public static long Peak
    {
        get
        {
            using Process process = Process.GetCurrentProcess();
            return Read("VmHWM:") ?? process.PeakWorkingSet64;
        }
    }

    /// <summary>Most resident bytes seen by <see cref="Sample"/> that belong to no file; null where nobody tells.</summary>
    public long? PeakAnonymous => _anonymous > 0 ? _anonymous : null;

    /// <summary>What <see cref="Peak"/> tells begins anew, where the system allows it: what was needed before training is another matter.</summary>
    public static void Forget()
    {
        try
        {
            if (OperatingSystem.IsLinux())
            {
                File.WriteAllText("/proc/self/clear_refs", "5");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The peak then counts from the start of the process.
        }
    }

    public void Sample() => _anonymous = Math.Max(_anonymous, Read("RssAnon:") ?? 0);

    private static long? Read(string key)
    {
        try
        {
            if (!File.Exists(Status))
            {
                return null;
            }
            foreach (string line in File.ReadLines(Status))
            {
                if (line.StartsWith(key, StringComparison.Ordinal))
                {
                    return long.Parse(line.AsSpan(key.Length).TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) * 1024;
                }
            }
        }
        catch (IOException)
        {
            // As where there is no such file.
        }
        return null;
    }
}
