using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.OpenAi;

/// <summary>Writes one choice of a stream as events. Called by turns.</summary>
internal abstract class ChoiceWriter(SseWriter sse, int index)
{
    protected SseWriter Sse { get; } = sse;

    protected int Index { get; } = index;

    /// <summary>Before any text.</summary>
    public abstract void Start();

    public abstract void Write(GenerationChunk chunk);

    public abstract void End(GenerationResult result);

    /// <summary>The name of a finish reason.</summary>
    public static string NameOf(FinishReason reason) => reason == FinishReason.Length ? "length" : "stop";
}
