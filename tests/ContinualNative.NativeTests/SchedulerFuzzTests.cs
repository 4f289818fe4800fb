using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests;

/// <summary>
/// Adapters, shared prefixes, cancellations, swaps and unloads by chance, thousands of steps long: every answer that ends must be the one that an
/// engine with nothing else to do, and no prefix cache, gives. KV of another adapter version would show at once.
/// </summary>
public sealed class SchedulerFuzzTests(ITestOutputHelper output)
{
    private const int Adapters = 3;
    private static readonly TestModelOptions Model = new() { Architecture = "llama", Seed = 11, Context = 512 };

    [Theory]
    [InlineData(1, 512L << 20, null, 20)]
    [InlineData(2, 512L << 20, 0.25, 20)]
    // Room for about eight prefixes.
    [InlineData(3, 700L << 10, null, 4)]
    [InlineData(4, 0L, null, 0)]
    public async Task Every_answer_equals_the_one_of_a_fresh_context(int seed, long hostMemory, double? share, int leastRestored)
    {
        string path = TestModel.Get(Model);
        Random random = new(seed);
        await using InferenceEngine oracle = await TestEngine.LoadAsync(path, parallel: 1, prefixCache: false);
        // Few cells and a small batch: evictions, chunked prompts and waiting happen all the time.
        await using InferenceEngine engine = await TestEngine.LoadAsync(path, parallel: 6, contextLength: 192, kvTokens: 192 * 7, batchTokens: 64, prefillChunk: 24, prefixCacheMemory: hostMemory, prefixCacheShare: share);
        for (int i = 0; i < Adapters; i++)
        {
            byte[] adapter = TestAdapter.ToBytes(Model, rank: 4, seed: (ulong)(100 + i));
            await oracle.Adapters.LoadAsync($"a{i}", adapter, TestContext.Current.CancellationToken);
            await engine.Adapters.LoadAsync($"a{i}", adapter, TestContext.Current.CancellationToken);
        }
        int[][] prefixes = [.. Enumerable.Range(0, 4).Select(_ => Tokens(random, engine, random.Next(20, 100)))];
        List<Task<(GenerationRequest Request, string Adapter, string Text, FinishReason Reason)>> answers = [];
        int generation = 0;
        for (int i = 0; i < 220; i++)
        {
            switch (random.Next(12))
            {
                case 0:
                    engine.Adapters.Promote(random.Next(4) > 0 ? Some(engine, random) : null);
                    break;
                case 1:
                    await ReloadAsync(engine, oracle, random.Next(Adapters), generation++);
                    break;
                case 2:
                    await Task.Delay(random.Next(8), TestContext.Current.CancellationToken);
                    break;
                default:
                    answers.Add(RunAsync(engine, random, prefixes));
                    break;
            }
        }
        (GenerationRequest Request, string Adapter, string Text, FinishReason Reason)[] all = await Task.WhenAll(answers);

        int compared = 0;
        int ties = 0;
        foreach ((GenerationRequest request, string adapter, string text, FinishReason reason) in all)
        {
            if (reason is not (FinishReason.Stop or FinishReason.Length))
            {
                continue;
            }
            compared++;
            // Reloaded adapters carry their contents in their name, so the oracle has every version that was ever used.
            if (text != await oracle.Generate(request with { Adapter = adapter }).TextAsync())
            {
                ties += await IsTieAsync(oracle, request with { Adapter = adapter }, text) ? 1 : throw Different(request, adapter, text);
            }
        }
        EngineStatistics statistics = engine.Statistics;
        output.WriteLine($"{statistics.Steps} steps, {compared} answers compared, {ties} by their likelihood, {statistics.Cancelled} cancelled, {statistics.AdapterSwitches} switches, {statistics.CachedPromptTokens} of {statistics.CachedPromptTokens + statistics.PromptTokens} prompt tokens from the cache, {statistics.PrefixesRestored} prefixes restored, {statistics.CachedPrefixes} kept in {statistics.PrefixCacheBytes} bytes");
        Assert.True(statistics.Steps > 1000 && statistics.AdapterSwitches > 100 && statistics.Cancelled > 5 && statistics.CachedPromptTokens > 500, "the fuzz did too little to mean anything");
        Assert.True(hostMemory == 0 ? statistics.PrefixesRestored == 0 : statistics.PrefixesRestored >= leastRestored, $"{statistics.PrefixesRestored} prefixes came back from host memory");
        Assert.InRange(statistics.PrefixCacheBytes, hostMemory == 0 ? 0 : 1, hostMemory);
        Assert.Equal(0, statistics.Running);
        Assert.True(compared > 80);
        // A tie in the first place is rare; many would mean that something else is wrong.
        Assert.True(ties <= 2, $"{ties} answers differ");
    }

