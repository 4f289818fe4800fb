using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests;

/// <summary>Adapters do what merged weights do, and come and go while others run.</summary>
public sealed class AdapterTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    public async Task An_adapter_s_log_probabilities_equal_those_of_the_merged_model(string architecture)
    {
        TestModelOptions options = new() { Architecture = architecture, Seed = 3 };
        string folder = Directory.CreateTempSubdirectory("continual-adapter-").FullName;
        try
        {
            string model = TestModel.Get(options);
            string adapter = Path.Combine(folder, "adapter.gguf");
            string merged = Path.Combine(folder, "merged.gguf");
            TestAdapter.Write(adapter, options, rank: 8, alpha: 16, seed: 9, scale: 0.5f);
            TestAdapter.Merge(model, adapter, merged);
            await using InferenceEngine with = await TestEngine.LoadAsync(model);
            await using InferenceEngine into = await TestEngine.LoadAsync(merged);
            await with.Adapters.LoadAsync("tuned", adapter, Token);
            int[] tokens = with.Tokenizer.Encode("The quick brown fox jumps over the lazy dog and then it sleeps.", addSpecial: true, parseSpecial: false);

            float[] adapted = await with.ScoreAsync(tokens, 1, "tuned", Token);
            float[] baked = await into.ScoreAsync(tokens, 1, null, Token);
            float[] bare = await with.ScoreAsync(tokens, 1, "base", Token);

            // Measured: at most 3e-4 between adapter and merge; the adapter itself moves them by whole nats.
            Assert.True(Distance(adapted, baked) < 2e-3, $"adapter and merged model differ by {Distance(adapted, baked)}");
            Assert.True(Distance(adapted, bare) > 0.1, "the adapter changes nothing, so the test shows nothing");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_running_stream_keeps_its_adapter_when_another_is_promoted_and_its_own_unloaded()
    {
        TestModelOptions options = new() { Seed = 4 };
        await using InferenceEngine engine = await TestEngine.LoadAsync(TestModel.Get(options));
        await engine.Adapters.LoadAsync("old", TestAdapter.ToBytes(options, seed: 1), Token);
        await engine.Adapters.LoadAsync("new", TestAdapter.ToBytes(options, seed: 2), Token);
        int[] prompt = engine.Tokenizer.Encode("Once upon a time", addSpecial: true, parseSpecial: false);
        GenerationRequest request = TestEngine.Greedy(prompt, 300) with { IgnoreEnd = true };
        string expected = await engine.Generate(request with { Adapter = "old" }).TextAsync();
        engine.Adapters.Promote("old");

        RunningAnswer running = engine.Generate(request);
        Task<string> text = running.TextAsync();
        Assert.Equal("old", await running.Admitted);
        engine.Adapters.Promote("new");
        engine.Adapters.Unload("old");
        RunningAnswer next = engine.Generate(request);
        string nextText = await next.TextAsync();

        Assert.Equal(expected, await text);
        Assert.Equal("new", (await next.Completion).Adapter);
        Assert.NotEqual(expected, nextText);
        EngineException gone = Assert.Throws<EngineException>(() => engine.Generate(request with { Adapter = "old" }));
        Assert.Equal(EngineError.NotFound, gone.Error);
    }

    [Fact]
    public async Task The_champion_can_not_be_unloaded_and_ids_are_unique()
    {
        TestModelOptions options = new() { Seed = 4 };
        await using InferenceEngine engine = await TestEngine.LoadAsync(TestModel.Get(options));
        await engine.Adapters.LoadAsync("one", TestAdapter.ToBytes(options, seed: 1), Token);
        engine.Adapters.Promote("one");

        Assert.Equal(EngineError.Conflict, Assert.Throws<EngineException>(() => engine.Adapters.Unload("one")).Error);
        Assert.Equal(EngineError.Conflict, (await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("one", TestAdapter.ToBytes(options, seed: 1), Token))).Error);
        Assert.Equal(EngineError.InvalidRequest, (await Assert.ThrowsAsync<EngineException>(() => engine.Adapters.LoadAsync("base", TestAdapter.ToBytes(options, seed: 1), Token))).Error);
        engine.Adapters.Promote(null);
        engine.Adapters.Unload("one");
        Assert.Empty(engine.Adapters.List());
    }

    private static double Distance(float[] a, float[] b) => a.Zip(b, static (x, y) => Math.Abs((double)x - y)).Max();
}
