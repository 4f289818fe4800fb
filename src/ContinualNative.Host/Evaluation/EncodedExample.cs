using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Evaluation;

/// <summary>An example as the model sees it.</summary>
/// <param name="Example">The line of the data set.</param>
/// <param name="Prompt">What serving would give the model to answer: for generation.</param>
/// <param name="Text">Prompt and target in one: for the loss.</param>
/// <param name="From">The first token of <paramref name="Text"/> that belongs to the target, at least 1.</param>
internal sealed record EncodedExample(Example Example, int[] Prompt, int[] Text, int From)
{
    public int TargetTokens => Text.Length - From;
}
