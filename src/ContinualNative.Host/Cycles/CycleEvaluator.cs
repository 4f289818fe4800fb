using System.Security.Cryptography;
using System.Text;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Cycles;

/// <summary>Asks champion and candidate the same requests and holds both answers against the truth. Requests of clients go first.</summary>
internal sealed class CycleEvaluator(SignalHub hub, ServedModel model)
{
    // Decision: the champion's prompts are in the prefix cache, since clients asked it the same, and the candidate's are not. What is timed is computed whole; one block that begins with each of
    // them tells enough, and prompts may be long.
    private const int TimedBlocks = 2;

    private readonly Replayer _replayer = new(hub, model);

    /// <summary>Whether an answer agrees with the truth, by its task's measure, and how far.</summary>
    public (double Agreement, bool Right) Score(string task, string answer, string truth)
    {
        TaskDefinition definition = hub.Tasks.Find(task) ?? hub.Tasks.Resolve(null, null, null);
        // Decision: judging costs a call for each answer, and a gate asks hundreds; what is judged in labels is measured by similarity here.
        AgreementMeasure measure = definition.Measure == AgreementMeasure.Judge ? AgreementMeasure.Similarity : definition.Measure;
        double agreement = Agreement.ToolCallScore(answer, truth) ?? Agreement.Score(measure, answer, truth, static t => PromptEmbedder.Embed(t));
        return (agreement, measure == definition.Measure ? definition.Passes(agreement) : agreement >= Agreement.DefaultPassMark(measure));
    }

    /// <summary>What both answer to each request; null where either could not answer at all. Told of progress: requests that both have answered.</summary>
    public async Task<IReadOnlyList<BothAnswers?>> AskBothAsync(IReadOnlyList<(string RequestId, string Prompt)> requests, string champion, string candidate, Action<int> progress, CancellationToken cancellationToken)
    {
        List<BothAnswers?> answers = new(requests.Count);
        int given = 0;
        // Decision: the engine computes one batch per adapter, so answers of one adapter at a time share their batches; and in blocks that begin with the one and
        // the other by turns, so that whatever else the machine does while they are timed falls on both alike.
        foreach ((int number, (string RequestId, string Prompt)[] block) in requests.Chunk(4 * _replayer.Parallel).Index())
        {
            // Equal draws for both: what differs is the model.
            (string Prompt, ulong? Seed)[] asked = [.. block.Select(static r => (r.Prompt, (ulong?)Convert.ToUInt64(r.RequestId[..16], 16)))];
            bool candidateFirst = number % 2 == 1;
            Replay?[] first = await AskAsync(candidateFirst ? candidate : champion);
            Replay?[] second = await AskAsync(candidateFirst ? champion : candidate);
            (Replay?[] old, Replay?[] young) = candidateFirst ? (second, first) : (first, second);
            answers.AddRange(old.Zip(young, static (a, b) => a is not null && b is not null ? new BothAnswers(a, b) : null));

            Task<Replay?[]> AskAsync(string adapter) =>
                _replayer.AskAllAsync(asked, adapter, number < TimedBlocks, () => progress(Interlocked.Increment(ref given) / 2), cancellationToken);
        }
        return answers;
    }

    /// <summary>Both answers held against the truth.</summary>
    public PairedAnswer Pair(string requestId, string slice, string task, BothAnswers both, string truth)
    {
        (double oldAgreement, bool oldRight) = Score(task, both.Champion.Answer, truth);
        (double youngAgreement, bool youngRight) = Score(task, both.Candidate.Answer, truth);
        return Pair(requestId, slice, both, oldAgreement, youngAgreement, oldRight, youngRight) with { TruthId = TruthIdOf(truth) };
    }

    private static string TruthIdOf(string truth) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(truth)).AsSpan(0, 6));

    /// <summary>Both answers where they say the same: whatever the truth is, neither is the better one. They count as right.</summary>
    public static PairedAnswer Tie(string requestId, string slice, BothAnswers both) => Pair(requestId, slice, both, 1, 1, true, true);

    private static PairedAnswer Pair(string requestId, string slice, BothAnswers both, double old, double young, bool oldRight, bool youngRight) => new(
        requestId, slice, old, young, oldRight, youngRight, both.Champion.Valid, both.Candidate.Valid, both.Champion.Elapsed.TotalSeconds, both.Candidate.Elapsed.TotalSeconds);
}

/// <summary>What champion and candidate answered to one request.</summary>
internal sealed record BothAnswers(Replay Champion, Replay Candidate);
