using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Economics;

/// <summary>Requests of one day (UTC), task and route. Tokens and seconds are the local model's.</summary>
public sealed record RouteTotals
{
    public required DateOnly Day { get; init; }

    public required string Task { get; init; }

    /// <summary>The model whose answer was sent.</summary>
    public required Route Route { get; init; }

    public required RouteReason Reason { get; init; }

    public long Requests { get; init; }

    /// <summary>Cached ones included.</summary>
    public long PromptTokens { get; init; }

    public long CachedTokens { get; init; }

    public long CompletionTokens { get; init; }

    /// <summary>Seconds of generation, each shared among the answers that ran in it.</summary>
    public double LocalSeconds { get; init; }

    /// <summary>Requests whose latest outcome is this one.</summary>
    public long Accepted { get; init; }

    public long Rejected { get; init; }

    public long Corrected { get; init; }
}

/// <summary>Costs of one day (UTC), kind and task.</summary>
public sealed record CostTotals
{
    public required DateOnly Day { get; init; }

    public required LedgerKind Kind { get; init; }

    /// <summary>Empty where a cost belongs to no task.</summary>
    public string Task { get; init; } = "";

    public Money Amount { get; init; }

    public long Calls { get; init; }

    /// <summary>Seconds of this machine, for training.</summary>
    public double Seconds { get; init; }
}

/// <summary>A request of the audit sample that both models have answered.</summary>
public sealed record AuditedAnswer
{
    public required DateOnly Day { get; init; }

    public required string Task { get; init; }

    /// <summary>Whether the local answer agrees with the frontier's, by the task's measure.</summary>
    public required bool Correct { get; init; }

    /// <summary>Which of the two was sent.</summary>
    public required Route Sent { get; init; }

    /// <summary>The probability with which it was drawn, above 0 to 1.</summary>
    public required double AuditProbability { get; init; }

    /// <summary>How good the sent answer was by its outcome, 0 to 1, or null without one.</summary>
    public double? Acceptance { get; init; }

    /// <summary>The local model's.</summary>
    public int PromptTokens { get; init; }

    public int CompletionTokens { get; init; }

    /// <summary>What the frontier charged for its answer.</summary>
    public Money FrontierCost { get; init; }
}

/// <summary>What a <see cref="TrafficReport"/> is computed from. What lies outside of the period, or belongs to another task than the one asked for, is passed over.</summary>
public sealed record ReportInput
{
    /// <summary>The first day (UTC).</summary>
    public required DateOnly From { get; init; }

    /// <summary>The last day (UTC), included.</summary>
    public required DateOnly To { get; init; }

    /// <summary>Only this task; null: all.</summary>
    public string? Task { get; init; }

    public IReadOnlyList<RouteTotals> Routes { get; init; } = [];

    public IReadOnlyList<CostTotals> Costs { get; init; } = [];

    /// <summary>All of the period that have a verdict. One left out because of what it says makes the quality biased.</summary>
    public IReadOnlyList<AuditedAnswer> Audits { get; init; } = [];

    /// <summary>US dollars an hour of this machine.</summary>
    public decimal MachinePrice { get; init; }

    /// <summary>Prices of the preferred frontier endpoint; null where none is known.</summary>
    public TokenPrices? Prices { get; init; }
}