    private static Xunit.Sdk.XunitException Different(GenerationRequest request, string adapter, string text) =>
        new Xunit.Sdk.XunitException($"Under {adapter}, a prompt of {request.Prompt.Length} tokens gave '{text}', which the model alone would not say.");

    // Rounding differs by 2e-5 between batches of different shapes: when the two likeliest tokens lie closer than that, either is right. The token at which the
    // texts part must then be as likely as the best one.
    private static async Task<bool> IsTieAsync(InferenceEngine oracle, GenerationRequest request, string text)
    {
        (List<TokenInfo> tokens, _) = await oracle.Generate(request with { TopLogProbs = 2 }).TokensAsync();
        StringBuilder said = new();
        foreach (TokenInfo token in tokens)
        {
            string next = said + Encoding.UTF8.GetString(oracle.Tokenizer.Bytes(token.Token));
            if (!text.StartsWith(next, StringComparison.Ordinal))
            {
                return token.Top[0].LogProb - token.Top[1].LogProb < 1e-3f;
            }
            said.Clear().Append(next);
        }
        return false;
    }

    private static string Some(InferenceEngine engine, Random random) => engine.Adapters.List() is var all ? all[random.Next(all.Count)].Id : "";

    private static async Task ReloadAsync(InferenceEngine engine, InferenceEngine oracle, int index, int generation)
    {
        // Unload an earlier one that is not the champion, and load new contents under a new name beside it.
        string? victim = engine.Adapters.List().Where(static a => !a.IsChampion && a.Id[0] == 'g').Select(static a => a.Id).Skip(index).FirstOrDefault();
        if (victim is not null)
        {
            engine.Adapters.Unload(victim);
        }
        byte[] adapter = TestAdapter.ToBytes(Model, rank: 4, seed: (ulong)(1000 + generation));
        await oracle.Adapters.LoadAsync($"g{generation}", adapter, TestContext.Current.CancellationToken);
        AdapterInfo info = await engine.Adapters.LoadAsync($"g{generation}", adapter, TestContext.Current.CancellationToken);
        Assert.Equal(4, info.Rank);
    }

    private static async Task<(GenerationRequest, string, string, FinishReason)> RunAsync(InferenceEngine engine, Random random, int[][] prefixes)
    {
        int[] prefix = prefixes[random.Next(prefixes.Length)];
        int[] prompt = [.. prefix[..random.Next(1, prefix.Length + 1)], .. Tokens(random, engine, random.Next(1, 12))];
        string?[] adapters = [null, null, "base", .. engine.Adapters.List().Select(a => a.Id)];
        GenerationRequest request = TestEngine.Greedy(prompt, random.Next(1, 40), adapters[random.Next(adapters.Length)]);
        bool cancel = random.Next(6) == 0;
        int after = random.Next(10);
        RunningAnswer answer = engine.Generate(request);
        StringBuilder text = new();
        int chunks = 0;
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(TestContext.Current.CancellationToken))
        {
            text.Append(chunk.Text);
            if (cancel && chunks++ >= after)
            {
                answer.Dispose();
            }
        }
        GenerationResult result = await answer.Completion;
        return (request, result.Adapter, text.ToString(), result.FinishReason);
    }

    private static int[] Tokens(Random random, InferenceEngine engine, int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            do
            {
                tokens[i] = random.Next(engine.Model.VocabularySize);
            }
            while (engine.Tokenizer.IsControl(tokens[i]) || engine.Tokenizer.IsEnd(tokens[i]));
        }
        return tokens;
    }
}
