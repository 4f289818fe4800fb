namespace ContinualNative.Host.Demo.World;

/// <summary>
/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every platform and runtime, so that a world can be drawn again anywhere. For one thread.
/// </summary>
internal sealed class DeskRandom
{
    private ulong _state;

    /// <summary>A sequence of its own for every tuple of seeds.</summary>
    public DeskRandom(params ReadOnlySpan<ulong> seeds)
    {
        foreach (ulong seed in seeds)
        {
            _state = Mix(_state ^ Mix(seed + 0x9E3779B97F4A7C15));
        }
    }

    /// <summary>0 … <paramref name="count"/> − 1.</summary>
    public int Below(int count) => (int)Math.BigMul(Next(), (ulong)count, out _);

    /// <summary>True with this probability.</summary>
    public bool Chance(double probability) => Uniform() < probability;

    /// <summary>Uniform in [0, 1), with 53 bits.</summary>
    public double Uniform() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>One of the items, all equally likely.</summary>
    public T Pick<T>(IReadOnlyList<T> items) => items[Below(items.Count)];

    /// <summary>One of the items; the first is the likeliest, the last a quarter as likely, in between linearly.</summary>
    public T PickSloped<T>(IReadOnlyList<T> items)
    {
        while (true)
        {
            int at = Below(items.Count);
            if (Chance(1 - 0.75 * at / Math.Max(1, items.Count - 1)))
            {
                return items[at];
            }
        }
    }

    /// <summary>The items in another order.</summary>
    public T[] Shuffled<T>(IEnumerable<T> items)
    {
        T[] shuffled = [.. items];
        for (int i = shuffled.Length - 1; i > 0; i--)
        {
            int j = Below(i + 1);
            (shuffled[i], shuffled[j]) = (shuffled[j], shuffled[i]);
        }
        return shuffled;
    }

    private ulong Next() => Mix(_state += 0x9E3779B97F4A7C15);

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
