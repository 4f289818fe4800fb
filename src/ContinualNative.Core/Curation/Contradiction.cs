using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Curation;

/// <summary>Reports that contradict each other, as the store means it: accepted against rejected or corrected.</summary>
internal static class Contradiction
{
    public static bool In(IReadOnlyCollection<Outcome> outcomes) =>
        outcomes.Any(static o => o.Kind == OutcomeKind.Accepted) && outcomes.Any(static o => o.Kind is OutcomeKind.Rejected or OutcomeKind.Corrected);
}
