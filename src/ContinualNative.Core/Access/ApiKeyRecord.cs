using System.Security.Cryptography;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Access;

/// <summary>What is stored of a key: never the key itself.</summary>
public sealed record ApiKeyRecord
{
    /// <summary>The public id.</summary>
    public required string Id { get; init; }

    /// <summary>What its owner calls it; may be empty.</summary>
    public string Name { get; init; } = "";

    /// <summary>Whether it opens <c>/admin</c>.</summary>
    public bool Admin { get; init; }

    /// <summary>Requests that may run at the same time; null: no limit.</summary>
    public int? MaxConcurrent { get; init; }

    /// <summary>Most tokens that one request may generate, over all its choices; null: no limit.</summary>
    public int? MaxTokensPerRequest { get; init; }

    /// <summary>Which model answers its requests, unless they say otherwise.</summary>
    public RoutePreference Route { get; init; }

    /// <summary>Largest share of its requests that may be routed up, 0 to 1; null: the server's.</summary>
    public double? MaxEscalation { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset Created { get; init; }

    /// <summary>16 random bytes.</summary>
    public required byte[] Salt { get; init; }

    /// <summary><see cref="ApiKey.Hash"/> of the key.</summary>
    public required byte[] Hash { get; init; }

    /// <summary>Whether <paramref name="key"/> is this one, in time that does not depend on where they differ.</summary>
    public bool Matches(string key) => CryptographicOperations.FixedTimeEquals(ApiKey.Hash(key, Salt), Hash);
}
