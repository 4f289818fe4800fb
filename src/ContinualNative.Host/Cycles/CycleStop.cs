namespace ContinualNative.Host.Cycles;

/// <summary>A cycle ends here without a promotion, for a reason that is no fault of the program: the stage says what to note.</summary>
internal sealed class CycleStop(string reason) : Exception(reason);
