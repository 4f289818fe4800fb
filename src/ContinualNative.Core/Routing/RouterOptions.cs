using System.Collections.ObjectModel;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Routing;

/// <summary>How requests are routed.</summary>
public sealed record RouterOptions
{
    /// <summary>Largest expected share of all requests that get a wrong local answer, 0 to 1 (both excluded); null: only the budget decides.</summary>
    public double? TargetRisk { get; init; } = 0.05;

    /// <summary>
    /// A local answer that is right with less than this probability goes up (within the budget) also where the target risk would let it through, 0 to 1. Decision: a mean over all
    /// requests is little comfort to whoever asked the one that the model knows nothing of; and after a drift, the audits that would tell come later than the doubt.
    /// </summary>
    public double EscalateBelow { get; init; } = 0.5;

    /// <summary>Targets of single tasks, in place of <see cref="TargetRisk"/>.</summary>
    public IReadOnlyDictionary<string, double> TaskTargetRisk { get; init; } = ReadOnlyDictionary<string, double>.Empty;

    /// <summary>Largest share of the requests that the router may send up, 0 to 1; null: no budget.</summary>
    public double? MaxEscalation { get; init; } = 0.10;

    /// <summary>Largest shares of the requests of single tasks that the router may send up, within <see cref="MaxEscalation"/>.</summary>
    public IReadOnlyDictionary<string, double> TaskMaxEscalation { get; init; } = ReadOnlyDictionary<string, double>.Empty;

    /// <summary>In any window of so many requests in a row, no more than ⌊<see cref="MaxEscalation"/> · window⌋ go up.</summary>
    public int BudgetWindow { get; init; } = 1000;

    /// <summary>
    /// Where requests go while there are too few labels to judge by.
    /// Decision: up, within the budget. Nothing is known yet of the local answers, so that none can be vouched for; the answers from above are labels, which end
    /// this state; and whoever set a budget has said what that may cost.
    /// </summary>
    public Route Uncalibrated { get; init; } = Route.Frontier;

    /// <summary>Share of the requests that are audited, 0 to 1.</summary>
    public double AuditShare { get; init; } = 0.02;

    /// <summary>Seed of the audit sample and of the router's other draws.</summary>
    public ulong Seed { get; init; }

    /// <summary>The target of a task, or null when only the budget decides.</summary>
    public double? TargetOf(string task) => TaskTargetRisk.TryGetValue(task, out double own) ? own : TargetRisk;

    /// <summary>Throws <see cref="ArgumentException"/> that names the setting and what it may be.</summary>
    public void Validate()
    {
        Require(TargetRisk is null or (> 0 and < 1), "target-risk", TargetRisk, "more than 0 and less than 1");
        foreach ((string task, double target) in TaskTargetRisk)
        {
            Require(target is > 0 and < 1, $"target-risk of task '{task}'", target, "more than 0 and less than 1");
        }
        Require(EscalateBelow is >= 0 and <= 1, "escalate-below", EscalateBelow, "0 to 1");
        Require(MaxEscalation is null or (>= 0 and <= 1), "max-escalation", MaxEscalation, "0 to 1");
        foreach ((string task, double share) in TaskMaxEscalation)
        {
            Require(share is >= 0 and <= 1, $"max-escalation of task '{task}'", share, "0 to 1");
        }
        Require(BudgetWindow is >= 10 and <= 1_000_000, "budget-window", BudgetWindow, "10 to 1000000 requests");
        Require(Uncalibrated is Route.Local or Route.Frontier, "uncalibrated", Uncalibrated, "local or frontier");
        Require(AuditShare is >= 0 and <= 1, "audit", AuditShare, "0 to 1");
        if (TargetRisk is null && MaxEscalation is null)
        {
            throw new ArgumentException("Neither 'target-risk' nor 'max-escalation' is set: set one, so that there is something to route by.");
        }
    }

    private static void Require(bool holds, string key, object? value, string range)
    {
        if (!holds)
        {
            throw new ArgumentException($"'{key}' must be {range}, not {value}.");
        }
    }
}
