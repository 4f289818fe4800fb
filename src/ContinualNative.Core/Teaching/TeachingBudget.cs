using ContinualNative.Core.Economics;

namespace ContinualNative.Core.Teaching;

/// <summary>
/// What was spent since the day began (in UTC), and on what; labels that are asked for at the moment count as spent. What is missing counts as nothing.
/// </summary>
public sealed record TeachingBudget
{
    /// <summary>The time to plan for.</summary>
    public required DateTimeOffset Now { get; init; }

    /// <summary>Money spent on labels today.</summary>
    public Money Spent { get; init; }

    /// <summary>Labels got today.</summary>
    public int Labels { get; init; }

    /// <summary>Today's labels by reason.</summary>
    public IReadOnlyDictionary<LabelReason, int> LabelsByReason { get; init; } = new Dictionary<LabelReason, int>();

    /// <summary>Today's labels by task, audits aside.</summary>
    public IReadOnlyDictionary<string, int> LabelsByTask { get; init; } = new Dictionary<string, int>();

    /// <summary>Today's labels by cluster, audits aside.</summary>
    public IReadOnlyDictionary<long, int> LabelsByCluster { get; init; } = new Dictionary<long, int>();

    /// <summary>All labels there are by cluster, from whatever day and for whatever reason.</summary>
    public IReadOnlyDictionary<long, int> AllLabelsByCluster { get; init; } = new Dictionary<long, int>();

    /// <summary>Recent requests by task; empty: as many as there are candidates.</summary>
    public IReadOnlyDictionary<string, long> Traffic { get; init; } = new Dictionary<string, long>();
}
