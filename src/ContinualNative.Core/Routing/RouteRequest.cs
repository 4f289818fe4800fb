using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Routing;

/// <summary>What a router knows of a request besides its local answer.</summary>
/// <param name="RequestId">Unique; the audit sample is drawn by it.</param>
/// <param name="Task">Its task.</param>
/// <param name="Adapter">The adapter that answers it locally.</param>
/// <param name="Preference">What the request's field <c>route</c> asks for.</param>
/// <param name="KeyId">Id of its API key, or null.</param>
/// <param name="KeyPreference">The policy of the key.</param>
/// <param name="KeyMaxEscalation">Largest share of the key's requests that may go up (0 to 1), or null.</param>
/// <param name="Portable">Whether a frontier endpoint can do what the request asks for.</param>
/// <param name="FrontierConfigured">Whether there is a frontier endpoint.</param>
public readonly record struct RouteRequest(
    string RequestId,
    string Task,
    string Adapter,
    RoutePreference Preference = RoutePreference.Auto,
    string? KeyId = null,
    RoutePreference KeyPreference = RoutePreference.Auto,
    double? KeyMaxEscalation = null,
    bool Portable = true,
    bool FrontierConfigured = true);
