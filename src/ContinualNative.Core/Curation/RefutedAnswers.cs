using ContinualNative.Core.Routing;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Answers that fresh labels or corrections found wrong several times, for questions that are alike, and right never: a policy has changed. Older examples with such an
/// answer would teach it again, and older evaluations would hold the new one against the candidate.
/// </summary>
/// <remarks>
/// <see cref="CurationPass.DropSuperseded"/> sees only questions in the same words; customers ask the same in many. Here the model's own wrong answers tell which questions are the
/// same: it took them for one. Decision: only strong truths refute (a teacher's, two keys', or an established key's), twice at least, and one confirmation anywhere saves the answer. A
/// label that is wrong itself must not empty a slice of what is to be remembered.
/// <para>
/// Decision: a question about something new (<see cref="NewWords"/>) refutes nothing. A new product is taken for an old one; of the old one the answer is as right as ever.
/// </para>
/// </remarks>
internal sealed class RefutedAnswers
{
    private const int Least = 2;

    // Cosine of two prompts' embeddings from which on they are alike: some of their words are the same.
    private const float Alike = 0.35f;

    private readonly Dictionary<(string Task, string Answer), List<CurationItem>> _refuted;

    private RefutedAnswers(Dictionary<(string, string), List<CurationItem>> refuted) => _refuted = refuted;

    /// <summary>What fresh requests refute.</summary>
    /// <param name="fresh">They, with what is known to be right.</param>
    /// <param name="names">Names of what is new.</param>
    public static RefutedAnswers Of(IEnumerable<CurationItem> fresh, NewWords names)
    {
        Dictionary<(string, string), List<CurationItem>> refuted = [];
        HashSet<(string, string)> confirmed = [];
        foreach (CurationItem item in fresh.Where(static i => i.IsSaid && i.Truth.Strong))
        {
            (string, string) truth = item.KeyOf(item.Truth.Answer);
            confirmed.Add(truth);
            if (names.IsIn(item))
            {
                continue;
            }
            if (item.Request.LocalAnswer is { Length: > 0 } said && item.KeyOf(said) is var own && own != truth)
            {
                (refuted.TryGetValue(own, out List<CurationItem>? by) ? by : refuted[own] = []).Add(item);
            }
        }
        foreach ((string, string) answer in refuted.Where(r => r.Value.Count < Least || confirmed.Contains(r.Key)).Select(static r => r.Key).ToArray())
        {
            refuted.Remove(answer);
        }
        return new RefutedAnswers(refuted);
    }

    /// <summary>Whether an item's answer is refuted by later words about a question like its own.</summary>
    public bool Holds(CurationItem item) =>
        _refuted.TryGetValue(item.KeyOf(item.Truth.Answer), out List<CurationItem>? by)
        && by.Any(other => other.Truth.At > item.Truth.At && other.Request.Key.Sequence > item.Request.Key.Sequence && AreAlike(other, item));

    private static bool AreAlike(CurationItem a, CurationItem b) =>
        a.Request.Embedding.Length == 0 || a.Request.Embedding.Length != b.Request.Embedding.Length
        || Vectors.Dot(a.Request.Embedding.Span, b.Request.Embedding.Span) >= Alike;
}
