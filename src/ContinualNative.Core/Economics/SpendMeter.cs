namespace ContinualNative.Core.Economics;

/// <summary>
/// Keeps what is spent in a UTC day within a limit, for each purpose by itself. An estimate is reserved before a call and replaced by the real
/// cost after it, so calls that run at the same time cannot overrun a budget together; only the difference between estimate and cost can. Thread-safe.
/// </summary>
public sealed class SpendMeter
{
    private static readonly TimeSpan DayLength = TimeSpan.FromDays(1);

    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly Dictionary<LedgerKind, Purse> _purses = [];
    private DateOnly _day;
    private long _opened;
    private TimeSpan _intoDay;

    /// <summary>Nothing spent yet. Throws <see cref="ArgumentOutOfRangeException"/> for a negative limit.</summary>
    /// <param name="limits">The most to spend in a day; a purpose that is not named has no limit.</param>
    /// <param name="time">The clock; the system's by default.</param>
    public SpendMeter(IReadOnlyDictionary<LedgerKind, Money> limits, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(limits);
        _time = time ?? TimeProvider.System;
        foreach ((LedgerKind purpose, Money limit) in limits)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(limit.Nanos, nameof(limits));
            _purses[purpose] = new Purse { Limit = limit };
        }
        Open(_time.GetUtcNow());
    }

    /// <summary>The UTC day whose budget is being spent.</summary>
    public DateOnly Day
    {
        get
        {
            lock (_gate)
            {
                Turn();
                return _day;
            }
        }
    }

    /// <summary>
    /// Counts what was spent already today, as the ledger has it; called once at start, before the first reservation. Throws
    /// <see cref="ArgumentOutOfRangeException"/> for a negative amount.
    /// </summary>
    public void Prime(LedgerKind purpose, Money spentToday)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(spentToday.Nanos, nameof(spentToday));
        lock (_gate)
        {
            Turn();
            PurseOf(purpose).Spent += spentToday;
        }
    }

    /// <summary>Sets <paramref name="estimate"/> aside; null when the day's budget does not hold it. Dispose the reservation whatever happens.</summary>
    public SpendReservation? TryReserve(LedgerKind purpose, Money estimate)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(estimate.Nanos, nameof(estimate));
        lock (_gate)
        {
            Turn();
            Purse purse = PurseOf(purpose);
            if (purse.Limit is { } limit && purse.Spent + purse.Reserved + estimate > limit)
            {
                purse.Refused++;
                return null;
            }
            purse.Reserved += estimate;
            return new SpendReservation(this, purpose, estimate);
        }
    }

    /// <summary>How a purpose stands.</summary>
    public SpendStatus Status(LedgerKind purpose)
    {
        lock (_gate)
        {
            Turn();
            Purse purse = PurseOf(purpose);
            return new SpendStatus(_day, purse.Spent, purse.Reserved, purse.Limit, purse.Refused);
        }
    }

    internal void Settle(LedgerKind purpose, Money estimate, Money cost)
    {
        lock (_gate)
        {
            // The day first: a cost belongs to the day on which it is booked, as in the ledger, and what runs over midnight weighs on the new day.
            Turn();
            Purse purse = PurseOf(purpose);
            purse.Reserved -= estimate;
            purse.Spent += cost;
        }
    }

    // Decision: a new budget needs a later date than the newest ever seen, so a clock set back opens none; and since a clock set forward and
    // corrected again would then close the purse until that date is really reached, a whole day by the monotonic clock opens one too.
    private void Turn()
    {
        DateTimeOffset now = _time.GetUtcNow();
        if (DateOnly.FromDateTime(now.UtcDateTime) > _day || _time.GetElapsedTime(_opened) >= DayLength - _intoDay)
        {
            Open(now);
            foreach (Purse purse in _purses.Values)
            {
                purse.Spent = Money.Zero;
                purse.Refused = 0;
            }
        }
    }

    private void Open(DateTimeOffset now)
    {
        _day = DateOnly.FromDateTime(now.UtcDateTime);
        _opened = _time.GetTimestamp();
        _intoDay = now.UtcDateTime.TimeOfDay;
    }

    private Purse PurseOf(LedgerKind purpose)
    {
        if (!_purses.TryGetValue(purpose, out Purse? purse))
        {
            _purses.Add(purpose, purse = new Purse());
        }
        return purse;
    }

    private sealed class Purse
    {
        public Money? Limit { get; init; }

        public Money Spent { get; set; }

        public Money Reserved { get; set; }

        public long Refused { get; set; }
    }
}
