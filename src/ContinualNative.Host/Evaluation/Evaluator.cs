using System.Text;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.Evaluation;

/// <summary>Runs examples through the engine's scheduler, many at a time.</summary>
/// <param name="engine">The model; its champion is what is evaluated.</param>
/// <param name="choices">The only answers allowed, or null.</param>
/// <param name="maxTokens">
/// Most tokens of an answer; 0: no answers, the loss only; null: for a chat, twice the target's tokens and 16. Raw text has no end, so that an
/// answer to a raw prompt is never longer than its target.
/// </param>
internal sealed class Evaluator(InferenceEngine engine, ChoiceSet? choices, int? maxTokens)
{
    /// <summary>Results in the order of the examples; progress is told as how many are done.</summary>
    public async Task<ExampleResult[]> RunAsync(IReadOnlyList<EncodedExample> examples, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ExampleResult[] results = new ExampleResult[examples.Count];
        int done = 0;
        ParallelOptions options = new() { MaxDegreeOfParallelism = engine.Options.Parallel * 2, CancellationToken = cancellationToken };
        await Parallel.ForAsync(0, examples.Count, options, async (i, cancel) =>
        {
            results[i] = await RunAsync(examples[i], cancel);
            progress?.Report(Interlocked.Increment(ref done));
        });
        return results;
    }

    /// <summary>The sums over results, in their order, so that equal results give equal sums.</summary>
    public static EvaluationTotals Total(IEnumerable<ExampleResult> results)
    {
        EvaluationTotals totals = new();
        foreach (ExampleResult result in results)
        {
            EncodedExample encoded = result.Encoded;
            totals.Add(encoded.Example.Weight, result.NegativeLogLikelihood, encoded.TargetTokens, encoded.From, result.GeneratedTokens, result.Exact);
        }
        return totals;
    }

    private async Task<ExampleResult> RunAsync(EncodedExample encoded, CancellationToken cancellationToken)
    {
        // The score first: it leaves its tokens in the prefix cache, so that the prompt is computed once.
        float[] score = await engine.ScoreAsync(encoded.Text, encoded.From, cancellationToken: cancellationToken);
        string? answer = null;
        GenerationResult? end = null;
        if (maxTokens != 0)
        {
            (answer, end) = await AnswerAsync(encoded, cancellationToken);
        }
        return new ExampleResult(
            encoded,
            EvaluationTotals.NegativeLogLikelihood(score),
            answer,
            answer is not null && EvaluationTotals.IsExact(AfterThinking(answer), encoded.Example.Target),
            end?.CompletionTokens ?? 0,
            end?.FinishReason ?? FinishReason.None,
            end?.Confidence ?? default);
    }

    private async Task<(string Answer, GenerationResult End)> AnswerAsync(EncodedExample encoded, CancellationToken cancellationToken)
    {
        using RunningAnswer running = engine.Generate(
            new GenerationRequest
            {
                Prompt = encoded.Prompt,
                MaxTokens = MaxTokens(encoded),
                Sampling = new SamplingOptions { Temperature = 0 },
                Grammar = choices?.GrammarFor(encoded.Example.Target),
            },
            cancellationToken);
        StringBuilder text = new();
        await foreach (GenerationChunk chunk in running.ReadAllAsync(cancellationToken))
        {
            text.Append(chunk.Text);
        }
        return (text.ToString(), await running.Completion);
    }

    private int MaxTokens(EncodedExample encoded)
    {
        if (choices is not null)
        {
            // The grammar ends the answer; this is only a bound. A choice has no more tokens than bytes, its leading space and its end included.
            return choices.LongestBytes + encoded.Example.Target.Length + 2;
        }
        // A few tokens more than the target's, where it begins inside the prompt's last token or the model spells it otherwise.
        return encoded.Example.Messages is not null
            ? maxTokens ?? (encoded.TargetTokens * 2) + 16
            : Math.Min(maxTokens ?? int.MaxValue, encoded.TargetTokens);
    }

    // Models that think aloud first do so between these tags; the answer is what follows.
    private static string AfterThinking(string answer)
    {
        const string Close = "</think>";
        int end = answer.AsSpan().TrimStart().StartsWith("<think>", StringComparison.Ordinal) ? answer.IndexOf(Close, StringComparison.Ordinal) : -1;
        return end < 0 ? answer : answer[(end + Close.Length)..];
    }
}
