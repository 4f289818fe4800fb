namespace ContinualNative.Core.Routing;

/// <summary>
/// Draws the audit sample: a request is in it with a given probability, decided by a keyed hash of its id. So a draw can be repeated later, is independent of
/// what the request says and of how it is routed, and a larger share holds all that a smaller one holds.
/// </summary>
/// <param name="seed">Whoever knows it can tell from an id whether a request is audited.</param>
public sealed class AuditSampler(ulong seed)
{
    // Another constant for every use, so that the uses are independent of each other.
    private const ulong Purpose = 0x617564697400;

    /// <summary>Whether a request is in the sample of <paramref name="share"/> (0 to 1).</summary>
    public bool IsAudited(string requestId, double share) => SipHash.Uniform(seed, Purpose, requestId) < share;
}
