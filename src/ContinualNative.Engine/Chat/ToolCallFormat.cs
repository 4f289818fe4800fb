namespace ContinualNative.Engine.Chat;

/// <summary>How a model writes the calls that it asks for.</summary>
public enum ToolCallFormat
{
    /// <summary>In no known way.</summary>
    None,

    /// <summary>Hermes, Qwen: <c>&lt;tool_call&gt;{"name": …, "arguments": {…}}&lt;/tool_call&gt;</c>, any number of them.</summary>
    Hermes,

    /// <summary>Llama 3.1 and later: the answer is <c>{"name": …, "parameters": {…}}</c>, perhaps after <c>&lt;|python_tag|&gt;</c>; several with <c>;</c> between.</summary>
    Llama3,

    /// <summary>Mistral: <c>[TOOL_CALLS][{"name": …, "arguments": {…}}, …]</c>.</summary>
    Mistral,

    /// <summary>Mistral since 2025: <c>[TOOL_CALLS]name[ARGS]{…}</c>, once for each call.</summary>
    MistralArgs,
}
