using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>What a request was planned for.</summary>
internal enum CurationRole
{
    Golden,
    OldHoldout,
    FreshHoldout,
    Fresh,
    Replay,
}

/// <summary>A request on its way through curation.</summary>
internal sealed class CurationItem
{
    private IReadOnlySet<string>? _words;

    public required SignalRequest Request { get; init; }

    public required CurationRole Role { get; init; }

    public required PromptText Prompt { get; init; }

    public required Truth Truth { get; init; }

    /// <summary>Of <see cref="Prompt"/>.</summary>
    public IReadOnlySet<string> Words => _words ??= Prompt.ToWords();

    /// <summary>An answer to a request of its task: equal for answers that are equal after normalization.</summary>
    public (string Task, string Answer) KeyOf(string answer) => (Request.Key.Task, AnswerText.Normalize(answer));

    /// <summary>Position of its prompt among the distinct ones.</summary>
    public int Group { get; set; }

    /// <summary>Why it is out, or null while it is in.</summary>
    public CurationExclusion? Exclusion { get; set; }

    public bool IsEvaluation => Role is CurationRole.Golden or CurationRole.OldHoldout or CurationRole.FreshHoldout;

    public string Id => Request.Key.RequestId;

    /// <summary>Whether somebody other than the model and one who took its answer says so.</summary>
    public bool IsSaid => Truth.Source is ExampleSource.Teacher or ExampleSource.Correction;

    /// <summary>By when the truth was said, then by arrival.</summary>
    public static int Older(CurationItem a, CurationItem b) =>
        a.Truth.At != b.Truth.At ? a.Truth.At.CompareTo(b.Truth.At) : SignalPlan.ByArrival(a.Request.Key, b.Request.Key);
}
