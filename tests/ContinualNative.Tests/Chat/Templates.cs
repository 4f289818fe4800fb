namespace ContinualNative.Tests.Chat;

/// <summary>Templates in the style of well-known model families, written for these tests.</summary>
internal static class Templates
{
    public const string ChatMl = """
        {%- for m in messages -%}
        <|im_start|>{{ m['role'] }}
        {{ m['content'] }}<|im_end|>
        {% endfor -%}
        {%- if add_generation_prompt -%}
        <|im_start|>assistant
        {% endif -%}
        """;

    public const string Llama3 = """
        {{- bos_token }}
        {%- if messages[0].role == 'system' %}
            {%- set system = messages[0].content | trim %}
            {%- set rest = messages[1:] %}
        {%- else %}
            {%- set system = '' %}
            {%- set rest = messages %}
        {%- endif %}
        {{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + strftime_now('%d %b %Y') + '\n\n' + system + '<|eot_id|>' }}
        {%- for m in rest %}
            {%- if m.tool_calls is defined %}
                {%- if m.tool_calls | length != 1 %}
                    {{- raise_exception('Only one call at a time, please') }}
                {%- endif %}
                {%- set call = m.tool_calls[0].function %}
                {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call.name + '", "parameters": ' }}
                {{- call.arguments | tojson }}
                {{- '}<|eot_id|>' }}
            {%- elif m.role == 'tool' %}
                {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' + m.content + '<|eot_id|>' }}
            {%- else %}
                {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}
                {%- if loop.first and tools is not none %}
                    {%- for tool in tools %}
                        {{- tool | tojson(indent=4) + '\n\n' }}
                    {%- endfor %}
                {%- endif %}
                {{- m.content | trim + '<|eot_id|>' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
        {%- endif %}
        """;

    public const string Mistral = """
        {{- bos_token }}
        {%- set ns = namespace(turn=0) %}
        {%- for m in messages %}
            {%- if m.role == 'user' %}
                {%- if loop.last and tools is not none %}
                    {{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}
                {%- endif %}
                {{- '[INST]' + m.content + '[/INST]' }}
            {%- elif m.role == 'assistant' and m.tool_calls is defined %}
                {{- '[TOOL_CALLS][' }}
                {%- for call in m.tool_calls %}
                    {%- if call.id is undefined or call.id | length != 9 %}
                        {{- raise_exception('Ids of calls have nine characters!') }}
                    {%- endif %}
                    {{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + ', "id": "' + call.id + '"}' }}
                    {{- ', ' if not loop.last else ']' + eos_token }}
                {%- endfor %}
            {%- elif m.role == 'assistant' %}
                {{- m.content + eos_token }}
            {%- elif m.role == 'tool' %}
                {{- '[TOOL_RESULTS]{"content": ' + m.content | tojson + ', "call_id": "' + m.tool_call_id + '"}[/TOOL_RESULTS]' }}
            {%- else %}
                {{- raise_exception('Only user, assistant and tool roles are known!') }}
            {%- endif %}
        {%- endfor %}
        """;

    public const string Gemma = """
        {{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role here') }}{% endif %}
        {% for m in messages %}
        {% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles must take turns: user/assistant/user/assistant/...') }}
        {% endif %}
        {{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim + '<end_of_turn>' }}
        {% endfor %}
        {% if add_generation_prompt %}
        {{ '<start_of_turn>model' }}
        {% endif %}
        """;

    public const string Qwen25 = """
        {%- if tools %}
            {{- '<|im_start|>system\n' }}
            {{- messages[0].content if messages[0].role == 'system' else 'You help.' }}
            {{- '\n\n<tools>' }}
            {%- for tool in tools %}
                {{- '\n' }}
                {{- tool | tojson }}
            {%- endfor %}
            {{- '\n</tools>\nAnswer with <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>\n' }}
        {%- elif messages[0].role == 'system' %}
            {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
        {%- else %}
            {{- '<|im_start|>system\nYou help.<|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'user' or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
            {%- elif message.role == 'assistant' %}
                {{- '<|im_start|>assistant' }}
                {%- if message.content %}
                    {{- '\n' + message.content }}
                {%- endif %}
                {%- for call in message.tool_calls %}
                    {%- if call.function is defined %}
                        {%- set call = call.function %}
                    {%- endif %}
                    {{- '\n<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
                    {{- call.arguments | tojson }}
                    {{- '}\n</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- elif message.role == 'tool' %}
                {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}
                    {{- '<|im_start|>user' }}
                {%- endif %}
                {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
                {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
                    {{- '<|im_end|>\n' }}
                {%- endif %}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """;

    public const string Qwen3 = """
        {%- for message in messages %}
            {%- set content = message.content %}
            {%- if message.role == 'assistant' and '</think>' in content %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
            {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
            {%- if enable_thinking is defined and enable_thinking is false %}
                {{- '<think>\n\n</think>\n\n' }}
            {%- endif %}
        {%- endif %}
        """;
}
