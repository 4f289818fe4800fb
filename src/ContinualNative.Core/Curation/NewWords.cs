namespace ContinualNative.Core.Curation;

/// <summary>
/// Words that come up again and again of late and in no older request of their task: names of what is new. The model mostly answers what has one as if it were something that it knows; that such an answer is
/// wrong says nothing of whether it is right where the word is not.
/// </summary>
internal sealed class NewWords
{
    // A typing error is new once.
    private const int Least = 2;

    // Of fewer old requests of a task ordinary words are missing, too.
    private const int FewestOld = 50;

    private readonly HashSet<(string Task, string Word)> _words;

    private NewWords(HashSet<(string, string)> words) => _words = words;

    /// <summary>The words of two fresh requests or more. Those with a digit do not count: numbers are always new. None of a task with fewer than 50 old requests.</summary>
    public static NewWords Of(IEnumerable<CurationItem> fresh, IEnumerable<CurationItem> old)
    {
        Dictionary<string, CurationItem[]> before = old.GroupBy(static i => i.Request.Key.Task, StringComparer.Ordinal).Where(static g => g.Count() >= FewestOld)
            .ToDictionary(static g => g.Key, static g => g.ToArray(), StringComparer.Ordinal);
        Dictionary<(string, string), int> counts = [];
        foreach (CurationItem item in fresh.Where(i => before.ContainsKey(i.Request.Key.Task)))
        {
            foreach (string word in item.Words.Where(static w => !w.Any(char.IsDigit)))
            {
                counts[(item.Request.Key.Task, word)] = counts.GetValueOrDefault((item.Request.Key.Task, word)) + 1;
            }
        }
        foreach (CurationItem item in before.Values.SelectMany(static items => items))
        {
            foreach (string word in item.Words)
            {
                counts.Remove((item.Request.Key.Task, word));
            }
        }
        return new NewWords([.. counts.Where(static c => c.Value >= Least).Select(static c => c.Key)]);
    }

    /// <summary>Whether the request has one.</summary>
    public bool IsIn(CurationItem item) => item.Words.Any(word => _words.Contains((item.Request.Key.Task, word)));
}
