using System.Reflection;
using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>A processor that llama.cpp can compute on.</summary>
/// <param name="Name">Short name, such as <c>CPU</c> or <c>CUDA0</c>.</param>
/// <param name="Description">The product's name.</param>
/// <param name="IsGpu">Whether layers can be offloaded to it.</param>
/// <param name="FreeBytes">Memory free now.</param>
/// <param name="TotalBytes">All its memory.</param>
public sealed record LlamaDevice(string Name, string Description, bool IsGpu, long FreeBytes, long TotalBytes);

/// <summary>Finds, loads and checks the pinned llama.cpp. Everything else in this assembly calls <see cref="EnsureLoaded"/> first.</summary>
public static unsafe class LlamaLibrary
{
    /// <summary>The environment variable that names a folder with a llama.cpp of the pinned version.</summary>
    public const string DirectoryVariable = "CONTINUAL_LLAMA_DIR";

    /// <summary>The llama.cpp release that this build is made for.</summary>
    public static string PinnedVersion { get; } =
        typeof(LlamaLibrary).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "LlamaCppRelease").Value!;

    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, nint> Loaded = [];
    private static bool _ready;
    private static LlamaLibraryException? _failure;

    static LlamaLibrary() => NativeLibrary.SetDllImportResolver(typeof(LlamaLibrary).Assembly, Resolve);

    /// <summary>The folder that the libraries came from; empty before <see cref="EnsureLoaded"/>.</summary>
    public static string Directory { get; private set; } = "";

    /// <summary>What <c>llama_version()</c> says; empty before <see cref="EnsureLoaded"/>.</summary>
    public static string Version { get; private set; } = "";

    /// <summary>llama.cpp's line about the instruction sets in use.</summary>
    public static string SystemInfo
    {
        get
        {
            EnsureLoaded();
            return LlamaNative.Text(LlamaNative.llama_print_system_info()).Trim();
        }
    }

    /// <summary>Only makes the libraries findable: calling it runs the static constructor.</summary>
    internal static void EnsureResolver()
    {
    }

    /// <summary>Loads and checks the libraries once; throws <see cref="LlamaLibraryException"/> with the way out when that fails.</summary>
    public static void EnsureLoaded()
    {
        if (Volatile.Read(ref _ready))
        {
            return;
        }
        lock (Gate)
        {
            if (_ready)
            {
                return;
            }
            if (_failure is not null)
            {
                throw new LlamaLibraryException(_failure.Message, _failure);
            }
            try
            {
                Load();
                Volatile.Write(ref _ready, true);
            }
            catch (LlamaLibraryException e)
            {
                _failure = e;
                throw;
            }
        }
    }

    /// <summary>The processors that llama.cpp found.</summary>
    public static IReadOnlyList<LlamaDevice> Devices()
    {
        EnsureLoaded();
        List<LlamaDevice> devices = [];
        nuint count = LlamaNative.ggml_backend_dev_count();
        for (nuint i = 0; i < count; i++)
        {
            nint device = LlamaNative.ggml_backend_dev_get(i);
            nuint free;
            nuint total;
            LlamaNative.ggml_backend_dev_memory(device, &free, &total);
            int type = LlamaNative.ggml_backend_dev_type(device);
            devices.Add(new LlamaDevice(
                LlamaNative.Text(LlamaNative.ggml_backend_dev_name(device)),
                LlamaNative.Text(LlamaNative.ggml_backend_dev_description(device)),
                type is 1 or 2,
                (long)free,
                (long)total));
        }
        return devices;
    }

    /// <summary>Where the libraries would be looked for, best first.</summary>
    public static IReadOnlyList<string> SearchPath()
    {
        string? named = Environment.GetEnvironmentVariable(DirectoryVariable);
        return string.IsNullOrWhiteSpace(named) ? [Path.Combine(AppContext.BaseDirectory, "engine")] : [Path.GetFullPath(named)];
    }

    /// <summary>Address of an exported function of <c>libllama</c>, for the calls that go through the exception firewall.</summary>
    internal static nint Export(string name) => NativeLibrary.GetExport(Loaded[LlamaNative.Llama], name);

    private static void Load()
    {
        string directory = SearchPath()[0];
        if (!System.IO.Directory.Exists(directory))
        {
            throw new LlamaLibraryException(
                $"There is no llama.cpp at '{directory}'. Build the project once with npm on the PATH (the build fetches it), or set {DirectoryVariable} to a folder that holds llama.cpp {PinnedVersion}.");
        }
        // Dependencies first, each by its full path, so that no other copy on the machine can slip in between.
        foreach (string library in (ReadOnlySpan<string>)[LlamaNative.GgmlBase, LlamaNative.Ggml, LlamaNative.Llama])
        {
            string path = Find(directory, library)
                ?? throw new LlamaLibraryException(
                    $"'{directory}' holds no {FileName(library, "")}. Set {DirectoryVariable} to a folder that holds all libraries of llama.cpp {PinnedVersion}, or unset it to use the one that the build fetches.");
            try
            {
                Loaded[library] = NativeLibrary.Load(path);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new LlamaLibraryException(
                    $"'{path}' can't be loaded: {e.Message.Split('\n')[0].Trim()} It must be built for {RuntimeInformation.RuntimeIdentifier}; set {DirectoryVariable} to a folder with a fitting llama.cpp {PinnedVersion}.", e);
            }
        }
        try
        {
            Verify(directory);
        }
        catch (EntryPointNotFoundException e)
        {
            throw new LlamaLibraryException(
                $"The llama.cpp at '{directory}' lacks a function of release {PinnedVersion} ({e.Message}). Set {DirectoryVariable} to a folder with llama.cpp {PinnedVersion}.", e);
        }
        if (FirewallLayout.Version() is var version && version != FirewallLayout.InterfaceVersion)
        {
            throw new LlamaLibraryException(
                $"libcontinual_native beside the program speaks version {version} of its interface, and this build needs {FirewallLayout.InterfaceVersion}. Build the project again.");
        }
        LlamaLog.Install();
        LlamaNative.ggml_backend_load_all_from_path(directory);
        LlamaNative.llama_backend_init();
        if (LlamaNative.ggml_backend_dev_by_type(0) == 0)
        {
            throw new LlamaLibraryException(
                $"llama.cpp at '{directory}' found no CPU backend that fits this processor. Its libggml-cpu-* libraries must lie in the same folder.");
        }
        Directory = directory;
    }

    private static void Verify(string directory)
    {
        Version = LlamaNative.Text(LlamaNative.llama_version());
        if (Version != PinnedVersion && !Version.StartsWith(PinnedVersion + "-", StringComparison.Ordinal))
        {
            throw new LlamaLibraryException(
                $"The llama.cpp at '{directory}' is version {(Version.Length == 0 ? "unknown" : Version)}; this build needs {PinnedVersion}. Set {DirectoryVariable} to a folder with that version, or unset it to use the one that the build fetches.");
        }
        string? wrong = LayoutMismatch();
        if (wrong is not null)
        {
            throw new LlamaLibraryException(
                $"The llama.cpp at '{directory}' calls itself {Version} but lays its structures out differently ({wrong}). Set {DirectoryVariable} to an unmodified llama.cpp {PinnedVersion}.");
        }
    }

    // The defaults are those of the pinned sources; a shifted field shows as a wrong value here, before it could corrupt anything.
    private static string? LayoutMismatch()
    {
        if (sizeof(LlamaModelParams) != 80 || sizeof(LlamaContextParams) != 160)
        {
            return $"the mirrors are {sizeof(LlamaModelParams)} and {sizeof(LlamaContextParams)} bytes on this platform instead of 80 and 160";
        }
        LlamaModelParams m = LlamaNative.llama_model_default_params();
        if (m is not { GpuLayers: -1, SplitMode: 1, LoadMode: -1, LazyMode: 1, MainGpu: 0, UseExtraBufferTypes: 1, VocabOnly: 0, LoadMtp: 0 })
        {
            return "defaults of llama_model_params";
        }
        LlamaContextParams c = LlamaNative.llama_context_default_params();
        if (c is not { Context: 512, Batch: 2048, MicroBatch: 512, MaxSequences: 1, YarnExtFactor: -1f, TypeK: 1, TypeV: 1, OffloadKqv: 1, NoPerf: 1, SlidingWindowFull: 1, KvUnified: 0, SamplerCount: 0 })
        {
            return "defaults of llama_context_params";
        }
        LlamaQuantizeParams q = LlamaNative.llama_model_quantize_default_params();
        return q is not { FileType: 7, OutputTensorType: 43, TokenEmbeddingType: 43, QuantizeOutputTensor: 1, AllowRequantize: 0, DryRun: 0 } || q.MaxBufferBytes == 0
            ? "defaults of llama_model_quantize_params"
            : null;
    }

    private static string? Find(string directory, string library)
    {
        foreach (string suffix in (ReadOnlySpan<string>)[".v" + PinnedVersion, ""])
        {
            string path = Path.Combine(directory, FileName(library, suffix));
            if (File.Exists(path))
            {
                return path;
            }
        }
        return null;
    }

    private static string FileName(string library, string suffix) =>
        OperatingSystem.IsWindows() ? $"{library}{suffix}.dll"
        : OperatingSystem.IsMacOS() ? $"lib{library}{suffix}.dylib"
        : $"lib{library}{suffix}.so";

    private static nint Resolve(string library, Assembly assembly, DllImportSearchPath? search) =>
        library switch
        {
            LlamaNative.Llama or LlamaNative.Ggml or LlamaNative.GgmlBase => Loaded.GetValueOrDefault(library),
            Firewall.Library => Firewall.Load(),
            _ => 0,
        };
}
