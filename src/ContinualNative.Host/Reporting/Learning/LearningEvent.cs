namespace ContinualNative.Host.Reporting.Learning;

/// <summary>What kind of thing happened.</summary>
internal enum LearningEventKind
{
    /// <summary>The traffic changed.</summary>
    Drift,

    /// <summary>The frontier got a new version.</summary>
    Release,

    /// <summary>An adapter became champion.</summary>
    Promotion,

    /// <summary>An adapter was refused.</summary>
    Rejection,

    /// <summary>A champion was taken back.</summary>
    Rollback,

    /// <summary>Anything else.</summary>
    Note,
}

/// <summary>Something that happened in a period.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Text">The whole of it, for people: <c>adapter c7 rejected: the golden suite fell by 4 points</c>.</param>
/// <param name="Mark">The few words that stand beside its marker in the figure, such as <c>c7</c>; null: <paramref name="Text"/>.</param>
internal sealed record LearningEvent(LearningEventKind Kind, string Text, string? Mark = null);
