namespace ContinualNative.Core.Evaluation;

/// <summary>All that a <see cref="RollbackTest"/> is and has seen: stored, it goes on after a restart.</summary>
public sealed record RollbackState
{
    /// <summary>Outcomes of the champion before that were good, of <see cref="ReferenceCount"/>.</summary>
    public int ReferenceGood { get; init; }

    /// <summary>Outcomes of the champion before.</summary>
    public int ReferenceCount { get; init; }

    /// <summary>Pairs, and outcomes, after which the watch is over; 1 or more.</summary>
    public int Window { get; init; } = 500;

    /// <summary>Probability of a false alarm in the whole watch, at most; between 0 and 1.</summary>
    public double Alpha { get; init; } = 0.05;

    /// <summary>The part of <see cref="Alpha"/> that goes to pairs, 0 to 1; the rest goes to rates. 1: outcomes don't count; 0: pairs don't.</summary>
    public double PairedShare { get; init; } = 0.8;

    /// <summary>Pairs in which only the new champion was right.</summary>
    public int Wins { get; init; }

    /// <summary>Pairs in which only the old one was right.</summary>
    public int Losses { get; init; }

    /// <summary>Pairs in which both were right or both wrong.</summary>
    public int Ties { get; init; }

    /// <summary>Good outcomes of the new champion.</summary>
    public int Good { get; init; }

    /// <summary>Bad ones.</summary>
    public int Bad { get; init; }

    /// <summary>Whether it alarmed; it stays so.</summary>
    public bool Alarm { get; init; }

    /// <summary>Why it alarmed, for people; empty without an alarm.</summary>
    public string Reason { get; init; } = "";
}
