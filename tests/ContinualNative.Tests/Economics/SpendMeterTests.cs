using ContinualNative.Core.Economics;

namespace ContinualNative.Tests.Economics;

public sealed class SpendMeterTests
{
    private readonly StoppedTime _time = new(new DateTimeOffset(2031, 5, 4, 22, 0, 0, TimeSpan.Zero));

    [Fact]
    public void What_is_reserved_counts_until_it_is_settled()
    {
        SpendMeter meter = Meter(100);
        SpendReservation first = meter.TryReserve(LedgerKind.Escalation, new Money(60))!;
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(41)));
        first.Settle(new Money(10));
        SpendStatus status = meter.Status(LedgerKind.Escalation);
        Assert.Equal((10, 0, 1L, false), ((int)status.Spent.Nanos, (int)status.Reserved.Nanos, status.Refused, status.Exhausted));
        Assert.NotNull(meter.TryReserve(LedgerKind.Escalation, new Money(90)));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
        Assert.True(meter.Status(LedgerKind.Escalation).Exhausted);
    }

    [Fact]
    public void A_reservation_is_given_back_once()
    {
        SpendMeter meter = Meter(100);
        SpendReservation one = meter.TryReserve(LedgerKind.Escalation, new Money(100))!;
        one.Dispose();
        one.Dispose();
        one.Settle(new Money(50));
        Assert.Equal((Money.Zero, Money.Zero), (meter.Status(LedgerKind.Escalation).Spent, meter.Status(LedgerKind.Escalation).Reserved));
        SpendReservation two = meter.TryReserve(LedgerKind.Escalation, new Money(100))!;
        two.Settle(new Money(30));
        two.Dispose();
        Assert.Equal((new Money(30), Money.Zero), (meter.Status(LedgerKind.Escalation).Spent, meter.Status(LedgerKind.Escalation).Reserved));
    }

    [Fact]
    public void A_call_dearer_than_reckoned_is_booked_in_full_and_closes_the_purse()
    {
        SpendMeter meter = Meter(100);
        meter.TryReserve(LedgerKind.Escalation, new Money(90))!.Settle(new Money(250));
        Assert.Equal(new Money(250), meter.Status(LedgerKind.Escalation).Spent);
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, Money.Zero));
    }

    [Fact]
    public void Each_purpose_has_its_own_budget_and_none_named_means_no_limit()
    {
        SpendMeter meter = Meter(100);
        Assert.NotNull(meter.TryReserve(LedgerKind.Escalation, new Money(100)));
        Assert.NotNull(meter.TryReserve(LedgerKind.Teaching, new Money(1_000_000)));
        Assert.Null(meter.Status(LedgerKind.Teaching).Limit);
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
    }

    [Fact]
    public void What_the_ledger_knows_of_today_counts()
    {
        SpendMeter meter = Meter(100);
        meter.Prime(LedgerKind.Escalation, new Money(95));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(6)));
        Assert.NotNull(meter.TryReserve(LedgerKind.Escalation, new Money(5)));
    }

    [Fact]
    public void At_midnight_the_budget_begins_anew_and_what_runs_weighs_on_the_new_day()
    {
        SpendMeter meter = Meter(100);
        meter.TryReserve(LedgerKind.Escalation, new Money(40))!.Settle(new Money(40));
        SpendReservation running = meter.TryReserve(LedgerKind.Escalation, new Money(60))!;
        _time.Advance(TimeSpan.FromHours(3));
        Assert.Equal(new DateOnly(2031, 5, 5), meter.Day);
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(41)));
        running.Settle(new Money(55));
        Assert.Equal((new Money(55), Money.Zero), (meter.Status(LedgerKind.Escalation).Spent, meter.Status(LedgerKind.Escalation).Reserved));
    }

    [Fact]
    public void A_clock_set_back_opens_no_new_budget()
    {
        SpendMeter meter = Meter(100);
        meter.TryReserve(LedgerKind.Escalation, new Money(100))!.Settle(new Money(100));
        _time.SetClock(_time.GetUtcNow() - TimeSpan.FromDays(2));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
        Assert.Equal(new DateOnly(2031, 5, 4), meter.Day);
        // Reaching the same day again is no new day either.
        _time.SetClock(_time.GetUtcNow() + TimeSpan.FromDays(2));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
    }

    [Fact]
    public void A_clock_set_forward_by_mistake_and_corrected_closes_the_purse_for_a_day_at_most()
    {
        SpendMeter meter = Meter(100);
        _time.SetClock(_time.GetUtcNow() + TimeSpan.FromDays(365));
        meter.TryReserve(LedgerKind.Escalation, new Money(100))!.Settle(new Money(100));
        _time.SetClock(_time.GetUtcNow() - TimeSpan.FromDays(365));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Null(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
        _time.Advance(TimeSpan.FromHours(24));
        Assert.NotNull(meter.TryReserve(LedgerKind.Escalation, new Money(1)));
        Assert.Equal(new DateOnly(2031, 5, 5), meter.Day);
    }

    [Fact]
    public void Many_threads_together_do_not_overrun_the_budget()
    {
        SpendMeter meter = Meter(10_000);
        long granted = 0;
        Parallel.For(0, 4000, i =>
        {
            if (meter.TryReserve(LedgerKind.Escalation, new Money(7)) is { } one)
            {
                Interlocked.Add(ref granted, 7);
                one.Settle(new Money(7));
            }
        });
        Assert.Equal(9996, granted);
        Assert.Equal((new Money(9996), Money.Zero), (meter.Status(LedgerKind.Escalation).Spent, meter.Status(LedgerKind.Escalation).Reserved));
    }

    [Fact]
    public void Amounts_below_nothing_are_refused()
    {
        SpendMeter meter = Meter(100);
        Assert.Throws<ArgumentOutOfRangeException>(() => meter.TryReserve(LedgerKind.Escalation, new Money(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => meter.Prime(LedgerKind.Escalation, new Money(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => meter.TryReserve(LedgerKind.Escalation, new Money(1))!.Settle(new Money(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Meter(-1));
    }

    private SpendMeter Meter(long limit) => new(new Dictionary<LedgerKind, Money> { [LedgerKind.Escalation] = new(limit) }, _time);

    /// <summary>A clock and a stopwatch that move when they are told to, apart from each other.</summary>
    private sealed class StoppedTime(DateTimeOffset now) : TimeProvider
    {
        private DateTimeOffset _now = now;
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => _now;

        public override long GetTimestamp() => _ticks;

        public void Advance(TimeSpan time)
        {
            _now += time;
            _ticks += time.Ticks;
        }

        public void SetClock(DateTimeOffset now) => _now = now;
    }
}
