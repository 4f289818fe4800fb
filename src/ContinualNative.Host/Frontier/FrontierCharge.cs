using ContinualNative.Core.Economics;

namespace ContinualNative.Host.Frontier;

/// <summary>How the call ended that a charge is for.</summary>
internal enum FrontierChargeReason
{
    /// <summary>With the answer that has the same cost.</summary>
    Answered,

    /// <summary>With an error, after the endpoint had begun to work or had answered nonsense.</summary>
    Failed,

    /// <summary>The caller went away.</summary>
    Abandoned,
}

/// <summary>Money that an endpoint takes for one call, answers and failures alike.</summary>
internal sealed record FrontierCharge
{
    public required DateTimeOffset At { get; init; }

    public required FrontierPurpose Purpose { get; init; }

    public required FrontierChargeReason Reason { get; init; }

    /// <summary>The endpoint's configured name.</summary>
    public required string Endpoint { get; init; }

    /// <summary>What <see cref="FrontierRequest.Reference"/> said.</summary>
    public string? Reference { get; init; }

    public int PromptTokens { get; init; }

    public int CachedTokens { get; init; }

    public int CompletionTokens { get; init; }

    /// <summary>Whether the tokens are characters ÷ 4, for want of the endpoint's own count.</summary>
    public bool Estimated { get; init; }

    public required Money Cost { get; init; }
}
