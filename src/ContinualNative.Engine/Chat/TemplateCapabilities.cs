using System.Text.RegularExpressions;

namespace ContinualNative.Engine.Chat;

/// <summary>What a template can do and needs, found out by rendering small chats rather than by guessing from its text.</summary>
internal sealed partial record TemplateCapabilities
{
    /// <summary>False: it refuses or drops the system's message.</summary>
    public bool AcceptsSystem { get; init; } = true;

    /// <summary>Whether the role <c>developer</c> means something to it.</summary>
    public bool KnowsDeveloper { get; init; }

    /// <summary>It fails on null content, or prints it.</summary>
    public bool NeedsStringContent { get; init; } = true;

    /// <summary>It shows content only as a list of parts.</summary>
    public bool WantsContentParts { get; init; }

    /// <summary>It prints a call's arguments as they are, so they must be text, not an object.</summary>
    public bool WantsArgumentsAsText { get; init; }

    /// <summary>It refuses ids of calls that aren't nine letters and digits.</summary>
    public bool NeedsShortIds { get; init; }

    /// <summary>Where there are no tools, it wants an empty list rather than Hugging Face's <c>None</c>.</summary>
    public bool WantsToolList { get; init; }

    /// <summary>It shows tools.</summary>
    public bool RendersTools { get; init; }

    /// <summary>How it shows calls.</summary>
    public ToolCallFormat Format { get; init; }

    /// <summary>Renders small chats through <paramref name="render"/>, which takes the context's members as JSON and gives null for a refusal.</summary>
    public static TemplateCapabilities Probe(string source, Func<string, string?> render)
    {
        const string User = """{"role":"user","content":"user-probe"}""";
        const string Tool = """[{"type":"function","function":{"name":"tool_probe","description":"d","parameters":{"type":"object","properties":{"argument_probe":{"type":"string","description":"d"}},"required":["argument_probe"]}}}]""";

        string noTools = "null";
        string? plain = render(Members(User, noTools));
        if (plain is null && render(Members(User, "[]")) is { } withList)
        {
            noTools = "[]";
            plain = withList;
        }

        bool parts = false;
        if (plain is null || !plain.Contains("user-probe", StringComparison.Ordinal))
        {
            string? typed = render(Members("""{"role":"user","content":[{"type":"text","text":"user-probe"}]}""", noTools));
            parts = typed is not null && typed.Contains("user-probe", StringComparison.Ordinal);
            plain = parts ? typed : plain;
        }

        string Content(string text) => parts ? $$"""[{"type":"text","text":"{{text}}"}]""" : $"\"{text}\"";
        string user = $$"""{"role":"user","content":{{Content("user-probe")}}}""";
        string? system = render(Members($$"""{"role":"system","content":{{Content("system-probe")}}},{{user}}""", noTools));
        string? tools = render(Members(user, Tool));

        string Call(string content, string arguments, string id) => Members(
            $$$"""{{{user}}},{"role":"assistant","content":{{{content}}},"tool_calls":[{"id":"{{{id}}}","type":"function","function":{"name":"tool_probe","arguments":{{{arguments}}} }}]},{"role":"tool","tool_call_id":"{{{id}}}","name":"tool_probe","content":{{{Content("result-probe")}}} }""",
            Tool);

        const string Object = """{"argument_probe":"value-probe"}""";
        const string Text = """ "{\"argument_probe\": \"value-probe\"}" """;
        const string ShortId = "probe0001";
        string? asObject = render(Call(Content(string.Empty), Object, ShortId));
        string? asText = render(Call(Content(string.Empty), Text, ShortId));
        bool wantsText = !Shows(asObject) && Shows(asText);
        string chosen = wantsText ? Text : Object;
        string? call = wantsText ? asText : asObject;
        string? withNull = render(Call("null", chosen, ShortId));
        string? withLongId = render(Call(Content(string.Empty), chosen, "call_probe_of_a_long_identifier"));
        bool rendersTools = tools is not null && tools.Contains("tool_probe", StringComparison.Ordinal);
        return new TemplateCapabilities
        {
            AcceptsSystem = plain is null || (system is not null && system.Contains("system-probe", StringComparison.Ordinal)),
            KnowsDeveloper = source.Contains("developer", StringComparison.Ordinal),
            NeedsStringContent = withNull is null || Nulls().Count(withNull) > (call is null ? 0 : Nulls().Count(call)),
            WantsContentParts = parts,
            WantsArgumentsAsText = wantsText,
            NeedsShortIds = call is not null && withLongId is null,
            WantsToolList = noTools == "[]",
            RendersTools = rendersTools,
            Format = !rendersTools ? ToolCallFormat.None : Shows(call) ? FormatOf(call!) : ToldIn(source),
        };
    }

    private static string Members(string messages, string tools) =>
        $"\"messages\":[{messages}],\"tools\":{tools},\"add_generation_prompt\":true";

    private static bool Shows(string? text) =>
        text is not null && text.Contains("value-probe", StringComparison.Ordinal) && !text.Contains("[object ", StringComparison.Ordinal);

    private static ToolCallFormat FormatOf(string call) => call switch
    {
        _ when HermesCall().IsMatch(call) => ToolCallFormat.Hermes,
        _ when MistralCall().IsMatch(call) => ToolCallFormat.Mistral,
        _ when MistralArgsCall().IsMatch(call) => ToolCallFormat.MistralArgs,
        _ when LlamaCall().IsMatch(call) => ToolCallFormat.Llama3,
        _ => ToolCallFormat.None,
    };

    // Some templates tell the model how to call but can't show past calls: there only the text tells.
    private static ToolCallFormat ToldIn(string source) =>
        source.Contains("<tool_call>", StringComparison.Ordinal) && source.Contains("arguments", StringComparison.Ordinal)
            && !source.Contains("<function", StringComparison.Ordinal) && !source.Contains("<arg_", StringComparison.Ordinal) ? ToolCallFormat.Hermes
        : !source.Contains("[TOOL_CALLS]", StringComparison.Ordinal) ? ToolCallFormat.None
        : source.Contains("[ARGS]", StringComparison.Ordinal) ? ToolCallFormat.MistralArgs
        : ToolCallFormat.Mistral;

    [GeneratedRegex("""None|null""")]
    private static partial Regex Nulls();

    [GeneratedRegex("""<tool_call>\s*\{\s*"name":\s*"tool_probe",\s*"(arguments|parameters)":\s*\{""")]
    private static partial Regex HermesCall();

    [GeneratedRegex("""(<\|start_header_id\|>assistant<\|end_header_id\|>|<\|python_tag\|>)\s*(<\|python_tag\|>)?\{("type":\s*"function",\s*)?"name":\s*"tool_probe",\s*"parameters":\s*\{""")]
    private static partial Regex LlamaCall();

    [GeneratedRegex("""\[TOOL_CALLS\]\s*\[\s*\{\s*"name":\s*"tool_probe",\s*"arguments":\s*\{""")]
    private static partial Regex MistralCall();

    [GeneratedRegex("""\[TOOL_CALLS\]tool_probe(\[CALL_ID\]\w+)?\[ARGS\]\s*\{""")]
    private static partial Regex MistralArgsCall();
}
