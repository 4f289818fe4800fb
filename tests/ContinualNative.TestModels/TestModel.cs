using System.Collections.Concurrent;
using System.Security.Cryptography;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;

namespace ContinualNative.TestModels;

/// <summary>Writes small GGUF models of real architectures.</summary>
public static class TestModel
{
    private static readonly ConcurrentDictionary<(TestModelOptions Options, string Quantization), Lazy<string>> Files = new();

    /// <summary>A model of default size in a shared temporary folder.</summary>
    public static string Get(string architecture = "llama", string quantization = "F32") =>
        Get(new TestModelOptions { Architecture = architecture }, quantization);

    /// <summary>
    /// A model in a temporary folder that all test processes share. The name holds a hash of the unquantized file, so that a changed
    /// generator never meets a stale file; files appear by renaming and are never deleted, so that several processes may ask at once.
    /// </summary>
    public static string Get(TestModelOptions options, string quantization = "F32") =>
        Files.GetOrAdd((options, quantization), static key => new Lazy<string>(() => Make(key.Options, key.Quantization))).Value;

    private static string Make(TestModelOptions options, string quantization)
    {
        int fileType = TestQuantization.FileType(quantization);
        using MemoryStream original = new();
        Create(options).Write(original);
        string hash = Convert.ToHexStringLower(SHA256.HashData(original.GetBuffer().AsSpan(0, (int)original.Length)))[..12];
        string folder = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "continual-native-test-models")).FullName;
        string source = Path.Combine(folder, $"{options.Architecture}-{options.Type}-{hash}.gguf");
        Publish(source, temporary => File.WriteAllBytes(temporary, original.ToArray()));
        if (quantization == options.Type.ToString())
        {
            return source;
        }
        string quantized = Path.Combine(folder, $"{options.Architecture}-{quantization}-{hash}-{LlamaLibrary.PinnedVersion}.gguf");
        Publish(quantized, temporary => LlamaModelHandle.Quantize(source, temporary, fileType));
        return quantized;
    }

    private static void Publish(string path, Action<string> write)
    {
        if (File.Exists(path))
        {
            return;
        }
        string temporary = $"{path}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp";
        try
        {
            write(temporary);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Writes the model, atomically.</summary>
    public static void Write(string path, TestModelOptions? options = null) => Create(options ?? new TestModelOptions()).Write(path);

    /// <summary>The model on a writer, for tests that add or break something before writing.</summary>
    public static GgufWriter Create(TestModelOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        string? template = options.ChatTemplate ?? options.Architecture switch
        {
            "bert" => null,
            "llama" => TestTemplates.ChatMl,
            _ => TestTemplates.ChatMlTools,
        };
        return SyntheticModel.Create(options.Shape, options.Seed, string.IsNullOrEmpty(template) ? null : template, !options.LoudSpecials);
    }
}
