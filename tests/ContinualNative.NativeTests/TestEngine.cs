using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;

namespace ContinualNative.NativeTests;

/// <summary>Shorthands for tests that run an engine.</summary>
internal static class TestEngine
{
    public static Task<InferenceEngine> LoadAsync(string path, int parallel = 4, bool prefixCache = true, int contextLength = 0, int kvTokens = 0, int batchTokens = 512, int prefillChunk = 128, int threads = 1, long prefixCacheMemory = 512L << 20, double? prefixCacheShare = null) =>
        InferenceEngine.LoadAsync(
            new EngineOptions
            {
                ModelPath = path,
                Parallel = parallel,
                PrefixCache = prefixCache,
                PrefixCacheMemory = prefixCacheMemory,
                PrefixCacheShare = prefixCacheShare,
                ContextLength = contextLength,
                KvTokens = kvTokens,
                BatchTokens = batchTokens,
                PrefillChunk = prefillChunk,
                Threads = threads,
                ExactAttention = true,
                ThreadPoll = 0,
            },
            cancellationToken: TestContext.Current.CancellationToken);

    public static GenerationRequest Greedy(int[] prompt, int maxTokens, string? adapter = null) => new()
    {
        Prompt = prompt,
        MaxTokens = maxTokens,
        Adapter = adapter,
        Sampling = new SamplingOptions { Temperature = 0 },
    };

    /// <summary>The whole text of an answer.</summary>
    public static async Task<string> TextAsync(this RunningAnswer answer)
    {
        using (answer)
        {
            StringBuilder text = new();
            await foreach (GenerationChunk chunk in answer.ReadAllAsync(TestContext.Current.CancellationToken))
            {
                text.Append(chunk.Text);
            }
            return text.ToString();
        }
    }

    /// <summary>The tokens of an answer, with their log-probabilities; the request must ask for them.</summary>
    public static async Task<(List<TokenInfo> Tokens, GenerationResult Result)> TokensAsync(this RunningAnswer answer)
    {
        using (answer)
        {
            List<TokenInfo> tokens = [];
            await foreach (GenerationChunk chunk in answer.ReadAllAsync(TestContext.Current.CancellationToken))
            {
                tokens.AddRange(chunk.Tokens);
            }
            return (tokens, await answer.Completion);
        }
    }
}
