using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests;

/// <summary>House rule: the token loop allocates nothing on the managed heap in steady state.</summary>
public sealed class AllocationTests
{
    [Theory]
    [InlineData(0f, 1f, 0)]
    [InlineData(0.8f, 0.9f, 0)]
    [InlineData(1f, 1f, 40)]
    public async Task The_engine_thread_allocates_nothing_per_token(float temperature, float topP, int topK)
    {
        await using InferenceEngine engine = await TestEngine.LoadAsync(TestModel.Get("llama"), parallel: 4);
        SamplingOptions sampling = new()
        {
            Temperature = temperature,
            TopP = topP,
            TopK = topK,
            Seed = 5,
            PresencePenalty = 0.1f,
            FrequencyPenalty = 0.1f,
            LogitBias = new Dictionary<int, float> { [300] = 1f },
        };
        GenerationRequest request = new()
        {
            Prompt = engine.Tokenizer.Encode("One two three", addSpecial: true, parseSpecial: false),
            MaxTokens = 900,
            IgnoreEnd = true,
            Sampling = sampling,
            Stop = ["a text that no model of random weights ever writes"],
        };
        RunningAnswer[] answers = [.. Enumerable.Range(0, 4).Select(i => engine.Generate(request with { Sampling = sampling with { Seed = (ulong)i } }))];
        Task<int>[] readers = [.. answers.Select(CountAsync)];
        // Buffers grow and code is compiled in the first part; the rest is the steady state, seen in five windows. The runtime itself now and then adds a
        // thread to its pool from whichever thread queues work, so one window may show that; a cost per token would show in all.
        await WaitForAsync(engine, 4 * 400);
        List<long> windows = [];
        for (int window = 1; window <= 5; window++)
        {
            long bytes = engine.EngineThreadAllocatedBytes;
            await WaitForAsync(engine, 4 * (400 + (80 * window)));
            windows.Add(engine.EngineThreadAllocatedBytes - bytes);
        }
        int[] counts = await Task.WhenAll(readers);

        Assert.All(counts, count => Assert.Equal(900, count));
        Assert.True(windows.Count(static bytes => bytes == 0) >= 4, $"bytes allocated in windows of 320 tokens: {string.Join(", ", windows)}");
        Assert.True(windows.Max() < 4096, $"bytes allocated in windows of 320 tokens: {string.Join(", ", windows)}");
    }

    private static async Task WaitForAsync(InferenceEngine engine, long tokens)
    {
        while (engine.Statistics.GeneratedTokens < tokens)
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }
    }

    private static async Task<int> CountAsync(RunningAnswer answer)
    {
        int count = 0;
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(TestContext.Current.CancellationToken))
        {
            count += chunk.TokenCount;
        }
        return count;
    }
}
