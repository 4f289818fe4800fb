namespace ContinualNative.Training.Vocabulary;

/// <summary>Two tokens that become one where they stand side by side.</summary>
/// <param name="Left">The first token.</param>
/// <param name="Right">The second.</param>
public readonly record struct BytePair(int Left, int Right);
