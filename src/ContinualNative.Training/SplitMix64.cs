namespace ContinualNative.Training;

/// <summary>A small generator of random numbers whose sequence is ours to keep (Steele, Lea, Flood 2014), so that a run can be repeated anywhere.</summary>
internal struct SplitMix64(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>0 … <paramref name="count"/> − 1, without a bias that matters (count ÷ 2⁶⁴).</summary>
    public int Below(int count) => (int)Math.BigMul(Next(), (ulong)count, out _);

    public void Shuffle<T>(Span<T> items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = Below(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }
}
