namespace ContinualNative.Core.Economics;

/// <summary>What a model charges, in US dollars per million tokens.</summary>
/// <param name="Prompt">Prompt tokens that were not cached.</param>
/// <param name="CachedPrompt">Prompt tokens that the provider had cached.</param>
/// <param name="Completion">Tokens of the answer.</param>
public sealed record TokenPrices(decimal Prompt, decimal CachedPrompt, decimal Completion)
{
    /// <summary>The price of one call. <paramref name="promptTokens"/> includes the cached ones.</summary>
    public Money Of(int promptTokens, int cachedTokens, int completionTokens)
    {
        int cached = Math.Clamp(cachedTokens, 0, promptTokens);
        // Dollars per million tokens is thousands of nanodollars per token.
        decimal nanos = 1000m * (((promptTokens - cached) * Prompt) + (cached * CachedPrompt) + (completionTokens * Completion));
        return new Money(decimal.ToInt64(decimal.Round(nanos)));
    }
}
