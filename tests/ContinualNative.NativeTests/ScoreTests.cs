using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests;

/// <summary>
/// The loss that <see cref="InferenceEngine.ScoreAsync"/> gives, beside plain calls of <c>llama_decode</c>: one sequence, whole rows of logits, log-softmax in double precision.
/// </summary>
public sealed class ScoreTests
{
    // Relative, for texts that go through one decode as in the loop; measured: 1e-7.
    private const double Tolerance = 1e-5;

    // For texts whose tokens are spread over decodes of other sizes, or share them. On the CPU llama.cpp sums attention over f16 values in f16
    // when a decode has fewer than 64 tokens and in f32 otherwise; a plain loop of one token at a time differs from one of 16 by as much: 2e-4.
    private const double ToleranceAcrossSizes = 5e-4;

    private static readonly string[] Texts =
    [
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.",
        "Once upon a time, there was a little girl named Lily. She had a cat, and the cat had a hat that was too small for it.",
        "The big dog ran to the tree. \"Come down!\" said Tom.",
        "q9#Zz ÄÖ 日本 \t\n~~",
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. But it rained.",
    ];

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_loss_equals_llama_cpp_s_own()
    {
        string model = SharedAssets.Path("models/stories260K/stories260K-f32.gguf");
        await using InferenceEngine alone = await LoadAsync(model, prefixCache: false);
        await using InferenceEngine engine = await LoadAsync(model, prefixCache: true);
        using PlainDecode plain = new(model, null);

        await CompareAsync(alone, engine, plain, Encode(engine), adapter: null);
    }

    [Fact]
    public async Task The_loss_under_an_adapter_of_a_real_model_equals_llama_cpp_s_own()
    {
        string model = SharedAssets.Path("models/stories260K/stories260K-f32.gguf");
        GgufFile file = GgufFile.Read(model);
        TestModelOptions shape = new()
        {
            Layers = (int)file.GetUInt32("llama.block_count"),
            Width = (int)file.GetUInt32("llama.embedding_length"),
            Heads = (int)file.GetUInt32("llama.attention.head_count"),
            KvHeads = (int)file.GetUInt32("llama.attention.head_count_kv"),
            FeedForward = (int)file.GetUInt32("llama.feed_forward_length"),
        };
        await CompareWithAdapterAsync(model, shape, adapterScale: 0.3f);
    }

    [Theory]
    [InlineData("llama", "F32")]
    [InlineData("qwen2", "F32")]
    [InlineData("qwen3", "F32")]
    public async Task The_loss_under_an_adapter_equals_llama_cpp_s_own(string architecture, string quantization)
    {
        TestModelOptions options = new() { Architecture = architecture };
        await CompareWithAdapterAsync(TestModel.Get(options, quantization), options, adapterScale: 1f);
    }

