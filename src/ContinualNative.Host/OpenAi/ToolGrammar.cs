using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Constraints;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>Grammars that make an answer a call of a tool, for <c>tool_choice</c> <c>required</c> or a named one.</summary>
internal static class ToolGrammar
{
    /// <summary>The grammar of one call, or of several where the request allows parallel calls.</summary>
    /// <param name="format">How the model writes calls; <see cref="ToolCallFormat.None"/> is refused.</param>
    /// <param name="tools">The tools that may be called; at least one.</param>
    /// <param name="parallel">Whether several calls may follow each other.</param>
    public static string Build(ToolCallFormat format, IReadOnlyList<ToolDefinition> tools, bool parallel)
    {
        GrammarBuilder grammar = new("tools");
        string calls = format switch
        {
            ToolCallFormat.Hermes => Repeat(grammar, Wrap(grammar, "<tool_call>\n", Objects(grammar, tools, "arguments"), "\n</tool_call>"), "\n", parallel),
            ToolCallFormat.Llama3 => Objects(grammar, tools, "parameters"),
            ToolCallFormat.Mistral => Wrap(grammar, "[TOOL_CALLS][", Repeat(grammar, Objects(grammar, tools, "arguments"), ", ", parallel), "]"),
            ToolCallFormat.MistralArgs => Repeat(grammar, Named(grammar, tools), "", parallel),
            _ => throw ApiException.Unsupported("tool_choice", "Unsupported value: a call can't be enforced with this model, whose chat template writes tool calls in no known way; use 'auto' or 'none'."),
        };
        return grammar.Build(calls);
    }

    private static string Objects(GrammarBuilder grammar, IReadOnlyList<ToolDefinition> tools, string argumentsKey) =>
        grammar.Add("call", string.Join(" | ", tools.Select(t =>
            $"{GrammarBuilder.Literal($"{{\"name\": \"{t.Name}\", \"{argumentsKey}\": ")} {Arguments(grammar, t)} \"}}\"")));

    private static string Named(GrammarBuilder grammar, IReadOnlyList<ToolDefinition> tools) =>
        grammar.Add("call", string.Join(" | ", tools.Select(t => $"{GrammarBuilder.Literal($"[TOOL_CALLS]{t.Name}[ARGS]")} {Arguments(grammar, t)}")));

    private static string Arguments(GrammarBuilder grammar, ToolDefinition tool)
    {
        if (tool.Parameters.IsNull())
        {
            return "\"{}\"";
        }
        return JsonSchemaGrammar.AddRules(grammar, tool.Parameters);
    }

    private static string Wrap(GrammarBuilder grammar, string before, string rule, string after) =>
        grammar.Add("wrapped", $"{GrammarBuilder.Literal(before)} {rule} {GrammarBuilder.Literal(after)}");

    private static string Repeat(GrammarBuilder grammar, string rule, string separator, bool parallel)
    {
        if (!parallel)
        {
            return rule;
        }
        return grammar.Add("calls", separator.Length == 0 ? $"{rule}+" : $"{rule} ({GrammarBuilder.Literal(separator)} {rule})*");
    }
}
