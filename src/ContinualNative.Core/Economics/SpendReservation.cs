namespace ContinualNative.Core.Economics;

/// <summary>Money set aside for one call. Thread-safe; the first of <see cref="Settle"/> and <see cref="Dispose"/> counts.</summary>
public sealed class SpendReservation : IDisposable
{
    private readonly SpendMeter _meter;
    private readonly LedgerKind _purpose;
    private int _settled;

    internal SpendReservation(SpendMeter meter, LedgerKind purpose, Money estimate)
    {
        _meter = meter;
        _purpose = purpose;
        Estimate = estimate;
    }

    /// <summary>The amount set aside.</summary>
    public Money Estimate { get; }

    /// <summary>Books what the call really cost and frees the rest.</summary>
    public void Settle(Money cost)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(cost.Nanos, nameof(cost));
        if (Interlocked.Exchange(ref _settled, 1) == 0)
        {
            _meter.Settle(_purpose, Estimate, cost);
        }
    }

    /// <summary>Frees all of it, unless it is settled: the call cost nothing.</summary>
    public void Dispose() => Settle(Money.Zero);
}
