using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>One curation while it runs: its items, each step that takes some of them out, and the count of these. Not thread-safe.</summary>
internal sealed class CurationPass
{
    private readonly CurationOptions _options;
    private readonly AnswerComparer _same;
    private readonly DateTimeOffset _asOf;
    private readonly List<CurationItem> _items = [];
    private readonly SortedDictionary<CurationExclusion, int> _unread = [];
    private readonly SortedDictionary<CurationExclusion, int> _unreadEvaluation = [];
    private KeyTrust? _trust;
    private TruthFinder? _finder;
    private NewWords? _names;
    private SignalRequest[] _broken = [];
    private int _planned;
    private int _rehearsed;

    public CurationPass(CurationOptions options, AnswerComparer same, DateTimeOffset asOf)
    {
        (_options, _same, _asOf) = (options, same, asOf);
    }

    /// <summary>All with a truth.</summary>
    public IReadOnlyList<CurationItem> Items => _items;

    public TruthFinder Finder => _finder ?? throw new InvalidOperationException("Nothing was read yet.");

    private NewWords Names => _names ?? throw new InvalidOperationException("Nothing was read yet.");

    /// <summary>Finds the truth of all planned requests.</summary>
    public void Take(SignalPlan plan, IReadOnlyDictionary<string, SignalRequest> read)
    {
        _trust = _options.BelieveReports ? KeyTrust.Everyone : KeyTrust.From(plan.All.Distinct(StringComparer.Ordinal).Where(read.ContainsKey).Select(id => read[id]), _asOf, _same);
        _finder = new TruthFinder(_trust, _options.MinimumTrust, _asOf, _same);
        HashSet<string> taken = new(StringComparer.Ordinal);
        // What is evaluated on comes first: a request that a plan names twice is never trained on.
        foreach ((CurationRole role, IReadOnlyList<string> ids) in ((CurationRole, IReadOnlyList<string>)[])
            [(CurationRole.Golden, plan.Golden), (CurationRole.OldHoldout, plan.OldHoldout), (CurationRole.FreshHoldout, plan.FreshHoldout), (CurationRole.Fresh, plan.FreshTrain), (CurationRole.Replay, plan.Replay)])
        {
            foreach (string id in ids.Where(taken.Add))
            {
                Take(role, read.GetValueOrDefault(id));
            }
        }
        _planned = taken.Count;
        _names = NewWords.Of(_items.Where(i => i.Request.Key.Sequence > plan.Previous), _items.Where(i => i.Request.Key.Sequence <= plan.Previous));
        _broken = [.. plan.Broken.Select(read.GetValueOrDefault).OfType<SignalRequest>()];
        DropJudged();
    }

    /// <summary>Takes out answers that are not the newest to their question.</summary>
    public void DropSuperseded(PromptGroups groups)
    {
        // Members are sorted, so the last one is the newest.
        CurationItem?[] newest = [.. groups.Members.Select(static m => m.LastOrDefault(static i => i.IsSaid))];
        CurationItem?[] strong = [.. groups.Members.Select(static m => m.LastOrDefault(static i => i.IsSaid && i.Truth.Strong))];
        for (int group = 0; group < groups.Count; group++)
        {
            int[] family = [.. groups.Family(group)];
            CurationItem? head = Newest(newest, family);
            CurationItem? strongHead = Newest(strong, family);
            foreach (CurationItem item in groups.Members[group])
            {
                bool sameVoice = head?.Truth.Reporter is { } reporter && reporter == item.Truth.Reporter;
                CurationItem? against = item.IsEvaluation && !sameVoice ? strongHead : head;
                if (against is not null && item.Exclusion is null && !_same(item.Request.Key.Task, item.Truth.Answer, against.Truth.Answer))
                {
                    item.Exclusion = CurationItem.Older(item, against) < 0 ? CurationExclusion.Superseded : CurationExclusion.Conflict;
                }
            }
        }
    }

    /// <summary>Takes out older answers that teachers or corrections have refuted of late for questions like theirs.</summary>
    public void DropRefuted()
    {
        RefutedAnswers refuted = RefutedAnswers.Of(_items.Where(static i => i.Role is CurationRole.Fresh or CurationRole.FreshHoldout && i.Exclusion is null), Names);
        foreach (CurationItem item in _items.Where(static i => i.Exclusion is null))
        {
            if (refuted.Holds(item))
            {
                item.Exclusion = CurationExclusion.Refuted;
            }
        }
    }

