using ContinualNative.Engine;
using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;
using ContinualNative.Training;

namespace ContinualNative.NativeTests.Training;

/// <summary>The trainer's log-probabilities against llama.cpp's, token by token, on every architecture and type.</summary>
public sealed class TrainerParityTests
{
    private const int Tokens = 96;

    // Bounds on the mean of |Δ ln p| in nats, for training in F32 and in bf16, and behind each pair the largest measured on the three architectures.
    // llama.cpp rounds activations to the type that a weight's dot product takes (F16, BF16 or blocks of 8 bits) and the trainer in F32 doesn't, so
    // that its F32 column tells llama.cpp's rounding. Random weights with loud logits magnify it: a trained model shows far less.
    private static readonly Dictionary<string, (double F32, double Bf16)> Bounds = new()
    {
        ["F32"] = (1e-5, 0.03), // 2.2e-6, 1.5e-2
        ["F16"] = (3e-3, 0.03), // 1.2e-3, 1.6e-2
        ["BF16"] = (0.02, 0.03), // 1.0e-2, 1.3e-2
        ["Q4_0"] = (0.06, 0.07), // 3.0e-2, 3.6e-2
        ["Q4_1"] = (0.07, 0.07), // 3.5e-2, 3.6e-2
        ["Q5_0"] = (0.07, 0.08), // 3.4e-2, 4.0e-2
        ["Q5_1"] = (0.07, 0.08), // 3.2e-2, 3.7e-2
        ["Q8_0"] = (0.06, 0.07), // 3.1e-2, 3.5e-2
        ["Q2_K"] = (0.08, 0.09), // 4.2e-2, 4.5e-2
        ["Q3_K_M"] = (0.08, 0.09), // 4.1e-2, 4.6e-2
        ["Q4_K_M"] = (0.08, 0.09), // 4.2e-2, 4.4e-2
        ["Q5_K_M"] = (0.08, 0.09), // 4.1e-2, 4.3e-2
        ["Q6_K"] = (0.08, 0.09), // 3.9e-2, 4.4e-2
        ["IQ4_NL"] = (0.07, 0.07), // 3.4e-2, 3.7e-2
        ["IQ4_XS"] = (0.09, 0.09), // 4.7e-2, 4.5e-2
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string architecture in (string[])["llama", "qwen2", "qwen3"])
            {
                foreach (string type in TestQuantization.All)
                {
                    cases.Add(architecture, type);
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Log_probabilities_are_the_engines(string architecture, string type)
    {
        string path = TestModel.Get(architecture, type);
        int[] tokens = RandomTokens(path);
        await CompareAsync($"{architecture} {type}", path, tokens, type);
    }

    [Theory]
    [InlineData("f32", "F32")]
    [InlineData("q8_0", "Q8_0")]
    [InlineData("q4_0", "Q4_0")]
    public async Task A_trained_model_agrees_too(string file, string type)
    {
        string path = SharedAssets.Path($"models/stories260K/stories260K-{file}.gguf");
        await using InferenceEngine engine = await TestEngine.LoadAsync(path);
        int[] tokens = engine.Tokenizer.Encode("Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big dog.", addSpecial: true, parseSpecial: false);
        await CompareAsync($"stories260K {type}", path, tokens, type);
    }

    private static async Task CompareAsync(string name, string path, int[] tokens, string type)
    {
        float[] expected;
        await using (InferenceEngine engine = await TestEngine.LoadAsync(path, parallel: 1, prefixCache: false))
        {
            expected = await engine.ScoreAsync(tokens, 1, cancellationToken: TestContext.Current.CancellationToken);
        }
        (double f32, double largest) = Difference(path, tokens, expected, TrainingPrecision.F32);
        (double bf16, double largestBf16) = Difference(path, tokens, expected, TrainingPrecision.Bf16);
        TestContext.Current.TestOutputHelper?.WriteLine($"| {name} | {f32:E1} | {largest:E1} | {bf16:E1} | {largestBf16:E1} |");
        (double boundF32, double boundBf16) = Bounds[type];
        Assert.InRange(f32, 0, boundF32);
        Assert.InRange(bf16, 0, boundBf16);
    }

    private static (double Mean, double Largest) Difference(string path, int[] tokens, float[] expected, TrainingPrecision precision)
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(path);
        using TrainerHandle trainer = TrainerHandle.Create(model, new TrainerOptions { Precision = precision, MaxTokens = tokens.Length, MaxSequences = 1, Rank = 2, Threads = 2 });
        float[] actual = SequenceScorer.LogProbs(trainer, tokens, [.. Enumerable.Range(1, tokens.Length - 1)], TestContext.Current.CancellationToken);
        double[] differences = [.. actual.Zip(expected, static (a, b) => (double)Math.Abs(a - b))];
        return (differences.Average(), differences.Max());
    }

    private static int[] RandomTokens(string path)
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(path);
        Random random = new(7);
        int vocabulary = model.Info.Vocabulary;
        return [.. Enumerable.Range(0, Tokens).Select(_ => random.Next(300, vocabulary - 10))];
    }
}
