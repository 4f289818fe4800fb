namespace ContinualNative.Host.Demo.World;

/// <summary>
/// What changes in which week. In every four weeks, beginning with week 1, each kind of change happens once: one week of the four is quiet, one has two changes.
/// </summary>
internal static class DriftScript
{
    private const int Block = 4;
    private const double PolicyShare = 0.05;
    private const double LoneShare = 0.08;
    private const double SharedWeekShare = 0.06;

    /// <summary>The events of a seed, ordered by week, until the reserve of a kind is used up.</summary>
    public static IReadOnlyList<DriftEvent> Of(ulong seed)
    {
        DeskRandom random = new(seed, 0xD21F7);
        Queue<string> names = new(random.Shuffled(DriftReserve.Names));
        Queue<string> lines = new(random.Shuffled(DriftReserve.Lines));
        Queue<Intent> intents = new(random.Shuffled(DriftReserve.Intents));
        Queue<Wording> wordings = new(random.Shuffled(DriftReserve.Wordings));
        Queue<(Policy Policy, string Value)> policies = new(
        [
            .. random.Shuffled(KnownWorld.Policies).Select(p => (p, random.Pick(p.LaterValues))),
        ]);
        List<DriftEvent> events = [];
        for (int first = 1; ; first += Block)
        {
            RequestKind[] kinds = random.Shuffled([RequestKind.NewProduct, RequestKind.NewIntent, RequestKind.ChangedPolicy, RequestKind.NewWording]);
            int[] weeks = Weeks(first, random);
            for (int i = 0; i < Block; i++)
            {
                DriftEvent? next = kinds[i] switch
                {
                    RequestKind.NewProduct => lines.Count == 0 ? null : NewLine(weeks[i], lines.Dequeue(), [names.Dequeue(), names.Dequeue()]),
                    RequestKind.NewIntent => intents.Count == 0 ? null : NewIntent(weeks[i], intents.Dequeue()),
                    RequestKind.ChangedPolicy => policies.Count == 0 ? null : ChangedPolicy(weeks[i], policies.Dequeue()),
                    _ => wordings.Count == 0 ? null : NewWording(weeks[i], wordings.Dequeue()),
                };
                if (next is null)
                {
                    return events;
                }
                bool lone = weeks.Count(w => w == weeks[i]) == 1;
                events.Add(next with { FirstShare = kinds[i] == RequestKind.ChangedPolicy ? PolicyShare : lone ? LoneShare : SharedWeekShare });
            }
        }
    }

    // The first week of a block is never the quiet one, so that drift begins in week 1.
    private static int[] Weeks(int first, DeskRandom random)
    {
        int quiet = 1 + random.Below(Block - 1);
        int[] open = [.. Enumerable.Range(0, Block).Where(w => w != quiet)];
        return [.. open.Append(random.Pick(open)).Order().Select(w => first + w)];
    }

    private static DriftEvent NewLine(int week, string line, string[] names) => new(week, RequestKind.NewProduct)
    {
        Products = [.. names.Select(n => new Product(n, line))],
        Text = $"new product line '{line}': {string.Join(", ", names)}",
    };

    private static DriftEvent NewIntent(int week, Intent intent) => new(week, RequestKind.NewIntent) { Intent = intent, Text = $"new intent '{intent.Label}'" };

    private static DriftEvent ChangedPolicy(int week, (Policy Policy, string Value) change) => new(week, RequestKind.ChangedPolicy)
    {
        Policy = change.Policy,
        Value = change.Value,
        Text = $"changed policy '{change.Policy.Topic}': {change.Policy.Value} becomes {change.Value}",
    };

    private static DriftEvent NewWording(int week, Wording wording) => new(week, RequestKind.NewWording)
    {
        Wording = wording,
        Text = $"new wording for '{wording.Intent}': {string.Join(", ", wording.Words)}",
    };
}
