using System.Collections;
using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Serving;
using ContinualNative.Interop.Cuda;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Host.Diagnosis;

/// <summary>Looks at the machine: what there is, what is missing, what to do.</summary>
internal sealed class MachineDoctor(Machine machine)
{
    private const long LittleDisk = 1L << 30;
    private const long LittleMemory = 1L << 30;
    private const int DefaultPort = 8080;

    public IEnumerable<Finding> Examine()
    {
        yield return Finding.Ok("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant()}");
        yield return Finding.Ok("runtime", $"{RuntimeInformation.FrameworkDescription} ({RuntimeInformation.RuntimeIdentifier})");
        yield return Processor();
        yield return Memory();
        yield return Disk("temporary files", Path.GetTempPath());
        yield return Disk("data folder", Environment.GetEnvironmentVariable(ServeSettings.EnvironmentPrefix + "DATA") ?? ServeOptions.DefaultData);
        foreach (Finding finding in Engine())
        {
            yield return finding;
        }
        yield return Port();
        yield return Settings();
        yield return Tools();
    }

    private Finding Processor()
    {
        string cores = $"{Environment.ProcessorCount} logical cores"
            + (machine.ProcessorLimit is { } limit ? string.Create(CultureInfo.InvariantCulture, $", limited to {limit:0.##} by the control group") : "");
        IReadOnlyList<string>? sets = machine.InstructionSets;
        string detail = $"{machine.ProcessorName ?? "of unknown name"}, {cores}{(sets is null ? "" : $"; {(sets.Count == 0 ? "no vector extensions of use" : string.Join(' ', sets))}")}";
        return RuntimeInformation.ProcessArchitecture == Architecture.X64 && sets is not null && !sets.Contains("avx2")
            ? Finding.Warn("processor", detail, "It has no AVX2, so generation will be several times slower than on a processor of the last ten years.")
            : machine.ProcessorLimit < 1
            ? Finding.Warn("processor", detail, "Less than one core is granted: compute threads will wait for each other. Raise the limit, and pass --threads 1.")
            : Finding.Ok("processor", detail);
    }

    private Finding Memory()
    {
        long total = machine.MemoryLimit ?? machine.TotalMemory ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        long available = machine.AvailableMemory ?? total;
        string detail = $"{ByteText.Of(available)} available of {ByteText.Of(total)}{(machine.MemoryLimit is null ? "" : " (limit of the control group)")}";
        return available < LittleMemory
            ? Finding.Warn("memory", detail, "Only the smallest models fit. Stop other programs, or raise the limit.")
            : Finding.Ok("memory", detail);
    }

