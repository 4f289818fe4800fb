using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>A chat to be continued, and what its answer must look like: everything that decides the prompt and the grammar.</summary>
public sealed record ChatPrompt
{
    /// <summary>The messages, oldest first.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>The functions that the model may ask for.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Whether it may, must or must not.</summary>
    public ToolUse ToolUse { get; init; }

    /// <summary>With <see cref="ToolUse.Required"/>: the one function to call; null: any.</summary>
    public string? RequiredTool { get; init; }

    /// <summary>Whether one answer may hold several calls; if not, the first one counts.</summary>
    public bool ParallelToolCalls { get; init; } = true;

    /// <summary>What the answer's text must be.</summary>
    public AnswerFormat Format { get; init; }

    /// <summary>The schema, with <see cref="AnswerFormat.JsonSchema"/>.</summary>
    public JsonElement Schema { get; init; }

    /// <summary>A GBNF grammar with the rule <c>root</c> for the whole answer, or null.</summary>
    public string? Grammar { get; init; }

    /// <summary>The texts that the answer is one of, or null.</summary>
    public IReadOnlyList<string>? GuidedChoice { get; init; }

    /// <summary>Further variables of the template, such as <c>enable_thinking</c>.</summary>
    public IReadOnlyDictionary<string, JsonElement>? TemplateArguments { get; init; }

    /// <summary>Whether the model sees the tools.</summary>
    public bool UsesTools => Tools.Count > 0 && ToolUse != ToolUse.None;
}
