using ContinualNative.Core.Cycles;

namespace ContinualNative.Host.Cycles;

/// <summary>What the running cycle does at the moment, for whoever asks.</summary>
/// <param name="Cycle">The cycle.</param>
/// <param name="State">Its state.</param>
/// <param name="Activity">In words.</param>
/// <param name="Share">How much of the state is done, 0 to 1, or null where that can't be told.</param>
/// <param name="TimeLeft">Of the state, or null.</param>
internal sealed record CycleProgress(long Cycle, CycleState State, string Activity, double? Share, TimeSpan? TimeLeft);
