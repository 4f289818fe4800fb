namespace ContinualNative.Core.Curation;

/// <summary>The distinct prompts of a curation, who has them, and which are near each other.</summary>
internal sealed class PromptGroups
{
    private readonly IReadOnlyList<IReadOnlyList<int>> _near;

    private PromptGroups(PromptText[] prompts, List<CurationItem>[] members, IReadOnlyList<IReadOnlyList<int>> near)
    {
        (Prompts, Members, _near) = (prompts, members, near);
    }

    public IReadOnlyList<PromptText> Prompts { get; }

    public IReadOnlyList<IReadOnlyList<CurationItem>> Members { get; }

    public int Count => Prompts.Count;

    /// <summary>Sets each item's group. The order of groups depends on the prompts alone; those to evaluate on come first, where <see cref="NearDuplicates"/> misses least.</summary>
    public static PromptGroups Of(IReadOnlyList<CurationItem> items, double threshold)
    {
        List<CurationItem>[] groups = items.GroupBy(static i => i.Prompt.Key, StringComparer.Ordinal)
            .OrderBy(static g => g.Any(static i => i.IsEvaluation) ? 0 : 1).ThenBy(static g => g.Key, StringComparer.Ordinal).Select(static g => g.ToList()).ToArray();
        for (int group = 0; group < groups.Length; group++)
        {
            groups[group].Sort(CurationItem.Older);
            foreach (CurationItem item in groups[group])
            {
                item.Group = group;
            }
        }
        PromptText[] prompts = [.. groups.Select(static g => g[0].Prompt)];
        return new PromptGroups(prompts, groups, NearDuplicates.Find(prompts, threshold));
    }

    /// <summary>The groups whose prompt is nearly that of <paramref name="group"/>.</summary>
    public IReadOnlyList<int> Near(int group) => _near[group];

    /// <summary>The group and those near it.</summary>
    public IEnumerable<int> Around(int group) => _near[group].Prepend(group);

    /// <summary>The group and those near it that ask the same.</summary>
    public IEnumerable<int> Family(int group) => _near[group].Where(other => Prompts[group].AsksTheSame(Prompts[other])).Prepend(group);
}
