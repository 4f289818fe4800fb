using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>A piece of an answer: text for the reader, or a whole call of a tool.</summary>
/// <param name="Text">The text; empty for a call.</param>
/// <param name="Call">The call, or null for text.</param>
/// <param name="CallIndex">The call's number within the answer, from 0; −1 for text.</param>
public readonly record struct AnswerPart(string Text, ToolCall? Call, int CallIndex)
{
    internal static AnswerPart OfText(string text) => new(text, null, -1);
}
