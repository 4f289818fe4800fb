namespace ContinualNative.Storage;

/// <summary>One stored evaluation of an adapter.</summary>
/// <param name="Cycle">The cycle; 0: outside of any.</param>
/// <param name="Kind">Such as <c>gate</c>.</param>
/// <param name="At">When.</param>
/// <param name="Json">What it found.</param>
public sealed record StoredEvaluation(long Cycle, string Kind, DateTimeOffset At, string Json);
