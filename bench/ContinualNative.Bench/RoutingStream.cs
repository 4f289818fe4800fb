namespace ContinualNative.Bench;

/// <summary>Orders in which the recorded utterances arrive. Equal seeds give equal orders; no utterance comes twice in one.</summary>
internal sealed class RoutingStream(RoutingRow[] known, RoutingRow[] unknown)
{
    /// <summary>Requests of known and of unknown intents each, in <see cref="Mixed"/>.</summary>
    public const int Each = 2500;

    /// <summary>Requests before the intents change, in <see cref="Drifting"/>.</summary>
    public const int Before = 3000;

    /// <summary>Requests of which half have unknown intents.</summary>
    public const int During = 2500;

    /// <summary>Requests of known intents again.</summary>
    public const int After = 2000;

    /// <summary>All utterances of known intents, shuffled: exchangeable.</summary>
    public RoutingRow[] Exchangeable(int seed)
    {
        RoutingRow[] stream = [.. known];
        new Random(seed).Shuffle(stream);
        return stream;
    }

    /// <summary>Utterances of known and of unknown intents, <see cref="Each"/> of both, shuffled.</summary>
    public RoutingRow[] Mixed(int seed)
    {
        Random random = new(seed);
        RoutingRow[] stream = [.. Drawn(known, Each, random), .. Drawn(unknown, Each, random)];
        random.Shuffle(stream);
        return stream;
    }

    /// <summary>Known intents, then abruptly half unknown ones, then known ones again.</summary>
    public RoutingRow[] Drifting(int seed)
    {
        Random random = new(seed);
        RoutingRow[] familiar = Drawn(known, Before + (During / 2) + After, random);
        RoutingRow[] middle = [.. familiar[Before..(Before + (During / 2))], .. Drawn(unknown, During - (During / 2), random)];
        random.Shuffle(middle);
        return [.. familiar[..Before], .. middle, .. familiar[(Before + (During / 2))..]];
    }

    /// <summary>
    /// Known intents throughout, but from request <see cref="Before"/> on every fifth intent is to be answered otherwise: nothing that the router sees of a request or of
    /// the local answer tells of it.
    /// </summary>
    public RoutingRow[] Redefined(int seed)
    {
        HashSet<string> redefined = [.. known.Select(static r => r.Label).Distinct().Order(StringComparer.Ordinal).Where(static (_, i) => i % 5 == 0)];
        return [.. Exchangeable(seed).Select((row, i) => i >= Before && redefined.Contains(row.Label) ? row with { Label = row.Label + " (redefined)" } : row)];
    }

    private static RoutingRow[] Drawn(RoutingRow[] from, int count, Random random)
    {
        RoutingRow[] all = [.. from];
        random.Shuffle(all);
        return all[..count];
    }
}
