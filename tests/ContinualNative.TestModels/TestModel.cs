using ContinualNative.Engine.Gguf;

namespace ContinualNative.TestModels;

/// <summary>Writes small GGUF models of real architectures.</summary>
public static class TestModel
{
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
