using ContinualNative.Core.Curation;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Cycles;

/// <summary>The right answer to a live request, as far as it is known.</summary>
internal static class EvaluationTruth
{
    /// <summary>The newest teacher's answer; else the newest correction; else the answer that its client accepted; null where nobody says.</summary>
    public static string? Of(SignalRequest request)
    {
        if (request.Labels.LastOrDefault(static l => !string.IsNullOrWhiteSpace(l.Answer)) is { } label)
        {
            return label.Answer;
        }
        if (request.Contradicted)
        {
            return null;
        }
        return (request.Outcomes.Count > 0 ? request.Outcomes[^1] : null) switch
        {
            { Kind: OutcomeKind.Corrected, Correction: { Length: > 0 } correction } => correction,
            { Kind: OutcomeKind.Accepted } when request.Route == Route.Local => request.LocalAnswer,
            _ => null,
        };
    }
}
