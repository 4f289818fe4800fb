using System.Diagnostics;

namespace ContinualNative.Bench;

/// <summary>Lines on standard error, one every few seconds, of what takes more than two: how much is done, at what rate, and the time left. Thread-safe.</summary>
internal sealed class RoutingProgress(string what, string unit, int total)
{
    private static readonly TimeSpan FirstLine = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(5);

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _due = (long)FirstLine.TotalMilliseconds;
    private int _done;

    public void Add(int count = 1)
    {
        int done = Interlocked.Add(ref _done, count);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_start);
        long due = Volatile.Read(ref _due);
        long now = (long)elapsed.TotalMilliseconds;
        if (now >= due && Interlocked.CompareExchange(ref _due, now + (long)LineEvery.TotalMilliseconds, due) == due)
        {
            double rate = done / elapsed.TotalSeconds;
            Console.Error.WriteLine($"{what}: {done} of {total} {unit}, {rate:0.#} a second, {Math.Ceiling((total - done) / rate):0} s left");
        }
    }
}
