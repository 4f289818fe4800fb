namespace ContinualNative.Core.Economics;

/// <summary>
/// Shares the time of one machine among the answers that it generates at the same time: while n run, each is charged 1/n of every second, so that all
/// charges add up to the time in which anything ran. Thread-safe.
/// </summary>
public sealed class ServingClock(TimeProvider time)
{
    private readonly Lock _gate = new();
    private long _last;
    private int _running;
    private double _shared;

    /// <summary>Seconds in which at least one answer ran.</summary>
    public double BusySeconds { get; private set; }

    /// <summary>An answer begins. Give what this returns to <see cref="Exit"/>, once.</summary>
    public double Enter()
    {
        lock (_gate)
        {
            Advance();
            _running++;
            return _shared;
        }
    }

    /// <summary>It ends; gives the seconds that it is charged.</summary>
    public double Exit(double entered)
    {
        lock (_gate)
        {
            Advance();
            _running--;
            return _shared - entered;
        }
    }

    private void Advance()
    {
        long now = time.GetTimestamp();
        if (_running > 0)
        {
            double seconds = time.GetElapsedTime(_last, now).TotalSeconds;
            BusySeconds += seconds;
            _shared += seconds / _running;
        }
        _last = now;
    }
}
