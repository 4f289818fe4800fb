using System.Globalization;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>What the check found.</summary>
/// <param name="Sequences">Sequences compared, each adapter's counted.</param>
/// <param name="Tokens">Tokens compared.</param>
/// <param name="Error">Mean of |Δ ln p| over them.</param>
/// <param name="Largest">Its largest value.</param>
/// <param name="Spread">Standard deviation of the engine's ln p over the tokens: two models that have nothing in common differ by about as much.</param>
/// <param name="Tolerance">What the mean may be.</param>
/// <param name="Weights">The kind of weights that the tolerance is for.</param>
internal sealed record ParityResult(int Sequences, int Tokens, double Error, double Largest, double Spread, double Tolerance, string Weights)
{
    /// <summary>For people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Tokens} tokens differ by {Error:0.0e+0} nats in the mean (largest {Largest:0.0e+0}, spread {Spread:0.0}), tolerance {Tolerance:0.0e+0} for {Weights}");
}

/// <summary>
/// Whether trainer and engine compute the same model: the log-probabilities of some of the data's own tokens, by both, before the first step. A
/// trainer that reads a weight wrongly, or rotates positions the other way, would train an adapter for a model that nobody serves.
/// </summary>
internal sealed class ParityCheck
{
    private const int MostSequences = 2;
    private const int MostTokens = 256;
    private const int MostPositions = 64;

    private readonly List<(int[] Tokens, int[] Positions)> _sequences = [];
    private readonly List<float[]> _plain = [];
    private readonly List<float[]> _adapted = [];
    private readonly string _weights;

    private ParityCheck(TrainingPlan plan, string weights, int context)
    {
        _weights = weights;
        int length = Math.Min(MostTokens, Math.Min(context, plan.Options.SequenceLength));
        int positions = Math.Min(MostPositions, plan.MaxTargets);
        foreach (TrainingExample example in plan.Train.Take(64).OrderByDescending(static e => e.Tokens.Length).Take(MostSequences))
        {
            int[] tokens = example.Tokens.Length <= length ? example.Tokens : example.Tokens[..length];
            int count = Math.Min(positions, tokens.Length - 1);
            // Spread evenly, the last token among them.
            _sequences.Add((tokens, [.. Enumerable.Range(1, count).Select(i => (int)((long)i * (tokens.Length - 1) / count)).Distinct()]));
        }
    }

    /// <summary>
    /// Scores with the engine, which is gone again afterwards. <paramref name="adapter"/>: a GGUF adapter to score with too, or null.
    /// </summary>
    public static async Task<ParityCheck> ScoreAsync(TrainingPlan plan, string modelPath, int context, string? adapter, int threads, CancellationToken cancellationToken)
    {
        ParityCheck check = new(plan, WeightsOf(modelPath), context);
        EngineOptions options = new()
        {
            ModelPath = modelPath,
            Parallel = 1,
            ContextLength = Math.Min(context, MostTokens),
            Threads = threads,
            ThreadPoll = 0,
            PrefixCache = false,
            ExactAttention = true,
        };
        await using InferenceEngine engine = await InferenceEngine.LoadAsync(options, cancellationToken: cancellationToken);
        await check.ScoreAsync(engine, null, check._plain, cancellationToken);
        if (adapter is not null)
        {
            const string Id = "init";
            await engine.Adapters.LoadAsync(Id, adapter, cancellationToken);
            await check.ScoreAsync(engine, Id, check._adapted, cancellationToken);
        }
        return check;
    }

    /// <summary>Scores with an engine that serves; its attention is not exact, which is little beside the tolerance of any weights but f32.</summary>
    public static async Task<ParityCheck> ScoreServedAsync(TrainingPlan plan, string modelPath, InferenceEngine engine, CancellationToken cancellationToken)
    {
        string weights = WeightsOf(modelPath);
        // Its attention keeps keys and values in f16.
        ParityCheck check = new(plan, weights == "f32" && !engine.Options.ExactAttention ? "f16" : weights, engine.Options.ContextLength);
        await check.ScoreAsync(engine, Core.Adapters.ModelAddress.Base, check._plain, cancellationToken);
        return check;
    }

