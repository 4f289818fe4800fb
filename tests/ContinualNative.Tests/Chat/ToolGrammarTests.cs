using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Constraints;
using ContinualNative.Tests.Constraints;

namespace ContinualNative.Tests.Chat;

public sealed class ToolGrammarTests
{
    private static readonly ToolDefinition[] Tools =
    [
        new("get_weather", "d", JsonElement.Parse("""{"type":"object","properties":{"days":{"enum":[1,2]}},"required":["days"],"additionalProperties":false}""")),
        new("now", null, default),
    ];

    [Theory]
    [InlineData(ToolCallFormat.Hermes, """<tool_call>\n{\"name\": \"get_weather\", \"arguments\": """, """}\n</tool_call>""")]
    [InlineData(ToolCallFormat.Llama3, """{\"name\": \"get_weather\", \"parameters\": """, "}")]
    [InlineData(ToolCallFormat.Mistral, """[TOOL_CALLS][""", """{\"name\": \"now\", \"arguments\": """)]
    [InlineData(ToolCallFormat.MistralArgs, "[TOOL_CALLS]get_weather[ARGS]", "[TOOL_CALLS]now[ARGS]")]
    public void Each_format_has_its_markers_and_is_a_valid_grammar(ToolCallFormat format, string first, string second)
    {
        string grammar = ToolGrammar.For(format, Tools);
        Constraint.ValidateGrammar(grammar);
        Assert.StartsWith("root ::= ", grammar, StringComparison.Ordinal);
        Assert.Contains('"' + first, grammar, StringComparison.Ordinal);
        Assert.Contains(second + '"', grammar, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ToolCallFormat.Hermes, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"days\": 2}}\n</tool_call>", 1)]
    [InlineData(ToolCallFormat.Hermes, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", 2)]
    [InlineData(ToolCallFormat.Llama3, "{\"name\": \"get_weather\", \"parameters\": {\"days\": 1}}", 1)]
    [InlineData(ToolCallFormat.Mistral, "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"get_weather\", \"arguments\": {\"days\": 1}}]", 2)]
    [InlineData(ToolCallFormat.MistralArgs, "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]get_weather[ARGS]{\"days\": 1}", 2)]
    public void What_the_grammar_allows_the_parser_reads(ToolCallFormat format, string answer, int calls)
    {
        Assert.True(new GbnfRecognizer(ToolGrammar.For(format, Tools)).Accepts(answer));
        Assert.Equal(calls == 1, new GbnfRecognizer(ToolGrammar.For(format, Tools, parallel: false)).Accepts(answer));
        ToolCallParser parser = new(format, () => "id", new HashSet<string> { "get_weather", "now" });
        List<AnswerPart> parts = [.. parser.Append(answer)];
        parts.AddRange(parser.Complete());
        Assert.Equal(calls, parts.Count);
        Assert.All(parts, part => Assert.NotNull(part.Call));

        // Nothing but calls, and only with arguments of the schema.
        Assert.False(new GbnfRecognizer(ToolGrammar.For(format, Tools)).Accepts("Hello"));
        Assert.False(new GbnfRecognizer(ToolGrammar.For(format, Tools)).Accepts(answer.Replace("days", "weeks", StringComparison.Ordinal).Replace("now", "later", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_name_is_escaped_in_JSON_and_in_the_grammar()
    {
        ToolDefinition odd = Tools[1] with { Name = "a\"b\\c" };
        const string Answer = "{\"name\": \"a\\\"b\\\\c\", \"parameters\": {}}";
        Assert.True(new GbnfRecognizer(ToolGrammar.For(ToolCallFormat.Llama3, [odd])).Accepts(Answer));
        ToolCallParser parser = new(ToolCallFormat.Llama3, () => "id");
        Assert.Equal(odd.Name, Assert.Single(parser.Append(Answer)).Call!.Name);
    }

    [Fact]
    public void Only_the_named_function_can_be_called()
    {
        string grammar = ToolGrammar.For(ToolCallFormat.Hermes, Tools, "now", parallel: false);
        Assert.DoesNotContain("get_weather", grammar, StringComparison.Ordinal);
        Assert.Contains("now", grammar, StringComparison.Ordinal);
        EngineException e = Assert.Throws<EngineException>(() => ToolGrammar.For(ToolCallFormat.Hermes, Tools, "later"));
        Assert.Equal((EngineError.InvalidRequest, "tool_choice"), (e.Error, e.Param));
    }

    [Fact]
    public void What_cannot_be_forced_is_refused()
    {
        Assert.Equal("tool_choice", Assert.Throws<EngineException>(() => ToolGrammar.For(ToolCallFormat.None, Tools)).Param);
        Assert.Equal("tool_choice", Assert.Throws<EngineException>(() => ToolGrammar.For(ToolCallFormat.Hermes, [])).Param);
        ToolDefinition odd = Tools[1] with { Name = "two words" };
        Assert.Equal("tools", Assert.Throws<EngineException>(() => ToolGrammar.For(ToolCallFormat.MistralArgs, [odd])).Param);
    }
}
