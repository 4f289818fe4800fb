using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Chooses old examples to be rehearsed because they are like requests that an earlier candidate broke. After maximally interfered retrieval (Aljundi et al. 2019, "Online continual learning with maximal
/// interfered retrieval"): what an update would interfere with most is replayed with it. Here the update was made already, and the gate's verdict on it says what it interfered with.
/// </summary>
/// <remarks>
/// An even sample of the old slices holds few examples of what is seldom asked: a product's name comes a few times among hundreds, training for newer names pushes it out, and every next candidate starts from
/// the same champion with as few of it.
/// <para>
/// How alike two prompts are is the cosine of their tf–idf vectors: each word of a prompt once, by ln((N + 1) ÷ n), where n of the N old examples have it, and 0 where none has.
/// A name that is rare decides, and the sentence that it comes in says little.
/// </para>
/// <para>
/// Decision: what is golden chooses training data here. No golden request is trained on, nor one nearly like it (<see cref="LeakCheck"/>); the suite says what must be kept, and a candidate that keeps what is
/// like it does what it was marked for. Gain is judged on fresh requests, which choose nothing.
/// </para>
/// </remarks>
internal static class Rehearsal
{
    // Examples for each broken request: enough to learn a name by, and few enough that one request does not fill the share.
    private const int MostEach = 8;

    // Below it, what two prompts have in common is little more than chance.
    private const double Least = 0.2;

    /// <summary>Chooses, from every broken request's likest ones in turn. The choice depends on the requests and not on the order of <paramref name="old"/>.</summary>
    /// <param name="broken">Requests that were broken, the most telling first.</param>
    /// <param name="old">Old examples, each prompt once.</param>
    /// <param name="most">How many at most.</param>
    public static IReadOnlyList<CurationItem> Choose(IReadOnlyList<SignalRequest> broken, IReadOnlyList<CurationItem> old, int most)
    {
        if (broken.Count == 0 || old.Count == 0 || most <= 0)
        {
            return [];
        }
        TermIndex index = new(old);
        CurationItem[][] likest = [.. broken.Select(index.Likest)];
        HashSet<string> taken = new(StringComparer.Ordinal);
        List<CurationItem> chosen = [];
        for (int rank = 0; rank < MostEach; rank++)
        {
            foreach (CurationItem[] ranked in likest)
            {
                if (chosen.Count < most && rank < ranked.Length && taken.Add(ranked[rank].Id))
                {
                    chosen.Add(ranked[rank]);
                }
            }
        }
        return chosen;
    }

    private static HashSet<string> Words(PromptText prompt) => new(AnswerText.Words(prompt.Body), StringComparer.Ordinal);

    // Which old examples have a word.
    private sealed class TermIndex
    {
        private readonly IReadOnlyList<CurationItem> _items;
        private readonly Dictionary<string, List<int>> _postings = new(StringComparer.Ordinal);
        private readonly double[] _lengths;

        public TermIndex(IReadOnlyList<CurationItem> items)
        {
            _items = items;
            HashSet<string>[] words = [.. items.Select(static i => Words(i.Prompt))];
            for (int i = 0; i < words.Length; i++)
            {
                foreach (string word in words[i])
                {
                    (_postings.TryGetValue(word, out List<int>? list) ? list : _postings[word] = []).Add(i);
                }
            }
            _lengths = [.. words.Select(set => Math.Sqrt(set.Sum(w => Square(Weight(w)))))];
        }

        /// <summary>The old examples of the same task that are likest, best first.</summary>
        public CurationItem[] Likest(SignalRequest request)
        {
            if (PromptText.Read(request.Prompt) is not { } prompt)
            {
                return [];
            }
            HashSet<string> words = Words(prompt);
            double length = Math.Sqrt(words.Sum(w => Square(Weight(w))));
            Dictionary<int, double> dots = [];
            foreach (string word in words.Where(w => Weight(w) > 0))
            {
                foreach (int item in _postings.GetValueOrDefault(word) ?? [])
                {
                    dots[item] = dots.GetValueOrDefault(item) + Square(Weight(word));
                }
            }
            return
            [
                .. dots.Where(d => d.Value >= Least * length * _lengths[d.Key] && _items[d.Key].Request.Key.Task == request.Key.Task && _items[d.Key].Id != request.Key.RequestId)
                    .OrderByDescending(d => d.Value / _lengths[d.Key]).ThenBy(d => _items[d.Key].Id, StringComparer.Ordinal).Take(MostEach).Select(d => _items[d.Key]),
            ];
        }

        private double Weight(string word) => _postings.TryGetValue(word, out List<int>? list) ? Math.Log((_items.Count + 1.0) / list.Count) : 0;

        private static double Square(double x) => x * x;
    }
}
