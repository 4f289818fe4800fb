using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Constraints;

namespace ContinualNative.Engine.Chat;

/// <summary>Grammars that force an answer to be calls of tools, written as <see cref="ToolCallParser"/> reads them.</summary>
public static class ToolGrammar
{
    /// <summary>Most calls in one answer.</summary>
    public const int MaxCalls = 16;

    private static readonly JsonElement NoArguments = JsonElement.Parse("""{"type":"object","properties":{},"additionalProperties":false}""");

    /// <summary>
    /// The grammar, with the rule <c>root</c>, for <c>tool_choice</c> <c>required</c>, or for a named function when <paramref name="only"/> names it.
    /// The arguments match the tool's schema. Throws <see cref="EngineException"/> (InvalidRequest) when <paramref name="only"/> is no tool,
    /// when a schema can't be expressed, and when the format is <see cref="ToolCallFormat.None"/>.
    /// </summary>
    /// <param name="format">How the model writes calls.</param>
    /// <param name="tools">The tools; at least one.</param>
    /// <param name="only">The one function to call, or null for any.</param>
    /// <param name="parallel">Whether the answer may hold several calls, up to <see cref="MaxCalls"/>; Llama 3 knows only one.</param>
    public static string For(ToolCallFormat format, IReadOnlyList<ToolDefinition> tools, string? only = null, bool parallel = true)
    {
        GrammarBuilder builder = new("tools");
        return builder.Build(AddRules(builder, format, tools, only, parallel));
    }

    /// <summary>Adds the rules to a larger grammar and gives the expression that matches the calls; otherwise as <see cref="For"/>.</summary>
    internal static string AddRules(GrammarBuilder builder, ToolCallFormat format, IReadOnlyList<ToolDefinition> tools, string? only, bool parallel)
    {
        ArgumentNullException.ThrowIfNull(tools);
        if (format == ToolCallFormat.None)
        {
            throw new EngineException(EngineError.InvalidRequest, "This model writes calls of tools in a way that can't be forced. Use tool_choice auto or none.", "tool_choice");
        }

        List<ToolDefinition> chosen = [.. tools.Where(t => only is null || t.Name == only)];
        if (chosen.Count == 0)
        {
            throw new EngineException(
                EngineError.InvalidRequest,
                only is null ? "tool_choice asks for a call, but there are no tools." : $"tool_choice names the function '{only}', which is not among the tools.",
                "tool_choice");
        }

        string call = builder.Add("call", string.Join(" | ", chosen.Select(tool => Call(format, tool, builder))));
        int more = parallel && format != ToolCallFormat.Llama3 ? MaxCalls - 1 : 0;
        return format switch
        {
            ToolCallFormat.Hermes => Listed(builder, call, "\n", more),
            ToolCallFormat.Mistral => $"{GrammarBuilder.Literal("[TOOL_CALLS][")} {Listed(builder, call, ", ", more)} {GrammarBuilder.Literal("]")}",
            ToolCallFormat.MistralArgs => more == 0 ? call : builder.Repeat(call, 1, 1 + more),
            _ => call,
        };
    }

    private static string Listed(GrammarBuilder builder, string call, string separator, int more) => more == 0
        ? call
        : $"{call} {builder.Repeat(builder.Add("next", $"{GrammarBuilder.Literal(separator)} {call}"), 0, more)}";

    private static string Call(ToolCallFormat format, ToolDefinition tool, GrammarBuilder builder)
    {
        JsonElement schema = tool.Parameters.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null ? NoArguments : tool.Parameters;
        string arguments = JsonSchemaGrammar.AddRules(builder, schema);
        string name = JsonEncodedText.Encode(tool.Name, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).ToString();
        (string before, string after) = format switch
        {
            ToolCallFormat.Hermes => ($"<tool_call>\n{{\"name\": \"{name}\", \"arguments\": ", "}\n</tool_call>"),
            ToolCallFormat.Llama3 => ($"{{\"name\": \"{name}\", \"parameters\": ", "}"),
            ToolCallFormat.Mistral => ($"{{\"name\": \"{name}\", \"arguments\": ", "}"),
            _ => ($"[TOOL_CALLS]{ReadableName(tool.Name)}[ARGS]", string.Empty),
        };
        return after.Length == 0 ? $"{GrammarBuilder.Literal(before)} {arguments}" : $"{GrammarBuilder.Literal(before)} {arguments} {GrammarBuilder.Literal(after)}";
    }

    // Written bare, a name must end where the parser ends it.
    private static string ReadableName(string name) => ToolCallParser.IsBareName(name)
        ? name
        : throw new EngineException(EngineError.InvalidRequest, $"This model can't call a function named '{name}': use letters, digits, '_', '-' and '.', at most {ToolCallParser.MaxNameLength}.", "tools");
}
