namespace ContinualNative.Core.Curation;

/// <summary>
/// Keeps the prompts of training and evaluation apart. What is evaluated on leaves training, equal and near prompts alike; beyond <see cref="CurationOptions.LeakLimit"/> it is the
/// other way round for the prompts that come most often.
/// </summary>
/// <remarks>
/// Decision: the limit. Requests are held out by their ids, so where customers ask the same few hundred questions again and again nearly all of these are held out once,
/// and without it nothing would be left to learn, least of all what is asked most. What then remains to evaluate on are the rarer questions: harder
/// than the traffic, and for both models alike. Golden requests always stay; old examples always make way.
/// </remarks>
internal sealed class LeakCheck
{
    private readonly PromptGroups _groups;
    private readonly bool[] _evaluated;

    // Of each group, how many of it and of those near it are evaluated.
    private readonly int[] _around;

    private LeakCheck(PromptGroups groups)
    {
        _groups = groups;
        _evaluated = [.. groups.Members.Select(static m => m.Any(static i => i.IsEvaluation && i.Exclusion is null))];
        _around = [.. Enumerable.Range(0, groups.Count).Select(group => groups.Around(group).Count(g => _evaluated[g]))];
    }

    /// <summary>Excludes items of one side or the other.</summary>
    public static void Apply(PromptGroups groups, double limit)
    {
        LeakCheck check = new(groups);
        check.GiveBack(limit);
        foreach (CurationItem item in groups.Members.SelectMany(static m => m).Where(static i => i.Exclusion is null))
        {
            if (item.IsEvaluation)
            {
                item.Exclusion = check._evaluated[item.Group] ? null : CurationExclusion.Repeated;
            }
            else if (check._around[item.Group] > 0)
            {
                item.Exclusion = check._evaluated[item.Group] ? CurationExclusion.Leak : CurationExclusion.NearLeak;
            }
        }
    }

    private void GiveBack(double limit)
    {
        int[] fresh = [.. _groups.Members.Select(static m => m.Count(static i => i.Role == CurationRole.Fresh && i.Exclusion is null))];
        HashSet<int> leaking = [.. Enumerable.Range(0, _groups.Count).Where(g => fresh[g] > 0 && _around[g] > 0)];
        int most = (int)Math.Ceiling(limit * fresh.Count(static f => f > 0));
        foreach (int group in leaking.OrderByDescending(g => fresh[g]).ThenBy(static g => g).ToArray())
        {
            if (leaking.Count <= most)
            {
                return;
            }
            if (!leaking.Contains(group) || _groups.Around(group).Any(IsGolden))
            {
                continue;
            }
            foreach (int evaluated in _groups.Around(group).Where(g => _evaluated[g]).ToArray())
            {
                _evaluated[evaluated] = false;
                foreach (int other in _groups.Around(evaluated))
                {
                    if (--_around[other] == 0)
                    {
                        leaking.Remove(other);
                    }
                }
            }
        }
    }

    private bool IsGolden(int group) => _evaluated[group] && _groups.Members[group].Any(static i => i.Role == CurationRole.Golden && i.Exclusion is null);
}
