namespace ContinualNative.Host.Demo;

/// <summary>A calendar that the demo turns, so that weeks pass in seconds. Timers and time stamps are the system's: what is waited for and measured is real.</summary>
internal sealed class DemoClock : TimeProvider
{
    /// <summary>The Monday on which every demo begins.</summary>
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private long _now = Start.UtcTicks;

    /// <inheritdoc/>
    public override DateTimeOffset GetUtcNow() => new(Volatile.Read(ref _now), TimeSpan.Zero);

    /// <summary>Turns the calendar on to a moment of a week; never back.</summary>
    /// <param name="week">From 0.</param>
    /// <param name="share">How much of the week has passed, 0 to 1.</param>
    public void Turn(int week, double share)
    {
        long to = Start.AddDays(7 * (week + share)).UtcTicks;
        long now = Volatile.Read(ref _now);
        while (to > now)
        {
            long before = Interlocked.CompareExchange(ref _now, to, now);
            if (before == now)
            {
                return;
            }
            now = before;
        }
    }
}