    /// <summary>Leaves one example for each prompt, and for those near it that say the same or ask the same.</summary>
    public void DropDuplicates(PromptGroups groups)
    {
        CurationItem?[] kept = new CurationItem?[groups.Count];
        foreach (CurationItem item in Training().OrderBy(static i => i.Role).ThenBy(Rank).ThenByDescending(static i => i, Comparer<CurationItem>.Create(CurationItem.Older)))
        {
            if (kept[item.Group] is not null)
            {
                item.Exclusion = CurationExclusion.Duplicate;
            }
            else if (groups.Near(item.Group).Any(near => kept[near] is { } other &&
                (_same(item.Request.Key.Task, item.Truth.Answer, other.Truth.Answer) || item.Prompt.AsksTheSame(other.Prompt))))
            {
                item.Exclusion = CurationExclusion.NearDuplicate;
            }
            else
            {
                kept[item.Group] = item;
            }
        }
    }

    /// <summary>
    /// Caps the fresh examples by the key on whose word they rest, then by their number. Decision: there is no cap where one key sent and reported everything, nor where nobody else
    /// (no second key, no teacher) says anything: there is nobody to protect from it, and nothing would be left of its owner's data.
    /// </summary>
    public void Cap()
    {
        List<CurationItem> fresh = [.. Training().Where(static i => i.Role == CurationRole.Fresh)];
        List<CurationItem>[] voices = [.. fresh.Where(static i => i.Truth.Reporter is not null).GroupBy(static i => i.Truth.Reporter!, StringComparer.Ordinal).Select(static g => g.ToList())];
        int confirmed = fresh.Count - voices.Sum(static v => v.Count);
        int keys = fresh.Select(static i => i.Request.Key.KeyId ?? "").Concat(fresh.Select(static i => i.Truth.Reporter).OfType<string>()).Distinct(StringComparer.Ordinal).Count();
        if (keys > 1 && voices.Length + Math.Min(confirmed, 1) > 1)
        {
            int most = Math.Max(1, KeyCaps.Most([.. voices.Select(static v => v.Count)], confirmed, _options.MaxPerKey));
            foreach (CurationItem item in voices.SelectMany(voice => Chosen(voice).Skip(most)))
            {
                item.Exclusion = CurationExclusion.KeyCap;
            }
        }
        foreach (CurationItem item in Chosen(fresh.Where(static i => i.Exclusion is null)).Skip(_options.MaxExamples))
        {
            item.Exclusion = CurationExclusion.Room;
        }
    }

    /// <summary>Draws as much replay as the fresh examples call for: what an update would interfere with, as far as its share goes, and an even sample for the rest.</summary>
    public void DropReplay()
    {
        List<CurationItem> old = [.. Training().Where(static i => i.Role == CurationRole.Replay)];
        CurationItem[] fresh = [.. Training().Where(static i => i.Role == CurationRole.Fresh)];
        int capacity = (int)Math.Min(Math.Ceiling(fresh.Length * _options.ReplayRatio), _options.MaxReplay);
        int rehearsed = (int)(capacity * _options.RehearsalShare);
        HashSet<string> sample = new(Rehearsal.LikeBroken(_broken, old, rehearsed).Select(static i => i.Id), StringComparer.Ordinal);
        sample.UnionWith(Rehearsal.AtRisk(fresh.Where(Names.IsIn), old, sample, rehearsed - sample.Count).Select(static i => i.Id));
        _rehearsed = sample.Count;
        sample.UnionWith(ReplayReservoir.Sample(old.Where(i => !sample.Contains(i.Id)).Select(static i => i.Request.Key), capacity - sample.Count).Select(static k => k.RequestId));
        foreach (CurationItem item in old.Where(i => !sample.Contains(i.Id)))
        {
            item.Exclusion = CurationExclusion.Room;
        }
    }

