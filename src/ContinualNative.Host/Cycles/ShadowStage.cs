using System.Text.Json;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Teaching;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Cycles;

/// <summary>How the candidate's answers to live requests compare with those that were sent.</summary>
internal sealed record ShadowResult
{
    /// <summary>Live requests that the candidate answered too.</summary>
    public int Compared { get; set; }

    /// <summary>Of them, those whose answer agrees with the one that was sent.</summary>
    public int Agreed { get; set; }

    /// <summary>Answers of the candidate that have no proper end, or are empty.</summary>
    public int Invalid { get; set; }

    /// <summary>Position of the last live request that was looked at.</summary>
    public long Sequence { get; set; }

    /// <summary>Fresh requests that the gate's verdict rests on now.</summary>
    public int Fresh { get; set; }

    public string ToJson() => JsonSerializer.Serialize(this, CycleJson.Options);
}

/// <summary>
/// The candidate answers live requests unseen: its answers are compared, not sent. Each fresh request whose truth is known adds to the evidence; the gate is asked
/// again after each, which its test allows.
/// </summary>
internal sealed class ShadowStage(CycleContext context, CycleRecord cycle, EvaluateStage evaluate)
{
    private const int MostAtOnce = 8;

    /// <summary>Runs until the gate decides, or the stage's time or fresh requests are used up.</summary>
    public async Task<(GateVerdict Verdict, ShadowResult Result)> RunAsync(GateEvidence evidence, CancellationToken cancellationToken)
    {
        Replayer replayer = new(context.Hub, context.Model);
        ShadowResult result = new() { Sequence = cycle.Sequence };
        GateVerdict verdict = evaluate.Judge(evidence);
        int most = Math.Min(context.Options.Gate.MostFresh, evidence.Fresh.Count + context.Options.ShadowRequests);
        while (true)
        {
            await context.Store.FlushAsync(cancellationToken);
            long last = context.Store.LastSequence();
            if (last > cycle.Sequence)
            {
                verdict = await evaluate.AddFreshAsync(evidence, cycle.Sequence, last, most, cancellationToken);
                await CompareAsync(replayer, result, last, cancellationToken);
            }
            result.Fresh = evidence.Fresh.Count;
            if (verdict.Decision == GateDecision.Reject || (verdict.Decision == GateDecision.Pass && result.Compared >= context.Options.ShadowLeast))
            {
                return (verdict, result);
            }
            if (context.Now - cycle.ChangedAt >= context.Options.ShadowFor || (verdict.Decision == GateDecision.Undecided && evidence.Fresh.Count >= most))
            {
                // A gain that is shown needs no more traffic than there is; one that is not shown by now is none.
                return (verdict, result);
            }
            context.Report(new CycleProgress(cycle.Id, cycle.State, $"{result.Compared} live requests answered unseen, {evidence.Fresh.Count} of them judged: {verdict.Summary}", null, null));
            await context.Pause(cancellationToken);
        }
    }

    private async Task CompareAsync(Replayer replayer, ShadowResult result, long last, CancellationToken cancellationToken)
    {
        if (result.Compared >= Math.Max(context.Options.ShadowLeast, context.Options.ShadowRequests))
        {
            result.Sequence = last;
            return;
        }
        IReadOnlyList<SignalKey> keys = context.Store.WindowKeys(result.Sequence, last, MostAtOnce);
        SignalRequest[] answered = [.. context.Store.SignalRequests([.. keys.Select(static k => k.RequestId)]).Where(r => r.LocalAnswer is not null && r.Adapter == cycle.Champion)];
        Replay?[] answers = await replayer.AskAllAsync([.. answered.Select(static r => (r.Prompt, (ulong?)null))], cycle.Candidate, timed: false, null, cancellationToken);
        foreach ((SignalRequest request, Replay? answer) in answered.Zip(answers))
        {
            if (answer is not null)
            {
                result.Compared++;
                result.Invalid += answer.Valid ? 0 : 1;
                result.Agreed += Agreement.Score(AgreementMeasure.Normalized, answer.Answer, request.LocalAnswer!) >= 1 ? 1 : 0;
            }
        }
        result.Sequence = keys.Count > 0 ? keys[^1].Sequence : last;
    }
}
