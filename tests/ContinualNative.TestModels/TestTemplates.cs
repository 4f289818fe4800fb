namespace ContinualNative.TestModels;

/// <summary>Chat templates for test models.</summary>
public static class TestTemplates
{
    /// <summary>ChatML and nothing more.</summary>
    public const string ChatMl = """
        {%- for message in messages -%}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
        {{- '<|im_start|>assistant\n' -}}
        {%- endif -%}
        """;

    /// <summary>ChatML with tools: signatures as JSON in the system message, calls in &lt;tool_call&gt; tags, answers in &lt;tool_response&gt; tags.</summary>
    public const string ChatMlTools = """
        {%- set ns = namespace(system='') -%}
        {%- for message in messages if message.role in ['system', 'developer'] -%}
        {%- set ns.system = ns.system + ('\n' if ns.system else '') + message.content -%}
        {%- endfor -%}
        {%- if tools or ns.system -%}
        {{- '<|im_start|>system\n' + ns.system -}}
        {%- if tools -%}
        {{- ('\n\n' if ns.system else '') + 'These functions are available:\n<tools>' -}}
        {%- for tool in tools -%}
        {{- '\n' -}}{{- tool | tojson -}}
        {%- endfor -%}
        {{- '\n</tools>\nTo call one, answer with\n<tool_call>\n{"name": <its name>, "arguments": <a JSON object>}\n</tool_call>' -}}
        {%- endif -%}
        {{- '<|im_end|>\n' -}}
        {%- endif -%}
        {%- for message in messages -%}
        {%- if message.role == 'user' -%}
        {{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' -}}
        {%- elif message.role == 'assistant' -%}
        {{- '<|im_start|>assistant\n' + (message.content or '') -}}
        {%- for call in message.tool_calls or [] -%}
        {%- if message.content or not loop.first -%}{{- '\n' -}}{%- endif -%}
        {{- '<tool_call>\n{"name": ' -}}{{- call.function.name | tojson -}}{{- ', "arguments": ' -}}
        {%- if call.function.arguments is string -%}{{- call.function.arguments -}}{%- else -%}{{- call.function.arguments | tojson -}}{%- endif -%}
        {{- '}\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
        {%- elif message.role == 'tool' -%}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' -}}
        {%- elif message.role not in ['system', 'developer'] -%}
        {{- raise_exception('unknown role ' + message.role) -}}
        {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
        {{- '<|im_start|>assistant\n' -}}
        {%- endif -%}
        """;
}