    public CurationReport Report(IReadOnlyList<(CuratedExample Example, ExampleTexts Texts)> train, IReadOnlyList<CurationItem> trained, IReadOnlyList<EvaluationRequest> evaluation) => new()
    {
        Planned = _planned,
        Fresh = train.Count(static t => !t.Example.Replay),
        Replay = train.Count(static t => t.Example.Replay),
        Rehearsed = _rehearsed,
        Pairs = train.Count(static t => t.Example.IsPair),
        Weight = train.Sum(static t => t.Example.Weight),
        Evaluation = Counts(evaluation, static e => e.Suite, null),
        BySource = Counts(train, static t => t.Example.Source, null),
        BySlice = Counts(train, static t => t.Example.Slice, StringComparer.Ordinal),
        ByKey = Counts(trained, static i => i.Request.Key.KeyId ?? "", StringComparer.Ordinal),
        Excluded = Excluded(_unread, evaluation: false),
        ExcludedFromEvaluation = Excluded(_unreadEvaluation, evaluation: true),
        Trust = _trust?.Figures ?? [],
    };

    private void Take(CurationRole role, SignalRequest? request)
    {
        bool evaluation = role is not (CurationRole.Fresh or CurationRole.Replay);
        PromptText? prompt = request is null ? null : PromptText.Read(request.Prompt);
        TruthFinding finding = request is null ? TruthFinding.None(CurationExclusion.Missing)
            : prompt is null ? TruthFinding.None(CurationExclusion.Unreadable)
            : evaluation ? Finder.ForEvaluation(request)
            : Finder.ForTraining(request);
        Truth? truth = finding.Truth;
        if (role == CurationRole.Replay && finding.Exclusion is CurationExclusion.NoTruth or CurationExclusion.NotAllowed)
        {
            truth = Finder.Own(request!, _options.MinimumOwnPCorrect);
        }
        if (truth is null)
        {
            SortedDictionary<CurationExclusion, int> unread = evaluation ? _unreadEvaluation : _unread;
            unread[finding.Exclusion!.Value] = unread.GetValueOrDefault(finding.Exclusion.Value) + 1;
            return;
        }
        _items.Add(new CurationItem { Request = request!, Role = role, Prompt = prompt!, Truth = truth });
    }

    // Decision: fresh requests whose truth is known because the champion's answer was judged would decide for or against it by how they were chosen. They are left out
    // where a teacher answered others; without any teacher, accepted and corrected answers are all there is.
    private void DropJudged()
    {
        List<CurationItem> fresh = [.. _items.Where(static i => i.Role == CurationRole.FreshHoldout)];
        List<CurationItem> judged = [.. fresh.Where(i => Finder.BasisOf(i.Request) == EvaluationBasis.Judged)];
        if (judged.Count < fresh.Count)
        {
            judged.ForEach(static i => i.Exclusion = CurationExclusion.Judged);
        }
    }

    private IEnumerable<CurationItem> Training() => _items.Where(static i => !i.IsEvaluation && i.Exclusion is null);

    private static CurationItem? Newest(CurationItem?[] heads, int[] groups) =>
        groups.Select(g => heads[g]).OfType<CurationItem>().Max(Comparer<CurationItem>.Create(CurationItem.Older));

    // What teachers and corrections say comes before what was only accepted; among equals the hash decides.
    private static IEnumerable<CurationItem> Chosen(IEnumerable<CurationItem> items) =>
        items.OrderBy(Rank).ThenBy(static i => StableHash.Of("example", i.Id)).ThenBy(static i => i.Id, StringComparer.Ordinal);

    private static int Rank(CurationItem item) => item.IsSaid ? 0 : item.Truth.Source == ExampleSource.Accepted ? 1 : 2;

    private SortedDictionary<CurationExclusion, int> Excluded(SortedDictionary<CurationExclusion, int> unread, bool evaluation)
    {
        SortedDictionary<CurationExclusion, int> counts = new(unread);
        foreach (CurationItem item in _items.Where(i => i.IsEvaluation == evaluation && i.Exclusion is not null))
        {
            counts[item.Exclusion!.Value] = counts.GetValueOrDefault(item.Exclusion.Value) + 1;
        }
        return counts;
    }

    private static SortedDictionary<TKey, int> Counts<T, TKey>(IEnumerable<T> items, Func<T, TKey> key, IComparer<TKey>? comparer)
        where TKey : notnull
    {
        SortedDictionary<TKey, int> counts = new(comparer);
        foreach (T item in items)
        {
            counts[key(item)] = counts.GetValueOrDefault(key(item)) + 1;
        }
        return counts;
    }
}
