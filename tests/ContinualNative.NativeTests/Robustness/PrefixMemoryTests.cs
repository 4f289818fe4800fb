using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Interop.Llama;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Prefixes that nobody uses wait in host memory: what is found there again, how much it may hold, and when it is given back.</summary>
public sealed class PrefixMemoryTests
{
    private static readonly TestModelOptions Model = new() { Architecture = "llama", Seed = 21, Context = 512 };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_follow_up_turn_finds_what_the_first_left_in_host_memory()
    {
        await using InferenceEngine plain = await LoadAsync(static o => TestEngines.Exact(o));
        await using InferenceEngine engine = await LoadAsync();
        int[] first = Prompt(engine, seed: 1, length: 90);
        (_, List<TokenInfo> answer, GenerationResult result) = await engine.RunAsync(Request(first, 20), Cancel);
        await engine.UntilIdleAsync();
        Assert.Equal((0, 20), (result.CachedTokens, answer.Count));
        EngineStatistics after = engine.Statistics;
        Assert.Equal((0, 1, 0L), (after.KvTokensUsed, after.CachedPrefixes, after.PrefixesRestored));
        Assert.True(after.PrefixCacheBytes > 0);

        int[] second = [.. first, .. answer.Select(static t => t.Token), .. Prompt(engine, seed: 2, length: 10)];
        (_, List<TokenInfo> tokens, result) = await engine.RunAsync(Request(second, 20), Cancel);
        await engine.UntilIdleAsync();

        // The last token of the first answer was drawn, not computed.
        Assert.Equal(first.Length + answer.Count - 1, result.CachedTokens);
        Assert.Equal(1, engine.Statistics.PrefixesRestored);
        // The longer conversation holds what the shorter did, which is gone.
        Assert.Equal((0, 1), (engine.Statistics.KvTokensUsed, engine.Statistics.CachedPrefixes));
        (_, List<TokenInfo> expected, _) = await plain.RunAsync(Request(second, 20), Cancel);
        Assert.Equal(expected.Select(static t => t.Token), tokens.Select(static t => t.Token));
        Assert.All(expected.Zip(tokens), static pair => Assert.Equal(pair.First.LogProb, pair.Second.LogProb, 1e-3f));
    }

    [Fact]
    public async Task Requests_that_come_together_restore_their_prefix_once()
    {
        await using InferenceEngine engine = await LoadAsync(static o => o with { Parallel = 6, ContextLength = 256 });
        int[] prefix = Prompt(engine, seed: 1, length: 100);
        await engine.RunAsync(Request(prefix, 1), Cancel);
        await engine.UntilIdleAsync();
        Assert.Equal(0, engine.Statistics.KvTokensUsed);

        RunningAnswer[] answers = [.. Enumerable.Range(0, 6).Select(i => engine.Generate(Request([.. prefix, .. Prompt(engine, seed: 10 + i, length: 5)], 100), Cancel))];
        foreach (RunningAnswer answer in answers)
        {
            (_, _, GenerationResult result) = await answer.CollectAsync();
            Assert.InRange(result.CachedTokens, prefix.Length, prefix.Length + 4);
            answer.Dispose();
        }

        Assert.Equal(1, engine.Statistics.PrefixesRestored);
        await engine.UntilIdleAsync();
        Assert.Equal(0, engine.Statistics.KvTokensUsed);
    }

    [Fact]
    public async Task Host_memory_holds_what_it_may_and_the_oldest_goes()
    {
        long one;
        await using (InferenceEngine probe = await LoadAsync())
        {
            await probe.RunAsync(Request(Prompt(probe, seed: 0, length: 64), 2), Cancel);
            one = probe.Statistics.PrefixCacheBytes;
        }
        await using InferenceEngine engine = await LoadAsync(o => o with { PrefixCacheMemory = one * 5 / 2 });
        int[][] prompts = [.. Enumerable.Range(0, 6).Select(i => Prompt(engine, seed: i, length: 64))];
        for (int i = 0; i < prompts.Length; i++)
        {
            await engine.RunAsync(Request(prompts[i], 2), Cancel);
            await engine.UntilIdleAsync();
            Assert.Equal((0, Math.Min(i + 1, 2), one * Math.Min(i + 1, 2)), (engine.Statistics.KvTokensUsed, engine.Statistics.CachedPrefixes, engine.Statistics.PrefixCacheBytes));
        }
        Assert.Equal(63, (await engine.RunAsync(Request(prompts[4], 2), Cancel)).Result.CachedTokens);
        Assert.Equal(0, (await engine.RunAsync(Request(prompts[3], 2), Cancel)).Result.CachedTokens);
        // The fifth was used again, so the sixth was the oldest and gave way to the fourth.
        Assert.Equal(0, (await engine.RunAsync(Request(prompts[5], 2), Cancel)).Result.CachedTokens);

        await using InferenceEngine small = await LoadAsync(o => o with { PrefixCacheMemory = one - 1 });
        await small.RunAsync(Request(prompts[0], 2), Cancel);
        await small.UntilIdleAsync();
        Assert.Equal((0, 0, 0L), (small.Statistics.KvTokensUsed, small.Statistics.CachedPrefixes, small.Statistics.PrefixCacheBytes));
        Assert.Equal(0, (await small.RunAsync(Request(prompts[0], 2), Cancel)).Result.CachedTokens);
    }

