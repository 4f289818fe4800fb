using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Storage;

/// <summary>Requests of one day, task, adapter and route, kept beyond the requests themselves.</summary>
public sealed record TrafficTotals
{
    public required DateOnly Day { get; init; }

    public required string Task { get; init; }

    public required string Adapter { get; init; }

    public required Route Route { get; init; }

    public required RouteReason Reason { get; init; }

    public long Requests { get; init; }

    public long PromptTokens { get; init; }

    public long CachedTokens { get; init; }

    public long CompletionTokens { get; init; }

    /// <summary>Seconds of local generation.</summary>
    public double LocalSeconds { get; init; }

    public long Accepted { get; init; }

    public long Rejected { get; init; }

    public long Corrected { get; init; }
}

/// <summary>Costs of one day, kind, endpoint and task.</summary>
public sealed record LedgerTotals
{
    public required DateOnly Day { get; init; }

    public required LedgerKind Kind { get; init; }

    public required string Endpoint { get; init; }

    public required string Task { get; init; }

    public required Money Amount { get; init; }

    public long Calls { get; init; }

    public long PromptTokens { get; init; }

    public long CachedTokens { get; init; }

    public long CompletionTokens { get; init; }

    public double Seconds { get; init; }
}
