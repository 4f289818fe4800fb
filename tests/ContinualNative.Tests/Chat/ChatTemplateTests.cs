using System.Diagnostics;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;

namespace ContinualNative.Tests.Chat;

public sealed class ChatTemplateTests(ITestOutputHelper output)
{
    private static readonly ChatTemplateOptions Fixed = new() { TimeProvider = new FixedClock() };

    private static readonly ToolDefinition Weather = new(
        "get_weather",
        "Wetter für Österreich",
        JsonElement.Parse("""{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"""));

    private static readonly ChatMessage Ask = User("Oslo?");
    private static readonly ChatMessage Called = new() { Role = "assistant", ToolCalls = [new ToolCall("abc123XYZ", "get_weather", """{"city":"Oslo", "days": 2, "deep": {"a": [1, null, true]}}""")] };
    private static readonly ChatMessage Answered = new() { Role = "tool", ToolCallId = "abc123XYZ", Name = "get_weather", Content = "rain" };

    [Fact]
    public void ChatMl_gives_each_message_its_turn() => Assert.Equal(
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi  there \n<|im_end|>\n<|im_start|>assistant\n",
        Render(Templates.ChatMl, System("Be kind."), User("Hi  there \n")));

    [Fact]
    public void Without_a_generation_prompt_the_text_ends_with_the_last_message() => Assert.Equal(
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n",
        Of(Templates.ChatMl).Render([User("Hi"), Assistant("Yes?")], addGenerationPrompt: false));

    [Fact]
    public void The_default_is_ChatMl() => Assert.Equal(
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n",
        Render(ChatTemplate.Default, System("S"), User("U")));

    [Fact]
    public void Llama_3_has_the_date_of_the_given_clock() => Assert.Equal(
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 05 Mar 2031\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        Render(Templates.Llama3, System(" S "), User("U")));

    [Fact]
    public void Llama_3_shows_tools_and_calls()
    {
        ChatTemplate template = Of(Templates.Llama3);
        Assert.True(template.SupportsTools);
        Assert.Equal(ToolCallFormat.Llama3, template.ToolCallFormat);
        Assert.Equal(
            """
            <s><|start_header_id|>system<|end_header_id|>

            Today Date: 05 Mar 2031

            <|eot_id|><|start_header_id|>user<|end_header_id|>

            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "Wetter für Österreich",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "city": {
                                "type": "string"
                            }
                        },
                        "required": [
                            "city"
                        ]
                    }
                }
            }

            Oslo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>

            {"name": "get_weather", "parameters": {"city": "Oslo", "days": 2, "deep": {"a": [1, null, true]}}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>

            rain<|eot_id|><|start_header_id|>assistant<|end_header_id|>


            """,
            template.Render([Ask, Called, Answered], [Weather]));
    }

    [Fact]
    public void Mistral_shows_tools_and_calls()
    {
        ChatTemplate template = Of(Templates.Mistral);
        Assert.Equal(ToolCallFormat.Mistral, template.ToolCallFormat);
        Assert.Equal(
            """<s>[INST]Oslo?[/INST][TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2, "deep": {"a": [1, null, true]}}, "id": "abc123XYZ"}]</s>[TOOL_RESULTS]{"content": "rain", "call_id": "abc123XYZ"}[/TOOL_RESULTS][AVAILABLE_TOOLS][{"type": "function", "function": {"name": "get_weather", "description": "Wetter für Österreich", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}][/AVAILABLE_TOOLS][INST]And?[/INST]""",
            template.Render([Ask, Called, Answered, User("And?")], [Weather]));
    }

