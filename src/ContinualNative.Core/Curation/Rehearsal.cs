using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Chooses old examples to be rehearsed because an update would interfere with them. After maximally interfered retrieval (Aljundi et al. 2019, "Online continual learning with maximal interfered retrieval"), without
/// its trial update: an earlier candidate was one, and the gate's verdict says what it broke (<see cref="LikeBroken"/>); and what fresh examples teach not to say any more is right elsewhere (<see cref="AtRisk"/>).
/// </summary>
/// <remarks>
/// An even sample of the old slices holds few examples of what is seldom asked: a product's name comes a few times among hundreds, training for newer names pushes it out, and every next candidate starts from
/// the same champion with as few of it.
/// <para>
/// What was broken is looked for by what the broken requests of a task have in common: a word that n of B broken requests and m of N old examples have counts n · ln((n ÷ B) ÷ (m ÷ N)), where that is above 0
/// (their pointwise mutual information, each broken request counted). A name that comes up in several of them decides, and the sentence that it stands in hardly counts, however rare its words are; the weight of
/// what they share is how much an old example is like a broken request.
/// </para>
/// <para>
/// Decision: what is golden chooses training data here. No golden request is trained on, nor one nearly like it (<see cref="LeakCheck"/>); the suite says what must be kept, and a candidate that keeps what is
/// like it does what it was marked for. Gain is judged on fresh requests, which choose nothing.
/// </para>
/// </remarks>
internal static class Rehearsal
{
    // Examples for each broken request, and each answer: enough to learn a name by, and few enough that one request does not fill the share.
    private const int MostEach = 16;

    // Of the weight of all that a broken request has in common with others, what an old example has to have.
    private const double Least = 0.3;

    /// <summary>
    /// Old examples whose right answer is what the model wrongly said to requests about something new: it takes that for one that it knows, and learning the one unlearns the other. From every such answer's examples in
    /// turn, in an order that depends on nothing but their ids.
    /// </summary>
    /// <param name="fresh">Fresh examples with a new name (<see cref="NewWords"/>): where there is none, an answer that was wrong may have been right before, and is not to be learned again.</param>
    /// <param name="old">Old examples.</param>
    /// <param name="taken">Ids of those that are chosen already.</param>
    /// <param name="most">How many at most.</param>
    public static IReadOnlyList<CurationItem> AtRisk(IEnumerable<CurationItem> fresh, IReadOnlyList<CurationItem> old, IReadOnlySet<string> taken, int most)
    {
        Dictionary<(string, string), int> unsaid = [];
        foreach (CurationItem item in fresh.Where(static i => i.IsSaid && i.Request.LocalAnswer is { Length: > 0 }))
        {
            (string, string) said = item.KeyOf(item.Request.LocalAnswer!);
            if (said != item.KeyOf(item.Truth.Answer))
            {
                unsaid[said] = unsaid.GetValueOrDefault(said) + 1;
            }
        }
        CurationItem[][] likest = [.. old.Where(i => !taken.Contains(i.Id)).GroupBy(static i => i.KeyOf(i.Truth.Answer)).Where(g => unsaid.ContainsKey(g.Key))
            .OrderByDescending(g => unsaid[g.Key]).ThenBy(static g => g.Key.Item1, StringComparer.Ordinal).ThenBy(static g => g.Key.Item2, StringComparer.Ordinal)
            .Select(static g => g.OrderBy(static i => StableHash.Of("rehearsal", i.Id)).ThenBy(static i => i.Id, StringComparer.Ordinal).ToArray())];
        return [.. Enumerable.Range(0, MostEach).SelectMany(round => likest.Where(l => round < l.Length).Select(l => l[round])).Take(Math.Max(most, 0))];
    }

    /// <summary>Old examples that are like requests which candidates broke, from every broken request's likest ones in turn. The choice depends on the requests and not on the order of <paramref name="old"/>.</summary>
    /// <param name="broken">Requests that were broken, the most telling first.</param>
    /// <param name="old">Old examples, each prompt once.</param>
    /// <param name="most">How many at most.</param>
    public static IReadOnlyList<CurationItem> LikeBroken(IReadOnlyList<SignalRequest> broken, IReadOnlyList<CurationItem> old, int most)
    {
        if (broken.Count == 0 || old.Count == 0 || most <= 0)
        {
            return [];
        }
        Queue<CurationItem>[] likest = [.. broken.GroupBy(static b => b.Key.Task, StringComparer.Ordinal).SelectMany(task => Likest([.. task], [.. old.Where(i => i.Request.Key.Task == task.Key)]))];
        HashSet<string> taken = new(broken.Select(static b => b.Key.RequestId), StringComparer.Ordinal);
        List<CurationItem> chosen = [];
        for (int round = 0; round < MostEach; round++)
        {
            foreach (Queue<CurationItem> queue in likest)
            {
                // What another one has taken is there already.
                while (queue.TryDequeue(out CurationItem? next) && chosen.Count < most)
                {
                    if (taken.Add(next.Id))
                    {
                        chosen.Add(next);
                        break;
                    }
                }
            }
        }
        return chosen;
    }

    // Old examples of one task that are like each broken request, likest first.
    private static IEnumerable<Queue<CurationItem>> Likest(SignalRequest[] broken, CurationItem[] old)
    {
        IReadOnlySet<string>[] words = [.. broken.Select(static b => PromptText.Read(b.Prompt)).OfType<PromptText>().Select(static p => p.ToWords())];
        Dictionary<string, List<int>> postings = new(StringComparer.Ordinal);
        for (int i = 0; i < old.Length; i++)
        {
            foreach (string word in old[i].Words)
            {
                (postings.TryGetValue(word, out List<int>? list) ? list : postings[word] = []).Add(i);
            }
        }
        Dictionary<string, double> weights = words.SelectMany(static w => w).GroupBy(static w => w, StringComparer.Ordinal).Where(g => postings.ContainsKey(g.Key))
            .Select(g => (Word: g.Key, Weight: g.Count() * Math.Log((double)g.Count() / words.Length * old.Length / postings[g.Key].Count))).Where(static w => w.Weight > 0)
            .ToDictionary(static w => w.Word, static w => w.Weight, StringComparer.Ordinal);
        foreach (IReadOnlySet<string> request in words)
        {
            double all = 0;
            Dictionary<int, double> shared = [];
            foreach (string word in request.Where(weights.ContainsKey).Order(StringComparer.Ordinal))
            {
                all += weights[word];
                foreach (int item in postings[word])
                {
                    shared[item] = shared.GetValueOrDefault(item) + weights[word];
                }
            }
            yield return new Queue<CurationItem>(shared.Where(s => s.Value >= Least * all).OrderByDescending(static s => s.Value).ThenBy(s => old[s.Key].Id, StringComparer.Ordinal).Select(s => old[s.Key]));
        }
    }
}
