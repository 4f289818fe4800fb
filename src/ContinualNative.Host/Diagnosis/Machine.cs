using System.Globalization;

namespace ContinualNative.Host.Diagnosis;

/// <summary>What the operating system tells of the machine and of the limits that this process runs under. Files that are not there tell nothing.</summary>
/// <param name="root">The folder that <c>/proc</c> and <c>/sys</c> lie in; another one in tests.</param>
internal sealed class Machine(string root = "/")
{
    private static readonly string[] Interesting = ["avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve", "bf16"];

    /// <summary>The processor's product name, or null.</summary>
    public string? ProcessorName => CpuInfo("model name") ?? CpuInfo("Hardware");

    /// <summary>Instruction sets that matter for speed, as Linux spells them; null where it doesn't say.</summary>
    public IReadOnlyList<string>? InstructionSets
    {
        get
        {
            if ((CpuInfo("flags") ?? CpuInfo("Features")) is not { } flags)
            {
                return null;
            }
            HashSet<string> all = [.. flags.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
            return [.. Interesting.Where(all.Contains)];
        }
    }

    /// <summary>All memory of the machine in bytes, or null.</summary>
    public long? TotalMemory => MemInfo("MemTotal");

    /// <summary>Memory that this process could get now, in bytes, its control group's limit counted in; null when nobody says.</summary>
    public long? AvailableMemory
    {
        get
        {
            long? available = MemInfo("MemAvailable");
            return MemoryLimit is { } limit
                // Page cache counts as used by the group but gives way.
                ? Math.Min(available ?? long.MaxValue, Math.Max(0, limit - (MemoryUsed ?? 0)))
                : available;
        }
    }

    /// <summary>The control group's memory limit in bytes; null when there is none.</summary>
    public long? MemoryLimit
    {
        get
        {
            long? limit = Number("sys/fs/cgroup/memory.max") ?? Number("sys/fs/cgroup/memory/memory.limit_in_bytes");
            // Version 1 spells "no limit" as a number near 2^63.
            return limit > 1L << 60 ? null : limit;
        }
    }

    /// <summary>Processors that the control group grants, such as 1.5; null when there is no limit.</summary>
    public double? ProcessorLimit
    {
        get
        {
            if (Text("sys/fs/cgroup/cpu.max")?.Split(' ') is [string quota, string period]
                && long.TryParse(quota, CultureInfo.InvariantCulture, out long part) && long.TryParse(period, CultureInfo.InvariantCulture, out long whole) && whole > 0)
            {
                return (double)part / whole;
            }
            return Number("sys/fs/cgroup/cpu/cpu.cfs_quota_us") is > 0 and { } old && Number("sys/fs/cgroup/cpu/cpu.cfs_period_us") is > 0 and { } span ? (double)old / span : null;
        }
    }

    private long? MemoryUsed
    {
        get
        {
            long? used = Number("sys/fs/cgroup/memory.current") ?? Number("sys/fs/cgroup/memory/memory.usage_in_bytes");
            long cache = Line("sys/fs/cgroup/memory.stat", "inactive_file ") is { } text && long.TryParse(text, CultureInfo.InvariantCulture, out long bytes) ? bytes : 0;
            return used - cache;
        }
    }

    private string? CpuInfo(string key) => Line("proc/cpuinfo", key)?.TrimStart('\t', ' ', ':');

    private long? MemInfo(string key) =>
        Line("proc/meminfo", key + ":")?.Replace("kB", "", StringComparison.Ordinal) is { } text && long.TryParse(text, CultureInfo.InvariantCulture, out long kilobytes) ? kilobytes * 1024 : null;

    private long? Number(string path) => long.TryParse(Text(path), CultureInfo.InvariantCulture, out long number) ? number : null;

    private string? Line(string path, string start)
    {
        string? line = Text(path)?.Split('\n').FirstOrDefault(l => l.StartsWith(start, StringComparison.Ordinal));
        return line?[start.Length..].Trim();
    }

    private string? Text(string path)
    {
        try
        {
            string full = Path.Combine(root, path);
            return File.Exists(full) ? File.ReadAllText(full).Trim() : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
