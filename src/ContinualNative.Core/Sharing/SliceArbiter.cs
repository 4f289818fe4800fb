namespace ContinualNative.Core.Sharing;

/// <summary>
/// How long training waits between two slices of its work while requests wait for the processor: serving comes first, and training never starves. One thread.
/// </summary>
/// <param name="floor">The least share of time that training gets, above 0 to 1.</param>
public sealed class SliceArbiter(double floor)
{
    // A wait is cut into parts, so that training goes on soon after the last request was admitted.
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(50);

    private readonly double _floor = floor is > 0 and <= 1 ? floor : throw new ArgumentOutOfRangeException(nameof(floor), floor, "The floor is above 0 and at most 1.");
    private TimeSpan _debt;

    /// <summary>What to wait before the next slice; zero: go on.</summary>
    /// <param name="requestsWait">Whether requests wait to be admitted.</param>
    /// <param name="worked">Time that the last slice took; zero when the call follows a wait.</param>
    /// <remarks>While requests wait, each slice earns (1 − floor) ÷ floor of its time as waiting; what was not needed is forgotten once none waits.</remarks>
    public TimeSpan Next(bool requestsWait, TimeSpan worked)
    {
        if (!requestsWait)
        {
            _debt = TimeSpan.Zero;
            return TimeSpan.Zero;
        }
        _debt += worked * ((1 - _floor) / _floor);
        TimeSpan wait = _debt < Longest ? _debt : Longest;
        _debt -= wait;
        return wait;
    }
}
