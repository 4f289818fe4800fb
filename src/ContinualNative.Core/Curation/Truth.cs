namespace ContinualNative.Core.Curation;

/// <summary>The right answer to a request, and who says so.</summary>
/// <param name="Answer">The answer.</param>
/// <param name="Source">Where it comes from.</param>
/// <param name="At">When that was said.</param>
/// <param name="Reporter">The API key on whose word alone it rests (empty: reports without a key); null where a teacher or a second key says so too.</param>
/// <param name="Trust">How far it is believed, above 0 to 1.</param>
/// <param name="Strong">Whether a teacher, two keys, or one key that proved right before says so: enough to overrule what is evaluated on.</param>
public sealed record Truth(string Answer, ExampleSource Source, DateTimeOffset At, string? Reporter, double Trust, bool Strong);
