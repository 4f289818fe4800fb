using System.Text;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Bench;

/// <summary>
/// Asks the local model, in the engine that serves, for the intent of every utterance, once, at temperature 0 and with all 150 intents as
/// <c>guided_choice</c>, and keeps what the router would have known of each answer.
/// </summary>
internal static class RoutingRecorder
{
    private const string Choices = "choices.txt";
    private const string Train = "train.jsonl";

    /// <summary>Reads the files that <c>routing.cs</c> wrote into a folder, and writes the features file.</summary>
    public static async Task RunAsync(string model, string adapter, string folder, string output, CancellationToken cancellationToken)
    {
        string[] choices = [.. (await File.ReadAllLinesAsync(Path.Combine(folder, Choices), cancellationToken)).Where(static line => line.Length > 0)];
        List<RoutingRow> rows = [.. Read(folder, Train).Select(static e => Row(RoutingRow.Learned, e, null, default, 0, false))];
        // Every row's seat is fixed before the answers come in whatever order.
        (string Set, Example Example)[] asked =
        [
            .. Read(folder, "exchangeable.jsonl").Select(static e => (RoutingRow.Exchangeable, e)),
            .. Read(folder, "drift.jsonl").Select(static e => (RoutingRow.Drift, e)),
        ];
        RoutingRow[] answers = new RoutingRow[asked.Length];
        await using InferenceEngine engine = await InferenceEngine.LoadAsync(
            new EngineOptions { ModelPath = model, AdapterPath = adapter, Parallel = 8, ContextLength = 256 }, cancellationToken: cancellationToken);
        ChatPromptBuilder prompts = new(engine);
        RoutingProgress progress = new("recording", "answers", asked.Length);
        await Parallel.ForAsync(
            0,
            asked.Length,
            new ParallelOptions { MaxDegreeOfParallelism = engine.Options.Parallel * 2, CancellationToken = cancellationToken },
            async (i, cancel) =>
            {
                answers[i] = await AskAsync(engine, prompts, choices, asked[i].Set, asked[i].Example, cancel);
                progress.Add();
            });
        rows.AddRange(answers);
        RoutingRow.Write(output, rows);
        foreach (IGrouping<string, RoutingRow> set in answers.GroupBy(static a => a.Set))
        {
            Console.Error.WriteLine($"{set.Key}: {set.Count(static a => a.Correct)} of {set.Count()} answers right ({set.Average(static a => a.Correct ? 1.0 : 0.0):P1})");
        }
    }

    private static IReadOnlyList<Example> Read(string folder, string file) => ExampleReader.ReadFile(Path.Combine(folder, file));

    private static async Task<RoutingRow> AskAsync(
        InferenceEngine engine, ChatPromptBuilder prompts, string[] choices, string set, Example example, CancellationToken cancellationToken)
    {
        ChatMessage[] before = [.. example.Messages!.SkipLast(1)];
        PreparedChat chat = prompts.Prepare(new ChatPrompt { Messages = before, GuidedChoice = choices });
        using RunningAnswer running = engine.Generate(chat.ToRequest() with { Sampling = new SamplingOptions { Temperature = 0 } }, cancellationToken);
        StringBuilder text = new();
        await foreach (GenerationChunk chunk in running.ReadAllAsync(cancellationToken))
        {
            text.Append(chunk.Text);
        }
        GenerationResult end = await running.Completion;
        return Row(set, example, text.ToString(), end.Confidence, end.PromptTokens, end.FinishReason == FinishReason.Length);
    }

    // Log-probabilities may be −∞, which JSON has no word for: they are kept as the router takes them.
    private static RoutingRow Row(string set, Example example, string? answer, in Confidence confidence, int promptTokens, bool truncated)
    {
        RoutingFeatures features = RoutingFeatures.Of(confidence, promptTokens, novelty: 0, truncated, early: false);
        return new RoutingRow(
            set,
            example.Messages![^2].Content!,
            example.Target,
            answer,
            features.MeanLogProb,
            features.MinLogProb,
            features.FirstTokenMargin,
            features.MeanEntropy,
            features.Tokens,
            promptTokens,
            truncated);
    }
}
