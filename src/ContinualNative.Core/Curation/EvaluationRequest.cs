namespace ContinualNative.Core.Curation;

/// <summary>What a request is evaluated for.</summary>
public enum EvaluationSuite
{
    /// <summary>Held out and newer than all that the champion was trained on: shows a gain.</summary>
    Fresh = 0,

    /// <summary>Held out and old: shows what was forgotten.</summary>
    Old = 1,

    /// <summary>Marked as golden: must not get worse.</summary>
    Golden = 2,
}

/// <summary>Why the right answer to a request is known, which decides what it shows.</summary>
public enum EvaluationBasis
{
    /// <summary>It is in the random audit sample: it stands for all traffic.</summary>
    Audit = 0,

    /// <summary>A teacher was asked for reasons known before anybody judged the local answer: it stands for traffic of its kind.</summary>
    Chosen = 1,

    /// <summary>
    /// A client accepted or corrected the local answer, or a teacher was asked because it was bad. Such requests are chosen by whether the champion was right: on those that it
    /// failed, any other model looks better, on those that were accepted any other looks worse.
    /// </summary>
    Judged = 2,
}

/// <summary>A request that champion and candidate answer, to be compared.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Slice">Its slice, as <see cref="Slices.Of"/> names it.</param>
/// <param name="Task">Its task.</param>
/// <param name="Prompt">The request as JSON.</param>
/// <param name="Truth">The right answer, in the form of <see cref="Traffic.RequestRecord.LocalAnswer"/>.</param>
/// <param name="Suite">What it is there for.</param>
/// <param name="Basis">Why its truth is known.</param>
public sealed record EvaluationRequest(string RequestId, string Slice, string Task, string Prompt, string Truth, EvaluationSuite Suite, EvaluationBasis Basis);
