using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Sampling;
using ContinualNative.Interop.Llama;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Every quantization type on every architecture: it loads, generates, and its next-token distributions stay close to the f32 model's.</summary>
public sealed class QuantizationTests
{
    // Bounds on the mean Kullback-Leibler divergence from f32, in nats a token, over 128 tokens of random text, and behind each
    // the largest one measured on the three architectures. Random weights with loud logits: far more than a trained model would show.
    private static readonly Dictionary<string, double> Bounds = new()
    {
        ["F16"] = 5e-05, // 2.14e-05
        ["BF16"] = 0.002, // 0.000998
        ["Q4_0"] = 1.2, // 0.815
        ["Q4_1"] = 1.2, // 0.808
        ["Q5_0"] = 0.4, // 0.247
        ["Q5_1"] = 0.3, // 0.2
        ["Q8_0"] = 0.012, // 0.0066
        ["Q2_K"] = 5, // 3.81
        ["Q3_K_M"] = 2.6, // 1.86
        ["Q4_K_M"] = 0.95, // 0.635
        ["Q5_K_M"] = 0.28, // 0.183
        ["Q6_K"] = 0.07, // 0.0441
        ["IQ4_NL"] = 1.2, // 0.799
        ["IQ4_XS"] = 1.2, // 0.829
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string architecture in (string[])["llama", "qwen2", "qwen3"])
            {
                foreach (string type in Bounds.Keys)
                {
                    cases.Add(architecture, type);
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Distributions_stay_close_to_f32(string architecture, string type)
    {
        string path = TestModel.Get(architecture, type);
        double divergence = Divergence(Logits(TestModel.Get(architecture)), Logits(path));
        TestContext.Current.TestOutputHelper?.WriteLine($"{architecture} {type}: mean KL {divergence:E2}");
        Assert.InRange(divergence, 0, Bounds[type]);

        await using InferenceEngine engine = await TestEngines.LoadFileAsync(path, TestEngines.Exact);
        GenerationRequest request = TestEngines.Greedy(engine.Tokens("hello world"), 12);
        (string text, _, GenerationResult result) = await engine.RunAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(12, result.CompletionTokens);
        Assert.True(text.Length > 0);
        Assert.Equal(text, (await engine.RunAsync(request, TestContext.Current.CancellationToken)).Text);
    }

    [Fact]
    public void Every_type_has_a_bound() => Assert.Equal(TestQuantization.All.Where(static t => t != "F32").Order(), Bounds.Keys.Order());

    private static double Divergence(float[][] exact, float[][] quantized)
    {
        double sum = 0;
        for (int i = 0; i < exact.Length; i++)
        {
            double p = LogitStatistics.Of(exact[i]).LogSumExp;
            double q = LogitStatistics.Of(quantized[i]).LogSumExp;
            for (int token = 0; token < exact[i].Length; token++)
            {
                double logP = exact[i][token] - p;
                sum += Math.Exp(logP) * (logP - (quantized[i][token] - q));
            }
        }
        return sum / exact.Length;
    }

    private static float[][] Logits(string path)
    {
        const int length = 128;
        using LlamaModelHandle model = LlamaModelHandle.Load(path);
        using LlamaContextHandle context = LlamaContextHandle.Create(model, new LlamaContextOptions { KvTokens = length, MaxSequences = 1, MaxOutputs = length, BatchTokens = length, Threads = 1 });
        using LlamaBatch batch = new(length);
        Random random = new(42);
        for (int i = 0; i < length; i++)
        {
            batch.Add(random.Next(300, model.Vocabulary.Size - 10), i, 0, output: true);
        }
        Assert.Equal(0, context.Decode(batch));
        return [.. Enumerable.Range(0, length).Select(i => context.Logits(i).ToArray())];
    }
}