    [Fact]
    public async Task Without_host_memory_idle_prefixes_stay_in_cells()
    {
        await using InferenceEngine engine = await LoadAsync(static o => o with { PrefixCacheMemory = 0 });
        Assert.Equal(0.25, engine.Options.PrefixCacheShare);
        int[] prompt = Prompt(engine, seed: 1, length: 64);
        await engine.RunAsync(Request(prompt, 2), Cancel);
        await engine.UntilIdleAsync();
        Assert.Equal((65, 1, 0L), (engine.Statistics.KvTokensUsed, engine.Statistics.CachedPrefixes, engine.Statistics.PrefixCacheBytes));
        Assert.Equal(63, (await engine.RunAsync(Request(prompt, 2), Cancel)).Result.CachedTokens);
        Assert.Equal(0, engine.Statistics.PrefixesRestored);
    }

    [Fact]
    public async Task Host_memory_is_given_back_with_its_adapter_and_with_the_engine()
    {
        InferenceEngine engine = await LoadAsync();
        await engine.Adapters.LoadAsync("a", TestAdapter.ToBytes(Model, rank: 4, seed: 5), Cancel);
        int[] prompt = Prompt(engine, seed: 1, length: 64);
        await engine.RunAsync(Request(prompt, 2) with { Adapter = "a" }, Cancel);
        await engine.UntilIdleAsync();
        long one = engine.Statistics.PrefixCacheBytes;
        Assert.True(one > 0);
        // The same tokens under the bare model are other KV.
        Assert.Equal(0, (await engine.RunAsync(Request(prompt, 2) with { Adapter = "base" }, Cancel)).Result.CachedTokens);
        await engine.UntilIdleAsync();
        Assert.Equal(2 * one, engine.Statistics.PrefixCacheBytes);

        engine.Adapters.Unload("a");
        await TestEngines.UntilAsync(() => engine.Statistics is { CachedPrefixes: 1 } s && s.PrefixCacheBytes == one, "the adapter's prefix is gone");

        await engine.DisposeAsync();
        Assert.Equal((0, 0L), (engine.Statistics.CachedPrefixes, engine.Statistics.PrefixCacheBytes));
    }

    [Fact]
    public void A_saved_sequence_comes_back_under_any_id_or_not_at_all()
    {
        using LlamaModelHandle model = LlamaModelHandle.Load(TestModel.Get(Model));
        using LlamaContextHandle context = LlamaContextHandle.Create(model, new LlamaContextOptions { KvTokens = 256, MaxSequences = 2, MaxOutputs = 2, BatchTokens = 256, Threads = 1, ExactAttention = true });
        using LlamaBatch batch = new(256);
        Random random = new(3);
        for (int at = 0; at < 150; at++)
        {
            batch.Add(random.Next(model.Vocabulary.Size), at, 1, output: false);
        }
        Assert.Equal(0, context.Decode(batch));
        float[] expected = Next();
        using LlamaSequenceState state = context.SaveState(1, context.StateBytes(1))!;
        Assert.NotNull(state);
        Assert.Null(context.SaveState(1, context.StateBytes(1) - 1));

        // 150 cells are in use, so 150 more are too many of 256.
        Assert.False(context.RestoreState(state, 200));
        Assert.Equal(-1, context.LastPosition(200));
        context.Remove(1);
        Assert.True(context.RestoreState(state, 200));
        Assert.Equal((149, -1), (context.LastPosition(200), context.LastPosition(1)));
        context.Share(200, 1, 150);
        context.Remove(200);
        Assert.Equal(expected, Next());

        // The logits after one more token, which is forgotten again.
        float[] Next()
        {
            batch.Clear();
            int index = batch.Add(7, 150, 1, output: true);
            Assert.Equal(0, context.Decode(batch));
            float[] logits = context.Logits(index).ToArray();
            Assert.True(context.Remove(1, 150));
            return logits;
        }
    }

    private static Task<InferenceEngine> LoadAsync(Func<EngineOptions, EngineOptions>? change = null) =>
        TestEngines.LoadAsync(Model, o => (change ?? (static o => o))(o with { ContextLength = 256, Parallel = 2 }));

    private static GenerationRequest Request(int[] prompt, int tokens) => TestEngines.Greedy(prompt, tokens) with { IgnoreEnd = true, TopLogProbs = 0 };

    private static int[] Prompt(InferenceEngine engine, int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(engine.Model.VocabularySize))];
    }
}