    /// <summary>
    /// Compares with a fresh trainer; <paramref name="import"/> gives it the adapter to begin with. Throws <see cref="ParityException"/> when the two
    /// do not compute the same.
    /// </summary>
    public ParityResult Compare(TrainerHandle trainer, TrainingPrecision precision, Action import, CancellationToken cancellationToken)
    {
        double[] expected = [.. _plain.Concat(_adapted).SelectMany(static p => p).Select(static p => (double)p)];
        double mean = expected.Average();
        double spread = Math.Sqrt(expected.Average(p => (p - mean) * (p - mean)));
        double tolerance = ToleranceOf(_weights, precision, spread);
        List<double> differences = [];
        Compare(trainer, _plain, differences, cancellationToken);
        import();
        if (_adapted.Count > 0)
        {
            Compare(trainer, _adapted, differences, cancellationToken);
        }
        ParityResult result = new(_plain.Count + _adapted.Count, differences.Count, differences.Average(), differences.Max(), spread, tolerance, $"{_weights} weights trained in {precision.ToString().ToLowerInvariant()}");
        // Written so that NaN fails too.
        return result.Error <= tolerance ? result : throw new ParityException(result);
    }

    /// <summary>f32, f16, bf16 or quantized: the loosest kind that a matrix of the model has.</summary>
    internal static string WeightsOf(string path)
    {
        HashSet<GgmlType> types = [.. ModelFile.Read(path).Tensors.Where(static t => t.Shape.Count > 1).Select(static t => t.Type)];
        return types.Any(static t => t is not (GgmlType.F32 or GgmlType.F16 or GgmlType.BF16)) ? "quantized"
            : types.Contains(GgmlType.BF16) ? "bf16"
            : types.Contains(GgmlType.F16) ? "f16" : "f32";
    }

    /// <summary>
    /// The bound on the mean of |Δ ln p|. llama.cpp rounds activations to the type that a weight's dot product asks for (f16, bf16, or 8-bit blocks), and
    /// the trainer doesn't, so that the two differ by what that rounding does; it grows with depth, and with how far apart a model's probabilities lie,
    /// so that part of the bound is a share of that spread. Behind each stands the largest mean measured on the written models of three architectures,
    /// whose random weights magnify it, then on one of 24 layers and a spread of 2.6. A layer computed wrongly makes a difference as large as the spread.
    /// </summary>
    internal static double ToleranceOf(string weights, TrainingPrecision precision, double spread) => (weights, precision) switch
    {
        ("f32", TrainingPrecision.F32) => Math.Max(1e-4, 1e-3 * spread), // 2.2e-6
        ("f16", TrainingPrecision.F32) => Math.Max(0.01, 0.02 * spread), // 1.2e-3, 1.1e-2
        ("bf16", TrainingPrecision.F32) => Math.Max(0.05, 0.15 * spread), // 1.0e-2
        ("quantized", _) => Math.Max(0.2, 0.25 * spread), // 4.7e-2, 3.1e-1; in bf16 4.6e-2, 3.7e-1
        _ => Math.Max(0.1, 0.2 * spread), // 1.6e-2, 1.7e-1
    };

    private async Task ScoreAsync(InferenceEngine engine, string? adapter, List<float[]> into, CancellationToken cancellationToken)
    {
        foreach ((int[] tokens, int[] positions) in _sequences)
        {
            float[] all = await engine.ScoreAsync(tokens, 1, adapter, cancellationToken);
            into.Add([.. positions.Select(p => all[p - 1])]);
        }
    }

    private void Compare(TrainerHandle trainer, List<float[]> expected, List<double> differences, CancellationToken cancellationToken)
    {
        for (int i = 0; i < expected.Count; i++)
        {
            float[] actual = SequenceScorer.LogProbs(trainer, _sequences[i].Tokens, _sequences[i].Positions, cancellationToken);
            differences.AddRange(actual.Zip(expected[i], static (a, b) => (double)Math.Abs(a - b)));
        }
    }
}

/// <summary>Trainer and engine do not compute the same.</summary>
internal sealed class ParityException(ParityResult result)
    : Exception(double.IsNaN(result.Error)
        ? "The model gives no probabilities but NaN: its weights, or the adapter's, are damaged. Fetch the file again."
        : $"The trainer does not compute what the engine serves: {result}. Nothing was trained. If this model is known to be sound, please report it with the model's name; --no-parity-check trains all the same.")
{
    public ParityResult Result { get; } = result;
}
