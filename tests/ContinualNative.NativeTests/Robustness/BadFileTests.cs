using ContinualNative.Engine;
using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Files that are not what they should be: each a clear error, and the process lives on.</summary>
public sealed class BadFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("continual-bad-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task What_is_no_model_is_refused()
    {
        await RefusedAsync(Write("text.gguf", "this is no model"u8.ToArray()), "not a GGUF file");
        await RefusedAsync(Write("empty.gguf", []), "is empty");
        await RefusedAsync(Path.Combine(_folder, "missing.gguf"), "missing.gguf");
        await RefusedAsync(_folder, Path.GetFileName(_folder));
        await RefusedAsync(Write("magic.gguf", "GGUF"u8.ToArray()), "truncated");
        string adapter = Path.Combine(_folder, "adapter.gguf");
        TestAdapter.Write(adapter, new TestModelOptions());
        await RefusedAsync(adapter, "adapter");
    }

    [Fact]
    public async Task Random_bytes_are_refused()
    {
        Random random = new(1);
        for (int i = 0; i < 40; i++)
        {
            byte[] bytes = new byte[random.Next(1, 20_000)];
            random.NextBytes(bytes);
            if (i % 2 == 0)
            {
                // With a head that looks right, the numbers after it are nonsense.
                "GGUF"u8.CopyTo(bytes.AsSpan(0, Math.Min(4, bytes.Length)));
                if (bytes.Length > 8)
                {
                    BitConverter.TryWriteBytes(bytes.AsSpan(4), 3);
                }
            }
            await RefusedAsync(Write("random.gguf", bytes), "random.gguf");
        }
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3")]
    public async Task A_truncated_model_is_refused_wherever_it_ends(string architecture)
    {
        byte[] whole = await File.ReadAllBytesAsync(TestModel.Get(architecture), Cancel);
        // The head, the metadata, the vocabulary, the tensor list, the data; and all but the last byte.
        int[] lengths = [5, 23, 24, 40, 300, 5_000, 40_000, whole.Length / 2, whole.Length - 100_000, whole.Length - 1, .. Enumerable.Range(1, 12).Select(i => whole.Length / 60 * i)];
        foreach (int length in lengths)
        {
            await RefusedAsync(Write("cut.gguf", whole[..length]), "cut.gguf");
        }
    }

    [Fact]
    public async Task Bad_adapters_are_refused_and_the_engine_goes_on()
    {
        TestModelOptions model = new() { Architecture = "qwen2" };
        await using InferenceEngine engine = await TestEngines.LoadAsync(model, TestEngines.Exact);
        GenerationRequest request = TestEngines.Greedy(engine.Tokens("hello world"), 8);
        string before = (await engine.RunAsync(request, Cancel)).Text;
        byte[] good = TestAdapter.ToBytes(model);

        await Bad("a model", await File.ReadAllBytesAsync(TestModel.Get("qwen2"), Cancel), "is a model, not an adapter");
        await Bad("another architecture", TestAdapter.ToBytes(new TestModelOptions { Architecture = "llama" }), "'llama'");
        await Bad("wider", TestAdapter.ToBytes(model with { Width = 512 }), "×");
        await Bad("more layers", TestAdapter.ToBytes(model with { Layers = 3 }), "does not have");
        await Bad("another inner width", TestAdapter.ToBytes(model with { FeedForward = 768 }), "×");
        await Bad("empty", [], "empty");
        await Bad("text", "no adapter"u8.ToArray(), "not a GGUF");
        foreach (int length in (int[])[10, 24, 200, 1000, good.Length / 2, good.Length - 1])
        {
            await Bad($"cut at {length}", good[..length], "");
        }
        EngineException missing = await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("a", Path.Combine(_folder, "missing.gguf"), Cancel));
        Assert.Equal(EngineError.BadFile, missing.Error);
        Assert.Contains("missing.gguf", missing.Message, StringComparison.Ordinal);
        EngineException name = await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("no/good", good, Cancel));
        Assert.Equal(EngineError.InvalidRequest, name.Error);

        Assert.Empty(engine.Adapters.List());
        Assert.Equal(before, (await engine.RunAsync(request, Cancel)).Text);
        AdapterInfo loaded = await engine.Adapters.LoadAsync("a", good, Cancel);
        Assert.Equal(8, loaded.Rank);
        EngineException twice = await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("a", good, Cancel));
        Assert.Equal(EngineError.Conflict, twice.Error);

        async Task Bad(string what, byte[] bytes, string message)
        {
            string path = Write("adapter.gguf", bytes);
            EngineException fromFile = await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("a", path, Cancel));
            EngineException fromMemory = await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("a", bytes, Cancel));
            Assert.True(fromFile.Error == EngineError.BadFile && fromMemory.Error == EngineError.BadFile, what);
            Assert.Contains(message, fromFile.Message, StringComparison.Ordinal);
            Assert.Contains(message, fromMemory.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task An_adapter_from_memory_equals_the_one_from_its_file()
    {
        TestModelOptions model = new() { Architecture = "qwen3" };
        await using InferenceEngine engine = await TestEngines.LoadAsync(model, TestEngines.Exact);
        byte[] bytes = TestAdapter.ToBytes(model);
        await engine.Adapters.LoadAsync("file", Write("adapter.gguf", bytes), Cancel);
        await engine.Adapters.LoadAsync("memory", bytes, Cancel);
        // Where the bytes were is not used any more.
        Array.Clear(bytes);
        int[] tokens = engine.Tokens("the river and the stone in the winter night");

        float[] fromFile = await engine.ScoreAsync(tokens, 1, "file", Cancel);
        float[] fromMemory = await engine.ScoreAsync(tokens, 1, "memory", Cancel);
        float[] bare = await engine.ScoreAsync(tokens, 1, "base", Cancel);

        Assert.Equal(fromFile, fromMemory);
        Assert.NotEqual(fromFile, bare);
    }

    [Fact]
    public async Task A_start_with_a_bad_adapter_fails_and_frees_what_was_loaded()
    {
        string adapter = Path.Combine(_folder, "other.gguf");
        TestAdapter.Write(adapter, new TestModelOptions { Architecture = "llama" });
        EngineException error = await Assert.ThrowsAsync<EngineException>(() => TestEngines.LoadAsync("qwen2", o => o with { AdapterPath = adapter }));
        Assert.Equal(EngineError.BadFile, error.Error);
    }

    [Fact]
    public async Task Contexts_that_cannot_be_are_refused()
    {
        EngineException longer = await Assert.ThrowsAsync<EngineException>(() => TestEngines.LoadAsync("llama", static o => o with { ContextLength = 100_000 }));
        Assert.Equal((EngineError.InvalidRequest, "ctx"), (longer.Error, longer.Param));
        EngineException smaller = await Assert.ThrowsAsync<EngineException>(() => TestEngines.LoadAsync("llama", static o => o with { ContextLength = 512, KvTokens = 256 }));
        Assert.Equal((EngineError.InvalidRequest, "kv-tokens"), (smaller.Error, smaller.Param));
    }

    private static async Task RefusedAsync(string path, string message)
    {
        EngineException error = await Assert.ThrowsAsync<EngineException>(async () =>
        {
            InferenceEngine engine = await TestEngines.LoadFileAsync(path);
            await engine.DisposeAsync();
        });
        Assert.Equal(EngineError.BadFile, error.Error);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
