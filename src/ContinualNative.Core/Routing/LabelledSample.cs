namespace ContinualNative.Core.Routing;

/// <summary>A judged local answer whose correctness is known: what calibrations are fitted to.</summary>
/// <param name="Sequence">Position in the order of arrival; larger is newer.</param>
/// <param name="RequestId">The request.</param>
/// <param name="Task">Its task.</param>
/// <param name="Adapter">The adapter that answered.</param>
/// <param name="Features">What was known of the answer.</param>
/// <param name="Correct">Whether the answer agrees with the teacher's, by the task's measure.</param>
/// <param name="Audited">Whether it is in the random audit sample; only those are an unbiased picture of all requests.</param>
/// <param name="AuditProbability">The probability with which it was drawn into it.</param>
public readonly record struct LabelledSample(
    long Sequence,
    string RequestId,
    string Task,
    string Adapter,
    RoutingFeatures Features,
    bool Correct,
    bool Audited,
    double AuditProbability);
