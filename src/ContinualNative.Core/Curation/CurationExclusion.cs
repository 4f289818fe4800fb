namespace ContinualNative.Core.Curation;

/// <summary>Why a request that was read is not in a set.</summary>
public enum CurationExclusion
{
    /// <summary>It was planned, but is no longer there: erased, expired, or without its texts.</summary>
    Missing,

    /// <summary>Its prompt is not a conversation that can be read.</summary>
    Unreadable,

    /// <summary>Nobody says what the right answer is.</summary>
    NoTruth,

    /// <summary>Its outcomes contradict each other.</summary>
    Contradicted,

    /// <summary>Only keys say so whose trust is too low.</summary>
    Untrusted,

    /// <summary>A correction and a teacher's label differ, and nothing decides between them.</summary>
    Disputed,

    /// <summary>The terms of the teacher that answered it forbid training.</summary>
    NotAllowed,

    /// <summary>The client rejected the teacher's answer, and gave none.</summary>
    TeacherRejected,

    /// <summary>The same question has another answer since.</summary>
    Superseded,

    /// <summary>Its answer is one that was found wrong of late for questions like it, several times, and never right; see <see cref="RefutedAnswers"/>.</summary>
    Refuted,

    /// <summary>Its answer was only accepted or its own, and differs from what a teacher or a correction says to the same question.</summary>
    Conflict,

    /// <summary>The same prompt is there already.</summary>
    Duplicate,

    /// <summary>Nearly the same prompt is there already.</summary>
    NearDuplicate,

    /// <summary>Its prompt is one that is evaluated on.</summary>
    Leak,

    /// <summary>Its prompt is nearly one that is evaluated on.</summary>
    NearLeak,

    /// <summary>Of an evaluation: its prompt comes so often that it is trained on instead.</summary>
    Repeated,

    /// <summary>Of an evaluation: what is right is only known because the local answer was found right or wrong; see <see cref="EvaluationBasis.Judged"/>.</summary>
    Judged,

    /// <summary>Too many examples rest on its key's word.</summary>
    KeyCap,

    /// <summary>There is no room for it.</summary>
    Room,
}
