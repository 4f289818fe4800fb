using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Which stored requests a cycle reads, chosen without any text. Requests up to <see cref="Previous"/> are old, those after it up to <see cref="Cut"/> are
/// fresh, and nothing after the cut is read. The lists, but for <see cref="Broken"/>, share no request, are in order of arrival, and depend on nothing but the set of keys.
/// </summary>
public sealed record SignalPlan
{
    // Some of what is read turns out to be of no use: duplicates, answers that were superseded. So twice as much is read as is wanted.
    private const int Spare = 2;

    // To find what an update is likely to break takes a wider look, as far as it is cheap.
    private const int SpareToSearch = 8;
    private const int MostToSearch = 8000;

    /// <summary>The cycle before read up to this position; 0: there was none.</summary>
    public required long Previous { get; init; }

    /// <summary>This one reads up to this position.</summary>
    public required long Cut { get; init; }

    /// <summary>Fresh requests to choose examples from.</summary>
    public required IReadOnlyList<string> FreshTrain { get; init; }

    /// <summary>Old requests to choose examples from.</summary>
    public required IReadOnlyList<string> Replay { get; init; }

    /// <summary>Fresh requests to evaluate on.</summary>
    public required IReadOnlyList<string> FreshHoldout { get; init; }

    /// <summary>Old requests to evaluate on, an even sample of the slices.</summary>
    public required IReadOnlyList<string> OldHoldout { get; init; }

    /// <summary>Golden requests to evaluate on, old and fresh.</summary>
    public required IReadOnlyList<string> Golden { get; init; }

    /// <summary>Requests that earlier candidates broke: <see cref="Replay"/> is chosen by them in part. They are read to be compared with, and in no list by being in this one.</summary>
    public IReadOnlyList<string> Broken { get; init; } = [];

    /// <summary>Fresh requests with a label or an outcome that may be trained on, before the limits.</summary>
    public required int FreshAvailable { get; init; }

    /// <summary>Old requests that may be trained on, before the limits.</summary>
    public required int ReplayAvailable { get; init; }

    /// <summary>All that is to be read.</summary>
    public IEnumerable<string> All => [.. FreshTrain, .. Replay, .. FreshHoldout, .. OldHoldout, .. Golden, .. Broken];

    /// <summary>Plans. Throws <see cref="PolicyOptionException"/>, and <see cref="ArgumentException"/> for a cut before the previous one.</summary>
    /// <param name="keys">All requests with signal, in any order; those after the cut are left aside.</param>
    /// <param name="previous">Where the cycle before cut; 0 without one.</param>
    /// <param name="cut">Where this one does.</param>
    /// <param name="options">How much.</param>
    /// <param name="broken">Requests that earlier candidates broke (<see cref="Evaluation.GateVerdict.Broken"/>), the most telling first; null: none.</param>
    public static SignalPlan Make(IEnumerable<SignalKey> keys, long previous, long cut, CurationOptions options, IReadOnlyList<string>? broken = null)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (previous < 0 || cut < previous)
        {
            throw new ArgumentException($"A cycle that reads up to position {cut} cannot follow one that read up to {previous}.", nameof(cut));
        }
        List<SignalKey> golden = [], freshHoldout = [], oldHoldout = [], fresh = [], old = [];
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (SignalKey key in keys)
        {
            if (key.Sequence > cut || !seen.Add(key.RequestId))
            {
                continue;
            }
            bool signal = key.Labelled || key.Reported;
            bool isFresh = key.Sequence > previous;
            // Decision: audits are never trained on. They are a small random sample, and every figure of quality, every threshold and every gate rests on it.
            bool heldOut = key.Audited || Holdout.IsHoldout(key.RequestId, options.HoldoutShare);
            List<SignalKey>? list = key.Golden ? golden
                : heldOut ? (signal ? (isFresh ? freshHoldout : oldHoldout) : null)
                : isFresh ? (signal ? fresh : null)
                : signal || key.PCorrect >= options.MinimumOwnPCorrect ? old : null;
            list?.Add(key);
        }
        List<SignalKey> train = Fresh(fresh, options);
        int replay = (int)Math.Min(Math.Ceiling(Math.Min(train.Count, options.MaxExamples) * options.ReplayRatio), options.MaxReplay);
        long read = (long)replay * Spare;
        if (options.RehearsalShare > 0)
        {
            read = Math.Max(read, Math.Min((long)replay * SpareToSearch, MostToSearch));
        }
        return new SignalPlan
        {
            Previous = previous,
            Cut = cut,
            FreshTrain = Ids(train),
            Replay = Ids(ReplayReservoir.Sample(old, (int)Math.Min(read, int.MaxValue))),
            FreshHoldout = Ids(Lowest(freshHoldout, options.EvaluationMost, "evaluation")),
            OldHoldout = Ids(ReplayReservoir.Sample(oldHoldout, options.EvaluationMost, options.SliceMost, "evaluation")),
            Golden = Ids(Lowest(golden, options.GoldenMost, "golden")),
            Broken = options.RehearsalShare > 0 ? broken ?? [] : [],
            FreshAvailable = fresh.Count,
            ReplayAvailable = old.Count,
        };
    }

    internal static int ByArrival(SignalKey a, SignalKey b) =>
        a.Sequence != b.Sequence ? a.Sequence.CompareTo(b.Sequence) : string.CompareOrdinal(a.RequestId, b.RequestId);

    // Where there are too many, no key takes more than its share as long as others have some: a client that floods the server does not push out what the others asked.
    private static List<SignalKey> Fresh(List<SignalKey> fresh, CurationOptions options)
    {
        int most = (int)Math.Min((long)options.MaxExamples * Spare, int.MaxValue);
        if (fresh.Count <= most)
        {
            fresh.Sort(ByArrival);
            return fresh;
        }
        int perKey = Math.Max(1, (int)(most * options.MaxPerKey));
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        List<SignalKey> first = [], later = [];
        foreach (SignalKey key in Ordered(fresh, "fresh"))
        {
            int count = counts.GetValueOrDefault(key.KeyId ?? "");
            counts[key.KeyId ?? ""] = count + 1;
            (count < perKey ? first : later).Add(key);
        }
        List<SignalKey> chosen = [.. first.Concat(later).Take(most)];
        chosen.Sort(ByArrival);
        return chosen;
    }

    private static List<SignalKey> Lowest(List<SignalKey> keys, int most, string purpose)
    {
        List<SignalKey> lowest = [.. Ordered(keys, purpose).Take(most)];
        lowest.Sort(ByArrival);
        return lowest;
    }

    // Decision: labelled requests come before those that only have an outcome, since a week's acceptances outnumber its labels by far, and teach and show less. Among
    // equals the hash decides.
    private static IEnumerable<SignalKey> Ordered(List<SignalKey> keys, string purpose) =>
        keys.Select(key => (Hash: StableHash.Of(purpose, key.RequestId), Key: key))
            .OrderBy(static k => k.Key.Labelled ? 0 : 1).ThenBy(static k => k.Hash).ThenBy(static k => k.Key.RequestId, StringComparer.Ordinal).Select(static k => k.Key);

    private static string[] Ids(IReadOnlyList<SignalKey> keys) => [.. keys.Select(static k => k.RequestId)];
}
