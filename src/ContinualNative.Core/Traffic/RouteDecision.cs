using ContinualNative.Core.Routing;

namespace ContinualNative.Core.Traffic;

/// <summary>What the router decided for one request, with everything that it decided by: enough to explain it later.</summary>
public sealed record RouteDecision
{
    /// <summary>The model whose answer the client got.</summary>
    public required Route Route { get; init; }

    /// <summary>Why.</summary>
    public required RouteReason Reason { get; init; }

    /// <summary>Calibrated probability that the local answer is right; null when it was not estimated.</summary>
    public double? PCorrect { get; init; }

    /// <summary>The probability below which requests went up; null when there was none.</summary>
    public double? Threshold { get; init; }

    /// <summary>What <see cref="PCorrect"/> was computed from; null when no local answer was judged.</summary>
    public RoutingFeatures? Features { get; init; }

    /// <summary>Id of the calibration in force, 0: none.</summary>
    public long Calibration { get; init; }

    /// <summary>Whether the request is in the random audit sample: it gets an answer of both models, whichever its client is sent.</summary>
    public bool Audited { get; init; }

    /// <summary>The probability with which it was drawn into that sample (the audit share in force).</summary>
    public double AuditProbability { get; init; }
}
