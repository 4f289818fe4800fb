namespace ContinualNative.Host.Demo.World;

/// <summary>New words for a known intent.</summary>
/// <param name="Intent">The intent's label.</param>
/// <param name="Words">The words that are new; none is in the corpus.</param>
/// <param name="Phrasings">Patterns of <see cref="Phrasing"/> with <c>{p}</c> for the product; each holds one of the words.</param>
internal sealed record Wording(string Intent, IReadOnlyList<string> Words, IReadOnlyList<string> Phrasings);
