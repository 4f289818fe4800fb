using System.Diagnostics;
using System.Text;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Signal;

/// <summary>What an adapter answered to a stored request.</summary>
/// <param name="Answer">In the form of <see cref="RequestRecord.LocalAnswer"/>.</param>
/// <param name="Result">The engine's figures.</param>
/// <param name="Seen">What the router would have judged by: the whole answer's confidence, or its beginning's.</param>
/// <param name="Valid">Whether it ended by itself and is not empty.</param>
/// <param name="Elapsed">Time from the question to the whole answer; zero where it was not timed.</param>
internal sealed record Replay(string Answer, GenerationResult Result, Confidence Seen, bool Valid, TimeSpan Elapsed);

/// <summary>Asks an adapter again what a client asked before. Requests of clients go first.</summary>
internal sealed class Replayer(SignalHub hub, ServedModel model)
{
    private const int MostTokens = 256;

    // About a step of a small model: what is queued may be waiting for no more than the next one.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(5);

    /// <summary>Answers that may run at once without keeping clients from theirs.</summary>
    public int Parallel => Math.Max(1, model.Engine.Options.Parallel / 2);

    /// <summary>Asks several, <see cref="Parallel"/> at once; each as <see cref="AskAsync"/> does.</summary>
    /// <param name="asked">The stored requests, with their seeds.</param>
    /// <param name="adapter">The adapter's id, or <see cref="ModelAddress.Base"/>.</param>
    /// <param name="timed">Whether their times are to tell something of the adapter.</param>
    /// <param name="answered">Called after each.</param>
    /// <param name="cancellationToken">Stops the answers.</param>
    public async Task<Replay?[]> AskAllAsync(IReadOnlyList<(string Prompt, ulong? Seed)> asked, string adapter, bool timed, Action? answered, CancellationToken cancellationToken)
    {
        Replay?[] answers = new Replay?[asked.Count];
        await System.Threading.Tasks.Parallel.ForAsync(0, asked.Count, new ParallelOptions { MaxDegreeOfParallelism = Parallel, CancellationToken = cancellationToken }, async (i, cancel) =>
        {
            answers[i] = await AskAsync(asked[i].Prompt, adapter, early: false, asked[i].Seed, timed, cancel);
            answered?.Invoke();
        });
        return answers;
    }

    /// <summary>null for a request that this model can't answer: it says nothing of others.</summary>
    /// <param name="prompt">The stored request.</param>
    /// <param name="adapter">The adapter's id, or <see cref="ModelAddress.Base"/>.</param>
    /// <param name="early">Whether the router would have judged a stream's beginning.</param>
    /// <param name="seed">Decides the draws of requests that name no seed themselves; null: other ones each time.</param>
    /// <param name="timed">Whether its time is to tell something of the adapter, and not of what the prefix cache holds.</param>
    /// <param name="cancellationToken">Stops the answer.</param>
    public async Task<Replay?> AskAsync(string prompt, string adapter, bool early, ulong? seed, bool timed, CancellationToken cancellationToken)
    {
        try
        {
            while (model.Engine.Statistics.Queued > 0)
            {
                // By the system's clock: it waits for the engine, which knows no other.
                await Task.Delay(Patience, cancellationToken);
            }
            long begun = Stopwatch.GetTimestamp();
            ChatRequest chat = RequestText.Read(prompt);
            PreparedChat prepared = model.Prompts.Prepare(chat.ToPrompt());
            using RunningAnswer answer = model.Engine.Generate(
                prepared.ToRequest() with
                {
                    Adapter = adapter,
                    Sampling = chat.Sampling with { Seed = chat.Sampling.Seed ?? seed },
                    Stop = chat.Stop,
                    MaxTokens = Math.Min(chat.MaxTokens ?? MostTokens, MostTokens),
                    EarlyTokens = early ? hub.Options.HoldBack : 0,
                    ComputeWholePrompt = timed,
                },
                cancellationToken);
            StringBuilder text = new();
            await foreach (GenerationChunk chunk in answer.ReadAllAsync(cancellationToken))
            {
                text.Append(chunk.Text);
            }
            GenerationResult result = await answer.Completion.WaitAsync(cancellationToken);
            (string said, List<ToolCall> calls) = ChatCompletions.Split(text.ToString(), prepared.NewReader());
            string whole = RequestText.OfAnswer(said, calls);
            // Cut off counts as invalid only where the client set no limit of its own.
            bool ended = result.FinishReason != FinishReason.Length || chat.MaxTokens is not null;
            return new Replay(whole, result, early ? await answer.Early : result.Confidence, ended && whole.Length > 0, timed ? Stopwatch.GetElapsedTime(begun) : TimeSpan.Zero);
        }
        catch (Exception e) when (e is EngineException { Error: not (EngineError.NotFound or EngineError.ShuttingDown) } or ApiException or Core.Redaction.RedactionException)
        {
            return null;
        }
    }
}
