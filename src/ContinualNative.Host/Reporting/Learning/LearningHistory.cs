using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>How it was run, for people.</summary>
internal sealed record LearningRun
{
    /// <summary>The command line that makes it again.</summary>
    public required string Command { get; init; }

    /// <summary>The seed; null where none was used.</summary>
    public long? Seed { get; init; }

    /// <summary>The machine: processor, cores, system.</summary>
    public string Machine { get; init; } = "";

    /// <summary>How long it took; null where that is not told.</summary>
    public TimeSpan? Took { get; init; }
}

/// <summary>What the gate said of an adapter.</summary>
/// <param name="Adapter">The adapter's id.</param>
/// <param name="Verdict">The verdict with its evidence.</param>
internal sealed record AdapterVerdict(string Adapter, GateVerdict Verdict);

/// <summary>How a model that learns, the model as it was, and the frontier did over time: what figures, tables, pages and JSON are made of.</summary>
internal sealed record LearningHistory
{
    /// <summary>One line.</summary>
    public required string Title { get; init; }

    /// <summary>One sentence under it.</summary>
    public string Subtitle { get; init; } = "";

    /// <summary>What the three rates are shares of.</summary>
    public string Measure { get; init; } = "answers right";

    /// <summary>Oldest first.</summary>
    public required IReadOnlyList<LearningPeriod> Periods { get; init; }

    /// <summary>Verdicts, oldest first.</summary>
    public IReadOnlyList<AdapterVerdict> Verdicts { get; init; } = [];

    /// <summary>What readers have to know to understand the figures rightly, one sentence or two each.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>How it was run; null where that is not told.</summary>
    public LearningRun? Run { get; init; }

    /// <summary>The whole, in few figures.</summary>
    public LearningTotals Totals => LearningTotals.Of(Periods);
}
