using ContinualNative.Core.Curation;
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
    private readonly Replayer _replayer = new(hub, model);

    /// <summary>What both answered; requests that either could not answer at all are left out.</summary>
    public async Task<IReadOnlyList<PairedAnswer>> CompareAsync(
        IReadOnlyList<EvaluationRequest> requests, string champion, string candidate, Action<int> progress, CancellationToken cancellationToken)
    {
        PairedAnswer?[] pairs = new PairedAnswer?[requests.Count];
        int done = 0;
        await Parallel.ForAsync(0, requests.Count, new ParallelOptions { MaxDegreeOfParallelism = _replayer.Parallel, CancellationToken = cancellationToken }, async (i, cancel) =>
        {
            pairs[i] = await CompareAsync(requests[i], champion, candidate, cancel);
            progress(Interlocked.Increment(ref done));
        });
        return [.. pairs.OfType<PairedAnswer>()];
    }

    /// <summary>Whether an answer agrees with the truth, by its task's measure, and how far.</summary>
    public (double Agreement, bool Right) Score(string task, string answer, string truth)
    {
        TaskDefinition definition = hub.Tasks.Find(task) ?? hub.Tasks.Resolve(null, null, null);
        // Decision: judging costs a call for each answer, and a gate asks hundreds; what is judged in labels is measured by similarity here.
        AgreementMeasure measure = definition.Measure == AgreementMeasure.Judge ? AgreementMeasure.Similarity : definition.Measure;
        double agreement = Agreement.ToolCallScore(answer, truth) ?? Agreement.Score(measure, answer, truth, static t => PromptEmbedder.Embed(t));
        return (agreement, measure == definition.Measure ? definition.Passes(agreement) : agreement >= Agreement.DefaultPassMark(measure));
    }

    private async Task<PairedAnswer?> CompareAsync(EvaluationRequest request, string champion, string candidate, CancellationToken cancellationToken)
    {
        // Equal draws for both: what differs is the model.
        ulong seed = Convert.ToUInt64(request.RequestId[..16], 16);
        if (await _replayer.AskAsync(request.Prompt, champion, early: false, seed, cancellationToken) is not { } old
            || await _replayer.AskAsync(request.Prompt, candidate, early: false, seed, cancellationToken) is not { } young)
        {
            return null;
        }
        (double oldAgreement, bool oldRight) = Score(request.Task, old.Answer, request.Truth);
        (double youngAgreement, bool youngRight) = Score(request.Task, young.Answer, request.Truth);
        return new PairedAnswer(
            request.RequestId, request.Slice, oldAgreement, youngAgreement, oldRight, youngRight, old.Valid, young.Valid, old.Elapsed.TotalSeconds, young.Elapsed.TotalSeconds);
    }
}
