namespace ContinualNative.Host.Demo.World;

/// <summary>What a customer wants.</summary>
/// <param name="Label">As answers name it.</param>
/// <param name="Phrasings">Patterns of <see cref="Phrasing"/> with <c>{p}</c> for the product.</param>
internal sealed record Intent(string Label, IReadOnlyList<string> Phrasings);
