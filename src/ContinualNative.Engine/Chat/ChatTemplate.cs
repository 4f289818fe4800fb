using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>A chat template as Jinja, compiled once. Thread-safe.</summary>
public sealed class ChatTemplate
{
    /// <summary>Compiles <paramref name="source"/>; throws <see cref="EngineException"/> (BadFile) with the position when it is not valid Jinja.</summary>
    public ChatTemplate(string source, string bosToken, string eosToken) => throw new NotSupportedException();

    /// <summary>Whether the template renders tools itself.</summary>
    public bool SupportsTools => throw new NotSupportedException();

    /// <summary>
    /// The prompt. <paramref name="addGenerationPrompt"/> ends it where the assistant's answer begins. Throws <see cref="EngineException"/>
    /// (InvalidRequest) with the template's own message when it refuses the messages.
    /// </summary>
    public string Render(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition>? tools = null, bool addGenerationPrompt = true, IReadOnlyDictionary<string, JsonElement>? arguments = null) => throw new NotSupportedException();
}
