using System.Diagnostics;
using ContinualNative.Core.Sharing;
using ContinualNative.Engine;

namespace ContinualNative.Host.Training;

/// <summary>Training steps aside while requests wait to be admitted.</summary>
internal static class ServingFirst
{
    // Training goes on at a fifth of its speed when requests wait without end.
    private const double Floor = 0.2;

    /// <summary>What to do between two slices of a training beside an engine (<see cref="Interop.Trainer.TrainerHandle.Slice"/>); it never stops the training by itself.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    public static Func<bool> On(InferenceEngine engine, CancellationToken cancellationToken)
    {
        SliceArbiter arbiter = new(Floor);
        long began = Stopwatch.GetTimestamp();
        return () =>
        {
            TimeSpan wait = arbiter.Next(engine.Statistics.Queued > 0, Stopwatch.GetElapsedTime(began));
            while (wait > TimeSpan.Zero && !cancellationToken.IsCancellationRequested)
            {
                Thread.Sleep(wait);
                wait = arbiter.Next(engine.Statistics.Queued > 0, TimeSpan.Zero);
            }
            began = Stopwatch.GetTimestamp();
            return false;
        };
    }
}
