namespace ContinualNative.Core.Curation;

/// <summary>How many examples may rest on the word of one key.</summary>
public static class KeyCaps
{
    /// <summary>
    /// The most that each key may keep so that none has more than its share of what is kept in all: the largest T with T = c + Σ min(nᵢ, ⌊share · T⌋).
    /// </summary>
    /// <param name="counts">Examples that rest on each key's word.</param>
    /// <param name="confirmed">Examples, c, that rest on a teacher's or on more than one key's: they are not capped.</param>
    /// <param name="share">The share, above 0 to 1.</param>
    /// <remarks>Decision: of what is kept and not of what came. A key that sends nine false corrections for each honest one would otherwise have half of many, and the honest ones a tenth.</remarks>
    public static int Most(IReadOnlyCollection<int> counts, int confirmed, double share)
    {
        ArgumentNullException.ThrowIfNull(counts);
        ArgumentOutOfRangeException.ThrowIfNegative(confirmed);
        if (!(share is > 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(share), share, "A share is above 0, at most 1.");
        }
        // From all of them downwards: each step keeps at least what the largest solution keeps.
        long total = confirmed + counts.Sum(static c => (long)c);
        while (true)
        {
            long most = (long)Math.Floor(share * total);
            long next = confirmed + counts.Sum(count => Math.Min(count, most));
            if (next == total)
            {
                return (int)most;
            }
            total = next;
        }
    }
}
