using ContinualNative.Core.Evaluation;

namespace ContinualNative.Core.Economics;

/// <summary>Requests and money of a day, a task, or all of a period.</summary>
public sealed record ReportFigures
{
    /// <summary>Answered requests.</summary>
    public long Requests { get; init; }

    /// <summary>Those that got the local answer.</summary>
    public long Local { get; init; }

    /// <summary>Those that got a frontier's.</summary>
    public long Frontier { get; init; }

    /// <summary>Local answers that went out because no frontier answered or the budget was used up; part of <see cref="Local"/>.</summary>
    public long Fallen { get; init; }

    /// <summary>Tokens of the local model: prompts, of these found in its cache, and answers.</summary>
    public long PromptTokens { get; init; }

    public long CachedTokens { get; init; }

    public long CompletionTokens { get; init; }

    /// <summary>Seconds of local generation.</summary>
    public double LocalSeconds { get; init; }

    /// <summary>Paid for requests that were routed up.</summary>
    public Money Escalation { get; init; }

    /// <summary>Answers that were paid for with it.</summary>
    public long EscalationCalls { get; init; }

    /// <summary>Paid for labels: audits, lessons, judges.</summary>
    public Money Teaching { get; init; }

    /// <summary>Answers that were paid for with it.</summary>
    public long TeachingCalls { get; init; }

    /// <summary><see cref="LocalSeconds"/> at the machine's price. Idle time is not in it.</summary>
    public Money Serving { get; init; }

    /// <summary>Training: what the ledger says, or its seconds at the machine's price where it names no amount.</summary>
    public Money Training { get; init; }

    /// <summary>All four.</summary>
    public Money Total => Escalation + Teaching + Serving + Training;

    /// <summary>What a frontier model alone would have cost for the same requests; null where nothing tells its prices. See <see cref="TrafficReport"/>.</summary>
    public Money? FrontierOnly { get; init; }

    /// <summary><see cref="FrontierOnly"/> less <see cref="Total"/>; below zero when this costs more.</summary>
    public Money? Saved => FrontierOnly is { } only ? only - Total : null;

    /// <summary>US dollars a request, all costs together; null without requests.</summary>
    public decimal? PricePerRequest => Requests > 0 ? Total.Dollars / Requests : null;

    /// <summary>US dollars that a request would have cost with a frontier model alone.</summary>
    public decimal? FrontierOnlyPricePerRequest => Requests > 0 ? FrontierOnly?.Dollars / Requests : null;

    /// <summary>Outcomes of local answers.</summary>
    public AcceptanceRate LocalAcceptance { get; init; } = new(0, 0, 0);

    /// <summary>Outcomes of frontier's answers.</summary>
    public AcceptanceRate FrontierAcceptance { get; init; } = new(0, 0, 0);

    /// <summary>Audits that both models answered.</summary>
    public int Audits { get; init; }

    /// <summary>What they say; null when there are fewer than <see cref="TrafficReport.MinimumAudits"/>.</summary>
    public QualityEstimate? Quality { get; init; }
}

/// <summary>What clients said of answers. Not every client reports, and those who do choose what to report: not an unbiased picture.</summary>
/// <param name="Accepted">Requests whose latest outcome is this one.</param>
/// <param name="Rejected">The same.</param>
/// <param name="Corrected">The same.</param>
public sealed record AcceptanceRate(long Accepted, long Rejected, long Corrected)
{
    // The normal quantile for 95 %.
    private const double Z = 1.959963984540054;

    /// <summary>Requests with an outcome.</summary>
    public long Outcomes => Accepted + Rejected + Corrected;

    /// <summary>Share accepted, with Wilson's 95 % interval; null when there are fewer than <see cref="TrafficReport.MinimumOutcomes"/>.</summary>
    public Proportion? Rate => Outcomes < TrafficReport.MinimumOutcomes ? null : QualityEstimate.Wilson((double)Accepted / Outcomes, Outcomes, Z);
}
