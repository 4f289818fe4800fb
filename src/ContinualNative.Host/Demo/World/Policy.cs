namespace ContinualNative.Host.Demo.World;

/// <summary>A term of the shop.</summary>
/// <param name="Topic">As answers name it.</param>
/// <param name="Value">What holds before any drift.</param>
/// <param name="LaterValues">What may hold later; none of them is in the corpus for this topic.</param>
/// <param name="Questions">Patterns of <see cref="Phrasing"/>.</param>
internal sealed record Policy(string Topic, string Value, IReadOnlyList<string> LaterValues, IReadOnlyList<string> Questions)
{
    /// <summary>The answer that names this value.</summary>
    public string Answer(string value) => $"{Topic}: {value}";
}
