using System.Text.Json;

namespace ContinualNative.Core.Traffic;

/// <summary>One message of a chat, as the OpenAI API and the chat templates of models know it.</summary>
public sealed record ChatMessage
{
    /// <summary><c>system</c>, <c>developer</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>.</summary>
    public required string Role { get; init; }

    /// <summary>The text; null only for an assistant's message that consists of tool calls.</summary>
    public string? Content { get; init; }

    /// <summary>Who speaks, where several share a role; for a tool's answer, the tool's name.</summary>
    public string? Name { get; init; }

    /// <summary>The calls that an assistant's message asks for.</summary>
    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>For a tool's answer: the <see cref="ToolCall.Id"/> that it answers.</summary>
    public string? ToolCallId { get; init; }
}

/// <summary>A call of a function that the model asks its caller to make.</summary>
/// <param name="Id">Unique within the chat.</param>
/// <param name="Name">The function's name.</param>
/// <param name="Arguments">The arguments as JSON text, exactly as the model wrote them.</param>
public sealed record ToolCall(string Id, string Name, string Arguments);

/// <summary>A function that the model may ask for.</summary>
/// <param name="Name">The function's name.</param>
/// <param name="Description">What it does, for the model to read.</param>
/// <param name="Parameters">JSON schema of its arguments; <c>default</c> (undefined) when it takes none.</param>
public sealed record ToolDefinition(string Name, string? Description, JsonElement Parameters);
