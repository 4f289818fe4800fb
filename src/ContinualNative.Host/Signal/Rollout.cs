using ContinualNative.Core.Teaching;

namespace ContinualNative.Host.Signal;

/// <summary>Which share of the live requests a candidate answers instead of the champion. Thread-safe.</summary>
internal sealed class Rollout
{
    private volatile Arm? _arm;

    /// <summary>Whether a candidate answers some requests now.</summary>
    public bool IsOn => _arm is not null;

    /// <summary>Gives a candidate its share from now on.</summary>
    /// <param name="adapter">A loaded adapter.</param>
    /// <param name="share">0 to 1.</param>
    /// <param name="cycle">The cycle that it is of: it decides who is assigned.</param>
    public void Begin(string adapter, double share, long cycle) => _arm = new Arm(adapter, share, cycle);

    /// <summary>The champion answers everything again.</summary>
    public void End() => _arm = null;

    /// <summary>
    /// The candidate for those whom its share holds, else null (the champion). Sticky: who is once assigned stays so through the whole cycle, whatever the
    /// share grows to, and restarts change nothing.
    /// </summary>
    /// <param name="user">Who asks, or which conversation it is: it does not change its model halfway.</param>
    public string? AdapterFor(string user)
    {
        if (_arm is not { } arm)
        {
            return null;
        }
        return StableHash.Share(StableHash.Of($"canary\n{arm.Cycle}", user)) < arm.Share ? arm.Adapter : null;
    }

    private sealed record Arm(string Adapter, double Share, long Cycle);
}
