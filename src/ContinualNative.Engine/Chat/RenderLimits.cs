using System.Diagnostics;
using Jint;

namespace ContinualNative.Engine.Chat;

/// <summary>
/// Stops a script that runs too long or allocates too much. One per engine; armed before each call. Statements are the measure of work, the
/// same on an idle and on a busy machine; the clock only stops what hides much work in few statements.
/// </summary>
internal sealed class RenderLimits : Constraint
{
    // Reading clock and allocation counter costs more than a statement does; this many statements take microseconds.
    private const int Interval = 64;

    private long _deadline = long.MaxValue;
    private long _allocationEnd = long.MaxValue;
    private long _steps = long.MaxValue;
    private int _countdown = Interval;

    /// <summary>Allows the next call on this thread so many statements, so much time and so many bytes allocated.</summary>
    public void Arm(long steps, TimeSpan time, long bytes)
    {
        _steps = steps;
        _deadline = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        _allocationEnd = GC.GetAllocatedBytesForCurrentThread() + bytes;
        _countdown = Interval;
    }

    public override void Check()
    {
        if (--_countdown > 0)
        {
            return;
        }

        _countdown = Interval;
        _steps -= Interval;
        if (_steps < 0)
        {
            throw new RenderLimitException("it took too many steps");
        }

        if (Stopwatch.GetTimestamp() > _deadline)
        {
            throw new RenderLimitException("it ran too long");
        }

        if (GC.GetAllocatedBytesForCurrentThread() > _allocationEnd)
        {
            throw new RenderLimitException("it used too much memory");
        }
    }

    public override void Reset()
    {
        // The limits belong to a whole call, which may execute several scripts: only Arm rewinds them.
    }
}

/// <summary>A template went over a limit.</summary>
internal sealed class RenderLimitException(string reason) : Exception(reason);
