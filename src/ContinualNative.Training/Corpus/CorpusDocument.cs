namespace ContinualNative.Training.Corpus;

/// <summary>One document in UTF-8: a text, or a chat whose messages are <c>role\ncontent</c>.</summary>
/// <param name="IsChat">Whether <paramref name="Parts"/> are messages.</param>
/// <param name="Parts">The text, or the messages.</param>
public sealed record CorpusDocument(bool IsChat, IReadOnlyList<ReadOnlyMemory<byte>> Parts);