    private static async Task CompareWithAdapterAsync(string model, TestModelOptions options, float adapterScale)
    {
        string folder = Directory.CreateTempSubdirectory("score").FullName;
        try
        {
            string adapter = Path.Combine(folder, "a.gguf");
            TestAdapter.Write(adapter, options, scale: adapterScale);
            await using InferenceEngine alone = await LoadAsync(model, prefixCache: false);
            await using InferenceEngine engine = await LoadAsync(model, prefixCache: true);
            await alone.Adapters.LoadAsync("a", adapter, Cancelled);
            await engine.Adapters.LoadAsync("a", adapter, Cancelled);
            int[][] tokens = Encode(engine);
            using PlainDecode bare = new(model, null);
            using PlainDecode adapted = new(model, adapter);

            double without = await CompareAsync(alone, engine, bare, tokens, "base");
            double with = await CompareAsync(alone, engine, adapted, tokens, "a");
            // The two share every prefix: had one used the other's cells, its loss would be another.
            await CompareAsync(alone, engine, bare, tokens, "base");

            Assert.True(Math.Abs(with - without) > 0.01, $"the adapter changes nothing: {without} and {with}");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static int[][] Encode(InferenceEngine engine) => [.. Texts.Select(t => engine.Tokenizer.Encode(t, addSpecial: true, parseSpecial: false))];

    private static Task<InferenceEngine> LoadAsync(string model, bool prefixCache) =>
        InferenceEngine.LoadAsync(new EngineOptions { ModelPath = model, Parallel = 4, Threads = 2, PrefillChunk = 512, PrefixCache = prefixCache, ThreadPoll = 0 }, cancellationToken: Cancelled);

    /// <summary>Alone, then with the prefixes in the cache, then all at once beside running answers; gives the mean loss.</summary>
    private static async Task<double> CompareAsync(InferenceEngine alone, InferenceEngine engine, PlainDecode plain, int[][] tokens, string? adapter)
    {
        double[] expected = [.. tokens.Select(t => plain.Loss(t, From(t)))];
        (long cached, long restored) = (engine.Statistics.CachedPromptTokens, engine.Statistics.PrefixesRestored);
        for (int i = 0; i < tokens.Length; i++)
        {
            Same(expected[i], await LossAsync(alone, tokens[i], adapter), Tolerance, $"text {i}, alone");
            Same(expected[i], await LossAsync(engine, tokens[i], adapter), ToleranceAcrossSizes, $"text {i}, with a cache");
        }
        Assert.True(engine.Statistics.CachedPromptTokens > cached, "the prefix cache was not used");
        Assert.True(engine.Statistics.PrefixesRestored > restored, "nothing came back from host memory");
        using RunningAnswer beside = Generate(engine, tokens[0], adapter);
        int[] order = [.. Enumerable.Range(0, tokens.Length * 4).Select(i => i % tokens.Length)];
        double[] together = await Task.WhenAll(order.Select(i => LossAsync(engine, tokens[i], adapter)));
        for (int i = 0; i < order.Length; i++)
        {
            Same(expected[order[i]], together[i], ToleranceAcrossSizes, $"text {order[i]}, batched");
        }
        return expected.Average();
    }

    // The prefix before it is long enough to come back from host memory.
    private static int From(int[] tokens) => Math.Max(1, tokens.Length / 2);

    private static void Same(double expected, double actual, double tolerance, string what) =>
        Assert.True(Math.Abs(actual - expected) <= tolerance * Math.Abs(expected), $"{what}: {actual:R} instead of {expected:R}, relative difference {Math.Abs(actual - expected) / expected:0.0e0}");

    private static RunningAnswer Generate(InferenceEngine engine, int[] tokens, string? adapter) =>
        engine.Generate(new GenerationRequest { Prompt = tokens.AsMemory(0, 8), MaxTokens = 200, Adapter = adapter, IgnoreEnd = true, Sampling = new SamplingOptions { Seed = 1 } });

    private static async Task<double> LossAsync(InferenceEngine engine, int[] tokens, string? adapter)
    {
        float[] logProbs = await engine.ScoreAsync(tokens, From(tokens), adapter, Cancelled);
        Assert.Equal(tokens.Length - From(tokens), logProbs.Length);
        return -logProbs.Average(p => (double)p);
    }

    private sealed class PlainDecode : IDisposable
    {
        private readonly LlamaModelHandle _model;
        private readonly LlamaAdapterHandle? _adapter;
        private readonly LlamaContextHandle _context;
        private readonly LlamaBatch _batch = new(512);

        public PlainDecode(string model, string? adapter)
        {
            _model = LlamaModelHandle.Load(model);
            _adapter = adapter is null ? null : LlamaAdapterHandle.Load(_model, adapter);
            _context = LlamaContextHandle.Create(_model, new LlamaContextOptions { KvTokens = 512, MaxSequences = 1, MaxOutputs = 512, BatchTokens = 512, Threads = 1, Unified = false });
            _context.SetAdapter(_adapter);
        }

        public double Loss(int[] tokens, int from)
        {
            _context.Clear();
            _batch.Clear();
            for (int at = 0; at < tokens.Length - 1; at++)
            {
                _batch.Add(tokens[at], at, 0, output: true);
            }
            Assert.Equal(0, _context.Decode(_batch));
            double sum = 0;
            for (int at = from; at < tokens.Length; at++)
            {
                Span<float> row = _context.Logits(at - 1);
                double largest = double.NegativeInfinity;
                foreach (float logit in row)
                {
                    largest = Math.Max(largest, logit);
                }
                double total = 0;
                foreach (float logit in row)
                {
                    total += Math.Exp(logit - largest);
                }
                sum -= row[tokens[at]] - largest - Math.Log(total);
            }
            return sum / (tokens.Length - from);
        }

        public void Dispose()
        {
            _batch.Dispose();
            _context.Dispose();
            _adapter?.Dispose();
            _model.Dispose();
        }
    }
}
