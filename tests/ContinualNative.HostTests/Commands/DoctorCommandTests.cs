using System.Text.Json;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Interop.Cuda;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

public sealed class DoctorCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("continual-doctor-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_machine_that_runs_these_tests_can_serve()
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "doctor", "--json", "--model", TestModel.Get("qwen2"));

        Assert.True(code == 0, output + error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.True(json.GetProperty("ok").GetBoolean());
        Dictionary<string, JsonElement> checks = json.GetProperty("checks").EnumerateArray().ToDictionary(static c => c.GetProperty("name").GetString()!);
        Assert.Contains(LlamaLibrary.PinnedVersion, checks["llama.cpp"].GetProperty("detail").GetString());
        Assert.Contains("knows tools", checks["chat template"].GetProperty("detail").GetString());
        Assert.Contains("qwen2", checks["model"].GetProperty("detail").GetString());
        Assert.All((string[])["system", "runtime", "processor", "memory", "port", "settings", "GPU", "CPU backend", "build tools"], name => Assert.True(checks.ContainsKey(name), name));
    }

    [Fact]
    public async Task A_damaged_model_is_a_problem()
    {
        string path = Path.Combine(_folder, "cut.gguf");
        File.WriteAllBytes(path, File.ReadAllBytes(TestModel.Get("llama"))[..^1000]);
        (int code, string output, _) = await ContinualProcess.RunAsync("", "doctor", "--model", path);
        Assert.Equal(1, code);
        Assert.Contains(output.Split('\n'), static l => l.StartsWith("problem  model", StringComparison.Ordinal) && l.Contains("cut.gguf", StringComparison.Ordinal));
    }

    [Fact]
    public void Limits_of_control_groups_count()
    {
        Fake("proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n");
        Fake("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 fma avx512f nonsense\n");
        Machine free = new(_folder);
        Assert.Equal(16_000_000L * 1024, free.TotalMemory);
        Assert.Equal(8_000_000L * 1024, free.AvailableMemory);
        Assert.Null(free.MemoryLimit);
        Assert.Null(free.ProcessorLimit);
        Assert.Equal("Some CPU", free.ProcessorName);
        Assert.Equal(["avx2", "fma", "avx512f"], free.InstructionSets);

        Fake("sys/fs/cgroup/memory.max", "2147483648\n");
        Fake("sys/fs/cgroup/memory.current", "1073741824\n");
        Fake("sys/fs/cgroup/memory.stat", "anon 5\ninactive_file 536870912\n");
        Fake("sys/fs/cgroup/cpu.max", "150000 100000\n");
        Machine limited = new(_folder);
        Assert.Equal(2L << 30, limited.MemoryLimit);
        Assert.Equal(1536L << 20, limited.AvailableMemory);
        Assert.Equal(1.5, limited.ProcessorLimit);

        Fake("sys/fs/cgroup/memory.max", "max\n");
        Fake("sys/fs/cgroup/cpu.max", "max 100000\n");
        Machine unlimited = new(_folder);
        Assert.Null(unlimited.MemoryLimit);
        Assert.Null(unlimited.ProcessorLimit);
    }

    [Fact]
    public void A_model_that_does_not_fit_is_a_problem()
    {
        Fake("proc/meminfo", "MemTotal: 16000 kB\nMemAvailable: 6000 kB\n");
        string path = TestModel.Get("qwen2");
        GgufFile file = GgufFile.Read(path);
        // 2 layers, 2 KV heads, 64 + 64 numbers of 2 bytes, 4 answers of 1024 tokens.
        Assert.Equal(2L * 2 * 128 * 2 * 4096, ModelDoctor.KvBytes(file));
        Finding memory = new ModelDoctor(new Machine(_folder)).Examine(path).Single(static f => f.Name == "model memory");
        Assert.Equal(Severity.Problem, memory.Severity);
        Assert.NotNull(memory.Advice);
    }

    [Fact]
    public void What_is_missing_to_use_a_gpu_is_told()
    {
        LlamaDevice cpu = new("CPU", "Some CPU", false, 1, 2);
        Assert.Equal(Severity.Ok, MachineDoctor.Gpus([cpu], null).Single().Severity);
        Finding noBackend = MachineDoctor.Gpus([cpu], new CudaDriverInfo("12.4", ["Some GPU"], null)).Single();
        Assert.Equal(Severity.Warning, noBackend.Severity);
        Assert.Contains(LlamaLibrary.DirectoryVariable, noBackend.Advice);
        Assert.Contains("--gpus", MachineDoctor.Gpus([cpu], new CudaDriverInfo("12.4", [], "it sees no GPU")).Single().Advice);
        Assert.Contains("--gpu-layers", MachineDoctor.Gpus([cpu, new LlamaDevice("CUDA0", "Some GPU", true, 1L << 30, 2L << 30)], null).Single().Detail);
    }

    [Fact]
    public void Whether_a_gpu_can_train_is_told_with_what_makes_its_products()
    {
        TrainingDevice gpu = new(1, "Some GPU", 8L << 30, 6L << 30, new Version(9, 0), 100, "libcublasLt.so.13");
        Finding ready = MachineDoctor.TrainingOn(1, number => gpu with { Number = number });
        Assert.Equal(Severity.Ok, ready.Severity);
        Assert.All((string[])["Some GPU (9.0)", "libcublasLt.so.13", "--device 1"], part => Assert.Contains(part, ready.Detail, StringComparison.Ordinal));
        Finding slow = MachineDoctor.TrainingOn(0, _ => gpu with { Products = "" });
        Assert.Equal(Severity.Warning, slow.Severity);
        Assert.Contains("libcublasLt", slow.Advice);
        Finding old = MachineDoctor.TrainingOn(0, static _ => throw new TrainerException(TrainerStatus.Device, "cn_device_describe", "it is older than Ampere"));
        Assert.Equal(Severity.Warning, old.Severity);
        Assert.Contains("older than Ampere", old.Detail);
    }

    private void Fake(string path, string text)
    {
        string full = Path.Combine(_folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        File.WriteAllText(full, text);
    }
}