    [Fact]
    public void Ids_of_other_servers_take_the_form_that_Mistral_insists_on_and_still_match()
    {
        ToolCall foreign = Called.ToolCalls[0] with { Id = "call_Xb81-and-more" };
        string text = Of(Templates.Mistral).Render([Ask, Called with { ToolCalls = [foreign] }, Answered with { ToolCallId = foreign.Id }], [Weather]);
        string id = text.Split("\"id\": \"")[1].Split('"')[0];
        Assert.Matches("^[A-Za-z0-9]{9}$", id);
        Assert.Contains($"\"call_id\": \"{id}\"", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_template_that_refuses_the_system_role_gets_it_in_the_first_user_message()
    {
        Assert.Equal(
            "<s><start_of_turn>user\nBe kind.\nHi<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
            Render(Templates.Gemma, System("Be kind."), User("Hi"), Assistant("Yes?"), User("Bye")));
        Assert.Equal(
            "<s>[INST]Be kind.\nHi[/INST]",
            Render(Templates.Mistral, System("Be kind."), User("Hi")));
        Assert.Equal("<s>[INST]Be kind.[/INST]", Render(Templates.Mistral, System("Be kind.")));
    }

    [Fact]
    public void A_template_that_accepts_the_system_role_keeps_it_and_its_own_rules()
    {
        const string FirstOnly = "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('System comes first.') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}";
        Assert.Equal("[system]S[user]U", Render(FirstOnly, System("S"), User("U")));
        EngineException refusal = Assert.Throws<EngineException>(() => Render(FirstOnly, User("U"), System("S")));
        Assert.Equal("System comes first.", refusal.Message);
    }

    [Fact]
    public void The_templates_own_words_come_back_when_it_refuses()
    {
        EngineException refusal = Assert.Throws<EngineException>(() => Render(Templates.Gemma, User("a"), User("b")));
        Assert.Equal(EngineError.InvalidRequest, refusal.Error);
        Assert.Equal("Roles must take turns: user/assistant/user/assistant/...", refusal.Message);
        Assert.Equal("messages", refusal.Param);
    }

    [Fact]
    public void Qwen_2_5_shows_tools_calls_and_results()
    {
        ChatTemplate template = Of(Templates.Qwen25);
        Assert.True(template.SupportsTools);
        Assert.Equal(ToolCallFormat.Hermes, template.ToolCallFormat);
        Assert.Equal(
            """
            <|im_start|>system
            Be kind.

            <tools>
            {"type": "function", "function": {"name": "get_weather", "description": "Wetter für Österreich", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
            {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
            </tools>
            Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>
            <|im_start|>user
            Oslo?<|im_end|>
            <|im_start|>assistant
            <tool_call>
            {"name": "get_weather", "arguments": {"city": "Oslo", "days": 2, "deep": {"a": [1, null, true]}}}
            </tool_call><|im_end|>
            <|im_start|>user
            <tool_response>
            rain
            </tool_response>
            <tool_response>
            wind
            </tool_response><|im_end|>
            <|im_start|>assistant

            """,
            template.Render([System("Be kind."), Ask, Called, Answered, Answered with { Content = "wind" }], [Weather, new ToolDefinition("now", null, default)]));
    }

    [Fact]
    public void Qwen_3_thinks_unless_told_not_to()
    {
        ChatTemplate template = Of(Templates.Qwen3);
        ChatMessage[] chat = [User("a"), Assistant("<think>\nhm\n</think>\n\nb"), User("c")];
        const string Expected = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n";
        Assert.Equal(Expected, template.Render(chat));
        Assert.Equal(Expected, template.Render(chat, arguments: Arguments("enable_thinking", "true")));
        Assert.Equal(Expected + "<think>\n\n</think>\n\n", template.Render(chat, arguments: Arguments("enable_thinking", "false")));
    }

    [Theory]
    [InlineData("messages")]
    [InlineData("tools")]
    [InlineData("bos_token")]
    [InlineData("raise_exception")]
    public void Arguments_may_not_replace_what_the_server_sets(string name)
    {
        EngineException e = Assert.Throws<EngineException>(() => Of(Templates.ChatMl).Render([User("a")], arguments: Arguments(name, "[]")));
        Assert.Equal(EngineError.InvalidRequest, e.Error);
        Assert.Contains(name, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Developer_is_system_where_the_template_does_not_know_it()
    {
        ChatMessage[] chat = [new() { Role = "developer", Content = "D" }, User("U")];
        Assert.Equal("<|im_start|>system\nD<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n", Render(Templates.ChatMl, chat));
        Assert.Equal("(D)U", Render("{% for m in messages %}{% if m.role == 'developer' %}({{ m.content }}){% else %}{{ m.content }}{% endif %}{% endfor %}", chat));
        Assert.Equal("<s>[INST]D\nU[/INST]", Render(Templates.Mistral, chat));
    }

    [Fact]
    public void Null_content_is_empty_where_the_template_would_print_or_choke_on_it_and_null_where_it_asks()
    {
        const string Prints = "{% for m in messages %}[{{ m.content | tojson }}]{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}{% endfor %}";
        const string Chokes = "{% for m in messages %}[{{ '' + m.content }}]{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}{% endfor %}";
        const string Asks = "{% for m in messages %}{% if m.content is none %}nothing{% else %}[{{ m.content }}]{% endif %}{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}{% endfor %}";
        ChatMessage call = Called with { ToolCalls = [new ToolCall("abc123XYZ", "f", "{}")] };
        Assert.Equal("""["Oslo?"][""]{}""", Render(Prints, Ask, call));
        Assert.Equal("[Oslo?][]{}", Render(Chokes, Ask, call));
        Assert.Equal("[Oslo?]nothing{}", Render(Asks, Ask, call));
    }

    [Fact]
    public void Arguments_of_calls_are_text_where_the_template_prints_them()
    {
        const string Prints = "{% for m in messages %}{{ m.content }}{% if m.tool_calls %}{{ '@' + m.tool_calls[0].function.arguments }}{% endif %}{% endfor %}";
        Assert.Equal("Oslo?@" + Called.ToolCalls[0].Arguments, Render(Prints, Ask, Called));
    }

    [Fact]
    public void Content_goes_in_parts_where_the_template_wants_them()
    {
        const string Parts = "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}";
        Assert.Equal("[system]S[user]U", Render(Parts, System("S"), User("U")));
    }

    [Fact]
    public void Tools_are_refused_where_the_template_knows_none()
    {
        ChatTemplate template = Of(Templates.ChatMl);
        Assert.False(template.SupportsTools);
        Assert.Equal(ToolCallFormat.None, template.ToolCallFormat);
        EngineException e = Assert.Throws<EngineException>(() => template.Render([User("a")], [Weather]));
        Assert.Equal(EngineError.InvalidRequest, e.Error);
        Assert.Equal("tools", e.Param);
    }

    [Fact]
    public void Json_is_written_as_Python_writes_it() => Assert.Equal(
        """{"a": "é漢😀</b>&'\"\\\n\u0001", "b": [1, 2.5, null, false, {}, []]}""",
        Of("{{ messages[0].content[:0] }}{{ x | tojson }}").Render([User("a")], arguments: Arguments("x", """{"a":"é漢😀</b>&'\"\\\n\u0001","b":[1,2.5,null,false,{},[]]}""")));

    [Fact]
    public void Hostile_content_stays_content()
    {
        const string Nasty = "{{ 7*7 }} {% raw %} \" \\ \0 \u2028 </script> \uD83D\uDE00 ${x} `";
        Assert.Equal($"<|im_start|>user\n{Nasty}<|im_end|>\n<|im_start|>assistant\n", Render(Templates.ChatMl, User(Nasty)));
        Assert.Equal("<|im_start|>user\na\uFFFDb<|im_end|>\n<|im_start|>assistant\n", Render(Templates.ChatMl, User("a\uD83Db")));
    }

    [Fact]
    public void Dates_follow_Pythons_strftime() => Assert.Equal(
        "2031-03-05 07:08:09 5/31 Wednesday Wed March Mar 07 AM 064 100% %Q %",
        Render("{{ messages[0].content[:0] + strftime_now('%Y-%m-%d %H:%M:%S %-d/%y %A %a %B %b %I %p %j 100%% %Q %') }}", User("a")));

    [Fact]
    public void Methods_that_the_library_lacks_work()
    {
        Assert.Equal("a-1-b {x} None", Render("{{ '{}-{}-{name} {{x}} {}'.format('a', 1, none, name='b') }}", User("a")));
        Assert.Equal("[1, 2, 9]92", Render("{% set l = [1, 2] %}{% set _ = l.append(9) %}{{ l }}{{ l.pop() }}{{ l | max }}", User("a")));
    }

    [Theory]
    [InlineData("{% for m in messages %}{{ m.content }}", 1)]
    [InlineData("a\nb\n{{ messages[ }}", 3)]
    [InlineData("a\n{% if x %}\n{% endfor %}", 3)]
    [InlineData("{% set x = 1 %}\n{{ x + }}\n{{ y }}", 2)]
    [InlineData("{% if x %}\n{% frobnicate %}\n{% endif %}", 2)]
    [InlineData("{# never closed", 1)]
    [InlineData("x\n\n{{ 'never closed }}", 3)]
    public void A_template_that_is_not_Jinja_is_a_bad_file_with_its_line(string source, int line)
    {
        EngineException e = Assert.Throws<EngineException>(() => Of(source));
        Assert.Equal(EngineError.BadFile, e.Error);
        Assert.Contains($"line {line}:", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% set x = 1 %}{% endfor %}{% endfor %}{% endfor %}")]
    [InlineData("{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{{ 'aaaaaaaaaaaaaaaa' }}{% endfor %}{% endfor %}{% endfor %}")]
    [InlineData("{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}")]
    [InlineData("{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(100) %}{% set ns.x = ns.x | replace('a', 'aaaa') %}{% endfor %}{{ ns.x }}")]
    [InlineData("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}")]
    [InlineData("{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 2) }}{% endmacro %}{% for i in range(9) %}{{ f(0) }}{% endfor %}")]
    [InlineData("{% for a in range(100000000000) %}{% endfor %}")]
    [InlineData("{{ messages | tojson(indent=1000000000) }}")]
    [InlineData("{% set ns = namespace(x=[1, 2]) %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}")]
    public void A_hostile_template_is_stopped_and_others_go_on(string source)
    {
        // Harmless in the probes, so that the rendering itself is what has to be stopped.
        ChatTemplate template = Of($"{{% if messages[0].content == 'a' %}}{source}{{% else %}}{{{{ messages[0].content }}}}{{% endif %}}", new ChatTemplateOptions { MaxConcurrency = 1 });
        Stopwatch watch = Stopwatch.StartNew();
        for (int i = 0; i < 2; i++)
        {
            EngineException e = Assert.Throws<EngineException>(() => template.Render([User("a")]));
            Assert.Equal(EngineError.BadFile, e.Error);
            output.WriteLine($"{watch.Elapsed.TotalSeconds:F1} s: {e.Message}");
        }

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"{watch.Elapsed}");
        Assert.EndsWith("assistant\n", Render(Templates.ChatMl, User("a")), StringComparison.Ordinal);
    }

    [Fact]
    public void Steps_are_counted_where_neither_time_nor_memory_stops_it()
    {
        ChatTemplate template = Of("{% for a in range(messages[0].content | int) %}{% set x = 1 %}{% endfor %}done", new ChatTemplateOptions { StepLimit = 100_000, Timeout = TimeSpan.FromDays(1), MemoryLimit = 1L << 40 });
        Assert.Equal("done", template.Render([User("9")]));
        EngineException e = Assert.Throws<EngineException>(() => template.Render([User("100000")]));
        Assert.Contains("too many steps", e.Message, StringComparison.Ordinal);
        Assert.Equal("done", template.Render([User("9")]));
    }

    [Theory]
    [InlineData(20_000)]
    [InlineData(200_000)]
    public void A_template_that_nests_deeply_does_not_end_the_process(int depth)
    {
        EngineException e = Assert.Throws<EngineException>(() => Of("{{ " + new string('(', depth) + "1" + new string(')', depth) + " }}"));
        Assert.Equal(EngineError.BadFile, e.Error);
    }

    [Fact]
    public void A_template_reaches_nothing_outside()
    {
        Assert.Equal("[]", Render("[{{ System }}{{ host }}{{ hostLimits }}{{ globalThis }}{{ importNamespace }}]", User("a")));
        Assert.Throws<EngineException>(() => Render("{{ messages.constructor.constructor('return 1')() }}", User("a")));
        Assert.Throws<EngineException>(() => Render("{{ ''.__class__.__mro__[1].__subclasses__() }}", User("a")));
    }

    [Fact]
    public void A_long_chat_stays_within_the_limits()
    {
        string page = new('x', 1 << 20);
        ChatMessage[] chat = [.. Enumerable.Range(0, 200).Select(i => i % 2 == 0 ? User($"{i} short") : Assistant("yes")), User(page)];
        Assert.EndsWith(page + "<|im_end|>\n<|im_start|>assistant\n", Render(Templates.Qwen25, chat), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Many_threads_render_at_once_and_none_mixes_up_another()
    {
        ChatTemplate template = new(Templates.Qwen25, "<s>", "</s>", Fixed with { MaxConcurrency = 3 });
        await Task.WhenAll(Enumerable.Range(0, 12).Select(thread => Task.Run(
            () =>
            {
                for (int i = 0; i < 40; i++)
                {
                    string mark = $"thread {thread} message {i}";
                    ChatMessage[] chat = [System(mark + " s"), .. Enumerable.Range(0, thread % 3).SelectMany(turn => new[] { User($"{mark} {turn}"), Assistant("ok") }), User(mark)];
                    string expected = string.Concat(chat.Select(m => $"<|im_start|>{m.Role}\n{m.Content}<|im_end|>\n")) + "<|im_start|>assistant\n";
                    Assert.Equal(expected, template.Render(chat));
                }
            },
            TestContext.Current.CancellationToken)));
    }

    private static ChatMessage System(string text) => new() { Role = "system", Content = text };

    private static ChatMessage User(string text) => new() { Role = "user", Content = text };

    private static ChatMessage Assistant(string text) => new() { Role = "assistant", Content = text };

    private static ChatTemplate Of(string source, ChatTemplateOptions? options = null) => new(source, "<s>", "</s>", options ?? Fixed);

    private static string Render(string source, params ChatMessage[] messages) => Of(source).Render(messages);

    private static Dictionary<string, JsonElement> Arguments(string name, string json) => new() { [name] = JsonElement.Parse(json) };

    private sealed class FixedClock : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2031, 3, 5, 7, 8, 9, TimeSpan.Zero);
    }
}
