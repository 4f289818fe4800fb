namespace ContinualNative.Core.Cycles;

/// <summary>What is known now of one answer that the local model gave and its client got: what canary and rollback tests go by.</summary>
/// <param name="Sequence">Position of the request in the order of arrival.</param>
/// <param name="RequestId">The request.</param>
/// <param name="Task">Its task.</param>
/// <param name="Adapter">The adapter that answered, or <c>base</c>.</param>
/// <param name="At">When the request came.</param>
/// <param name="Good">
/// Its latest outcome, if one was reported: accepted, or a score of at least one half. Else the verdict of its newest label (that of the newest teacher).
/// </param>
/// <param name="Audited">Whether it is in the random audit sample.</param>
/// <param name="Reported">Whether <paramref name="Good"/> is an outcome that was reported; else it is a label's verdict. Labels are mostly of answers that their model was unsure of.</param>
public readonly record struct LiveOutcome(long Sequence, string RequestId, string Task, string Adapter, DateTimeOffset At, bool Good, bool Audited, bool Reported);
