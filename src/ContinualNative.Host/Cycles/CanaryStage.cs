using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Cycles;

/// <summary>What came of letting the candidate answer a share of the live requests.</summary>
internal sealed record CanaryResult
{
    /// <summary>Position after which the candidate had its share.</summary>
    public required long Since { get; init; }

    /// <summary>Answers with a known outcome: the candidate's, and of them the good ones.</summary>
    public int Candidate { get; set; }

    public int CandidateGood { get; set; }

    /// <summary>The same of the champion's in the same time.</summary>
    public int Champion { get; set; }

    public int ChampionGood { get; set; }

    public string ToJson() => JsonSerializer.Serialize(this, CycleJson.Options);
}

/// <summary>The candidate answers its share of the live requests, until enough went well, or it is shown to do worse than the champion beside it.</summary>
internal sealed class CanaryStage(CycleContext context, CycleRecord cycle)
{
    private const int MostOutcomes = 20_000;

    /// <summary>Runs to the end of the stage. Gives why the candidate is refused, or null.</summary>
    public async Task<(string? Refusal, CanaryResult Result)> RunAsync(long since, CancellationToken cancellationToken)
    {
        CanaryResult result = new() { Since = since };
        if (context.Options.CanaryRequests == 0)
        {
            return (null, result);
        }
        context.Hub.Rollout.Begin(cycle.Candidate, context.Options.CanaryShare, cycle.Id);
        try
        {
            while (true)
            {
                await context.Store.FlushAsync(cancellationToken);
                CanaryTest test = Test(result);
                if (test.Decision == GateDecision.Reject)
                {
                    return (test.Reason, result);
                }
                if (test.Decision == GateDecision.Pass || context.Now - cycle.ChangedAt >= context.Options.CanaryFor)
                {
                    return (null, result);
                }
                context.Report(new CycleProgress(
                    cycle.Id, cycle.State, $"answers a share of {context.Options.CanaryShare:P0}: {result.CandidateGood} of {result.Candidate} outcomes good, the champion's {result.ChampionGood} of {result.Champion}",
                    (double)result.Candidate / Math.Max(1, context.Options.CanaryRequests), null));
                await context.Pause(cancellationToken);
            }
        }
        finally
        {
            context.Hub.Rollout.End();
        }
    }

    // Read anew each time, since outcomes come late and may change; the test is cheap.
    private CanaryTest Test(CanaryResult result)
    {
        CanaryTest test = new(new CanaryState { MinimumRequests = context.Options.CanaryRequests, Alpha = context.Options.Gate.Alpha });
        (result.Candidate, result.CandidateGood, result.Champion, result.ChampionGood) = (0, 0, 0, 0);
        // Labels that were asked for because a model was unsure say more of that model's doubts than of its answers.
        foreach (LiveOutcome outcome in context.Store.LiveOutcomes(result.Since, MostOutcomes).Where(static o => o.Reported || o.Audited))
        {
            if (outcome.Adapter == cycle.Candidate)
            {
                result.Candidate++;
                result.CandidateGood += outcome.Good ? 1 : 0;
                test.AddRequest();
                test.AddOutcome(candidate: true, outcome.Good);
            }
            else if (outcome.Adapter == cycle.Champion)
            {
                result.Champion++;
                result.ChampionGood += outcome.Good ? 1 : 0;
                test.AddOutcome(candidate: false, outcome.Good);
            }
        }
        return test;
    }
}
