using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;

namespace ContinualNative.NativeTests;

/// <summary>A real model, small enough for every run: what we generate must be what llama.cpp generates.</summary>
public sealed class StoriesTests
{
    private const string Lily = ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it,";

    [Fact]
    public async Task Greedy_text_equals_llama_cpp_s()
    {
        await using InferenceEngine engine = await LoadAsync();

        Assert.Equal(Lily, await CompleteAsync(engine, "Once upon a time", 48));
        Assert.StartsWith(" was a big, red ball. He liked to play with his ball.", await CompleteAsync(engine, "The big dog", 48));
    }

    [Fact]
    public async Task Sixteen_at_once_give_what_each_gives_alone()
    {
        await using InferenceEngine engine = await LoadAsync(parallel: 16);
        string[] prompts = [.. Enumerable.Range(0, 16).Select(i => (i % 4) switch
        {
            0 => "Once upon a time",
            1 => "The big dog",
            2 => string.Concat(Enumerable.Repeat("One day, Tom and his mom went to the park. ", 1 + (i / 4))),
            _ => "Lily and Ben saw " + new string('a', i),
        })];
        int[] lengths = [.. Enumerable.Range(0, 16).Select(i => 16 + (i * 5))];
        string[] alone = new string[16];
        await using (InferenceEngine single = await LoadAsync(parallel: 1, prefixCache: false))
        {
            for (int i = 0; i < 16; i++)
            {
                alone[i] = await CompleteAsync(single, prompts[i], lengths[i]);
            }
        }

        string[] together = await Task.WhenAll(Enumerable.Range(0, 16).Select(i => CompleteAsync(engine, prompts[i], lengths[i])));

        Assert.Equal(alone, together);
    }

    private static Task<InferenceEngine> LoadAsync(int parallel = 4, bool prefixCache = true) => InferenceEngine.LoadAsync(new EngineOptions
    {
        ModelPath = SharedAssets.Path("models/stories260K/stories260K-f32.gguf"),
        Parallel = parallel,
        PrefixCache = prefixCache,
        // One thread: spinning threads on a busy machine make each other wait.
        Threads = 1,
        ThreadPoll = 0,
    }, cancellationToken: TestContext.Current.CancellationToken);

    private static async Task<string> CompleteAsync(InferenceEngine engine, string prompt, int maxTokens)
    {
        using RunningAnswer answer = engine.Generate(new GenerationRequest
        {
            Prompt = engine.Tokenizer.Encode(prompt, addSpecial: true, parseSpecial: false),
            MaxTokens = maxTokens,
            Sampling = new SamplingOptions { Temperature = 0 },
        });
        StringBuilder text = new();
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(TestContext.Current.CancellationToken))
        {
            text.Append(chunk.Text);
        }
        await answer.Completion;
        return text.ToString();
    }
}
