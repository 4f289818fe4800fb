namespace ContinualNative.Core.Evaluation;

/// <summary>
/// Compares the outcomes of a candidate that answers a share of the live requests with the champion's of the same time, by <see cref="RateComparison"/>: stops it once it is shown to be worse, and lets it
/// pass when enough requests went by without that. It finds disasters and not nuances: those are the gate's and <see cref="RollbackTest"/>'s. Not thread-safe.
/// </summary>
public sealed class CanaryTest
{
    /// <summary>Starts, or goes on where a stored state ended. Throws <see cref="ArgumentException"/> for a state that cannot be.</summary>
    public CanaryTest(CanaryState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.MinimumRequests < 1 || !(state.Alpha is > 0 and < 1) || state.Requests < 0
            || Math.Min(Math.Min(state.CandidateGood, state.CandidateBad), Math.Min(state.ChampionGood, state.ChampionBad)) < 0)
        {
            throw new ArgumentException($"There is no such canary: {state}.", nameof(state));
        }
        State = state;
    }

    /// <summary>Everything there is to know of it.</summary>
    public CanaryState State { get; private set; }

    /// <summary>Rejected when it is shown to be worse, passed after enough requests, undecided before. The first of the two stays.</summary>
    public GateDecision Decision => State.Stopped ? GateDecision.Reject : State.Requests >= State.MinimumRequests ? GateDecision.Pass : GateDecision.Undecided;

    /// <summary>Why it was stopped, for people; empty unless it was.</summary>
    public string Reason => State.Reason;

    /// <summary>The e-value for "the candidate fails more often".</summary>
    public double Evidence => RateComparison.Evidence(State.ChampionBad, State.ChampionGood, State.CandidateBad, State.CandidateGood);

    /// <summary>Counts a request that the candidate answered.</summary>
    public GateDecision AddRequest()
    {
        if (Decision == GateDecision.Undecided)
        {
            State = State with { Requests = State.Requests + 1 };
        }
        return Decision;
    }

    /// <summary>Adds the outcome of an answer of one of the two. Ignored once decided.</summary>
    public GateDecision AddOutcome(bool candidate, bool good)
    {
        if (Decision != GateDecision.Undecided)
        {
            return Decision;
        }
        State = (candidate, good) switch
        {
            (true, true) => State with { CandidateGood = State.CandidateGood + 1 },
            (true, false) => State with { CandidateBad = State.CandidateBad + 1 },
            (false, true) => State with { ChampionGood = State.ChampionGood + 1 },
            (false, false) => State with { ChampionBad = State.ChampionBad + 1 },
        };
        // The champion's good news add little by themselves; the next bad outcome of the candidate's counts them too.
        if (candidate && !good && Evidence >= 1 / State.Alpha)
        {
            State = State with
            {
                Stopped = true,
                Reason = $"{State.CandidateBad} of the candidate's {State.CandidateBad + State.CandidateGood} outcomes were bad, and {State.ChampionBad} of the champion's "
                    + $"{State.ChampionBad + State.ChampionGood} in the same time: the e-value {Evidence:0.0} is above {1 / State.Alpha:0.0}.",
            };
        }
        return Decision;
    }
}