    private static Finding Disk(string name, string folder)
    {
        // The folder may not exist yet: then its nearest parent is what counts.
        string at = Path.GetFullPath(folder);
        while (!Directory.Exists(at) && Path.GetDirectoryName(at) is { } parent)
        {
            at = parent;
        }
        try
        {
            string probe = Path.Combine(at, $".continual-{Guid.NewGuid():N}");
            using (new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose))
            {
            }
            long free = new DriveInfo(at).AvailableFreeSpace;
            string detail = $"{folder}, {ByteText.Of(free)} free";
            return free < LittleDisk
                ? Finding.Warn(name, detail, "Make room: adapters, logs and the traffic store go there.")
                : Finding.Ok(name, detail);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return name == "data folder"
                ? Finding.Bad(name, $"{folder} can't be written: {e.Message}", "Name a folder that can, with --data or CONTINUAL__DATA.")
                : Finding.Warn(name, $"{folder} can't be written: {e.Message}", "Set TMPDIR to a folder that can.");
        }
    }

    private static IEnumerable<Finding> Engine()
    {
        string? failure = null;
        try
        {
            LlamaLibrary.EnsureLoaded();
        }
        catch (LlamaLibraryException e)
        {
            failure = e.Message;
        }
        if (failure is not null)
        {
            yield return Finding.Bad("llama.cpp", "can't be used", failure);
            yield break;
        }
        yield return Finding.Ok("llama.cpp", $"{LlamaLibrary.Version} (this build is made for {LlamaLibrary.PinnedVersion}) in {LlamaLibrary.Directory}");
        string native = Path.Combine(AppContext.BaseDirectory, "engine", OperatingSystem.IsWindows() ? "continual_native.dll" : OperatingSystem.IsMacOS() ? "libcontinual_native.dylib" : "libcontinual_native.so");
        yield return File.Exists(native)
            ? Finding.Ok("native library", native)
            : Finding.Bad("native library", $"'{native}' is missing", "Build the project with CMake and a C++ compiler on the PATH: the build makes it.");
        yield return Finding.Ok("CPU backend", $"{CpuBackend()}{LlamaLibrary.SystemInfo}");
        foreach (Finding finding in Gpus(LlamaLibrary.Devices(), CudaDriver.Probe()))
        {
            yield return finding;
        }
        for (int i = 0; i < TrainingDevices(native); i++)
        {
            yield return TrainingOn(i, TrainingDevice.Of);
        }
    }

    private static int TrainingDevices(string native)
    {
        try
        {
            return File.Exists(native) ? TrainingDevice.Count() : 0;
        }
        catch (Exception e) when (e is LlamaLibraryException or TrainerException)
        {
            // Told of the library itself.
            return 0;
        }
    }

    internal static Finding TrainingOn(int number, Func<int, TrainingDevice> of)
    {
        try
        {
            TrainingDevice gpu = of(number);
            string what = $"GPU {number}: {gpu.Name} ({gpu.Capability}), {ByteText.Of(gpu.FreeMemory)} free";
            return gpu.Products.Length > 0
                ? Finding.Ok("GPU training", $"{what}, matrix products by {gpu.Products}; use it with train --device {number}, or \"device\": {number} in the policy's \"update\"")
                : Finding.Warn("GPU training", $"{what}, without cuBLASLt", "Training works, on slower matrix products of its own. For cuBLASLt 12 or 13, put NVIDIA's libcublasLt on the library path (a CUDA build of llama.cpp needs it too), and leave CONTINUAL_OWN_PRODUCTS unset.");
        }
        catch (TrainerException e)
        {
            return Finding.Warn("GPU training", $"GPU {number} can't train: {e.Message}", "The CPU trains.");
        }
    }

    internal static IEnumerable<Finding> Gpus(IReadOnlyList<LlamaDevice> devices, CudaDriverInfo? driver)
    {
        LlamaDevice[] gpus = [.. devices.Where(static d => d.IsGpu)];
        if (gpus.Length > 0)
        {
            foreach (LlamaDevice gpu in gpus)
            {
                yield return Finding.Ok("GPU", $"{gpu.Name}: {gpu.Description}, {ByteText.Of(gpu.FreeBytes)} free of {ByteText.Of(gpu.TotalBytes)}; use it with --gpu-layers -1");
            }
        }
        else if (driver is null)
        {
            yield return Finding.Ok("GPU", "none: no NVIDIA driver is installed, the CPU computes");
        }
        else if (driver.Error is { } error)
        {
            yield return Finding.Warn("GPU", $"an NVIDIA driver is installed (CUDA {driver.Version}), but {error}", "The CPU computes. In a container, start it with access to the GPU (docker run --gpus all); else see what nvidia-smi says.");
        }
        else
        {
            yield return Finding.Warn("GPU", $"{string.Join(", ", driver.Devices)} (driver for CUDA {driver.Version}), not usable by this llama.cpp, which has no CUDA backend",
                $"The CPU computes. For the GPU, set {LlamaLibrary.DirectoryVariable} to a folder with a CUDA build of llama.cpp {LlamaLibrary.PinnedVersion}.");
        }
    }

    // Which of the libggml-cpu-* libraries llama.cpp chose shows only in what the process has mapped.
    private static string CpuBackend()
    {
        const string Maps = "/proc/self/maps";
        try
        {
            string? line = File.Exists(Maps) ? File.ReadLines(Maps).FirstOrDefault(static l => l.Contains("ggml-cpu", StringComparison.Ordinal)) : null;
            return line is null ? "" : Path.GetFileName(line[line.IndexOf('/')..]) + "; ";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static Finding Port()
    {
        using TcpListener listener = new(IPAddress.Loopback, DefaultPort);
        try
        {
            listener.Start();
            return Finding.Ok("port", $"{DefaultPort} is free");
        }
        catch (SocketException e)
        {
            return Finding.Warn("port", $"{DefaultPort} can't be used: {e.Message}", "Stop the other program, or pass another address with --listen http://127.0.0.1:PORT (port 0: any free one).");
        }
    }

    private static Finding Settings()
    {
        IDictionary environment = Environment.GetEnvironmentVariables();
        string[] names = [.. environment.Keys.Cast<string>().Where(static n => n.StartsWith("CONTINUAL_", StringComparison.OrdinalIgnoreCase)).Order(StringComparer.Ordinal)];
        string detail = names.Length == 0 ? "no CONTINUAL_* variable is set" : string.Join(", ", names.Select(n => $"{n}={Shown(n, (string?)environment[n])}"));
        if (File.Exists(ServeSettings.FileName))
        {
            detail += $"; {Path.GetFullPath(ServeSettings.FileName)} is read";
        }
        try
        {
            ParseResult nothing = CommandLine.Root().Parse(["serve"]);
            ServeSettings.Read(nothing, null, environment);
            return Finding.Ok("settings", detail);
        }
        catch (SettingException e)
        {
            return Finding.Bad("settings", detail, $"'continual serve' would refuse them: {e.Message}");
        }
    }

    // A diagnosis is made to be shown to others.
    private static string Shown(string name, string? value) =>
        name.Contains("KEY", StringComparison.OrdinalIgnoreCase) || name.Contains("TOKEN", StringComparison.OrdinalIgnoreCase) || name.Contains("SECRET", StringComparison.OrdinalIgnoreCase) ? "(hidden)" : value ?? "";

    private static Finding Tools()
    {
        (string What, string[] Any)[] tools = [("npm", ["npm"]), ("CMake", ["cmake"]), ("a C++ compiler", ["c++", "g++", "clang++", "cl"])];
        List<string> found = [];
        List<string> missing = [];
        foreach ((string what, string[] any) in tools)
        {
            if (any.Select(FindOnPath).FirstOrDefault(static p => p is not null) is { } path)
            {
                found.Add(path);
            }
            else
            {
                missing.Add(what);
            }
        }
        return missing.Count == 0
            ? Finding.Ok("build tools", string.Join(", ", found))
            : Finding.Warn("build tools", $"not on the PATH: {string.Join(", ", missing)}", "Only building from source needs them (on Debian: apt-get install npm cmake g++).");
    }

    private static string? FindOnPath(string program)
    {
        string[] names = OperatingSystem.IsWindows() ? [program + ".exe", program + ".cmd"] : [program];
        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .SelectMany(folder => names.Select(name => Path.Combine(folder, name)))
            .FirstOrDefault(File.Exists);
    }
}
