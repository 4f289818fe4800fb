using ContinualNative.Core.Economics;

namespace ContinualNative.Host.Frontier;

/// <summary>
/// A call that gave no answer. The message names the endpoint and what to do. Decision: there is never an inner exception; those of HTTP and of
/// the OpenAI package quote bodies, and a body may quote the prompt or the key.
/// </summary>
internal sealed class FrontierException(FrontierErrorKind kind, string endpoint, string message, Money cost = default, bool mayFallOver = false) : Exception(message)
{
    public FrontierErrorKind Kind { get; } = kind;

    /// <summary>The endpoint's name; empty when none was asked.</summary>
    public string Endpoint { get; } = endpoint;

    /// <summary>What the failed call is reckoned to have cost all the same.</summary>
    public Money Cost { get; } = cost;

    /// <summary>Whether another endpoint may do better.</summary>
    public bool MayFallOver { get; } = mayFallOver;
}
