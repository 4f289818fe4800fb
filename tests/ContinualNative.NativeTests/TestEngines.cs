using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests;

/// <summary>Engines on test models, and what most tests do with them.</summary>
internal static class TestEngines
{
    /// <summary>
    /// For tests that compare texts: computing a whole prompt and only its last token gives log-probabilities that differ by up to 2e-3 (measured; other
    /// kernels, and keys and values in half precision), which now and then is another token.
    /// </summary>
    public static EngineOptions Exact(EngineOptions options) => options with { PrefixCache = false };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static Task<InferenceEngine> LoadAsync(string architecture, Func<EngineOptions, EngineOptions>? change = null) => LoadFileAsync(TestModel.Get(architecture), change);

    public static Task<InferenceEngine> LoadAsync(TestModelOptions model, Func<EngineOptions, EngineOptions>? change = null) => LoadFileAsync(TestModel.Get(model), change);

    public static Task<InferenceEngine> LoadFileAsync(string path, Func<EngineOptions, EngineOptions>? change = null)
    {
        // One thread: the machines that run tests are busy, and spinning threads make each other wait.
        EngineOptions options = new() { ModelPath = path, ModelName = "test", Threads = 1, ThreadPoll = 0, ExactAttention = true };
        return InferenceEngine.LoadAsync(change is null ? options : change(options), cancellationToken: Cancel);
    }

    public static GenerationRequest Greedy(int[] prompt, int maxTokens) => new()
    {
        Prompt = prompt,
        MaxTokens = maxTokens,
        Sampling = new SamplingOptions { Temperature = 0 },
    };

    public static int[] Tokens(this InferenceEngine engine, string text) => engine.Tokenizer.Encode(text, addSpecial: true, parseSpecial: false);

    public static async Task<(string Text, List<TokenInfo> Tokens, GenerationResult Result)> RunAsync(this InferenceEngine engine, GenerationRequest request, CancellationToken cancellationToken = default)
    {
        using RunningAnswer answer = engine.Generate(request, cancellationToken);
        return await answer.CollectAsync();
    }

    public static async Task<(string Text, List<TokenInfo> Tokens, GenerationResult Result)> CollectAsync(this RunningAnswer answer)
    {
        StringBuilder text = new();
        List<TokenInfo> tokens = [];
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(Cancel))
        {
            text.Append(chunk.Text);
            tokens.AddRange(chunk.Tokens);
        }
        return (text.ToString(), tokens, await answer.Completion);
    }

    /// <summary>Waits until the condition holds; fails after <paramref name="seconds"/>.</summary>
    public static async Task UntilAsync(Func<bool> condition, string what, double seconds = 30)
    {
        DateTime end = DateTime.UtcNow.AddSeconds(seconds);
        while (!condition())
        {
            if (DateTime.UtcNow > end)
            {
                Assert.Fail($"After {seconds} s still not: {what}.");
            }
            await Task.Delay(5, Cancel);
        }
    }

    /// <summary>Nothing runs and nothing waits.</summary>
    public static Task UntilIdleAsync(this InferenceEngine engine) => UntilAsync(() => engine.Statistics is { Running: 0, Queued: 0 }, "no sequence runs or waits");
}
