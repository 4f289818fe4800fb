using ContinualNative.Core.Routing;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.Evaluation;

/// <summary>What came of one example.</summary>
/// <param name="Encoded">The example.</param>
/// <param name="NegativeLogLikelihood">−Σ ln p of the target's tokens.</param>
/// <param name="Answer">What the model wrote, or null when none was asked for.</param>
/// <param name="Exact">Whether that was the target.</param>
/// <param name="GeneratedTokens">Tokens of the answer.</param>
/// <param name="Finish">Why the answer ended.</param>
/// <param name="Confidence">How sure the model was.</param>
internal sealed record ExampleResult(
    EncodedExample Encoded, double NegativeLogLikelihood, string? Answer, bool Exact, int GeneratedTokens, FinishReason Finish, Confidence Confidence);
