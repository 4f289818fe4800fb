namespace ContinualNative.Core.Evaluation;

/// <summary>All that a <see cref="CanaryTest"/> is and has seen: stored, it goes on after a restart.</summary>
public sealed record CanaryState
{
    /// <summary>Requests of the candidate's arm after which it has passed; 1 or more.</summary>
    public int MinimumRequests { get; init; } = 200;

    /// <summary>Probability of stopping a candidate that is as good, at most; between 0 and 1.</summary>
    public double Alpha { get; init; } = 0.05;

    /// <summary>Requests that the candidate answered, with or without an outcome.</summary>
    public int Requests { get; init; }

    /// <summary>Good outcomes of the candidate's answers.</summary>
    public int CandidateGood { get; init; }

    /// <summary>Bad ones.</summary>
    public int CandidateBad { get; init; }

    /// <summary>Good outcomes of the champion's answers in the same time.</summary>
    public int ChampionGood { get; init; }

    /// <summary>Bad ones.</summary>
    public int ChampionBad { get; init; }

    /// <summary>Whether it was stopped; it stays so.</summary>
    public bool Stopped { get; init; }

    /// <summary>Why it was stopped, for people; empty unless it was.</summary>
    public string Reason { get; init; } = "";
}
