using System.Text;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;

namespace ContinualNative.Tests.Chat;

public sealed class ToolCallParserTests
{
    private static readonly HashSet<string> Names = ["f", "g"];

    public static TheoryData<ToolCallFormat, string, string, string[]> Answers => new()
    {
        // no calls
        { ToolCallFormat.None, "<tool_call>{\"name\": \"f\"}</tool_call>", "<tool_call>{\"name\": \"f\"}</tool_call>", [] },
        { ToolCallFormat.Hermes, "", "", [] },
        { ToolCallFormat.Hermes, " Plain text,\nwith <b>tags</b> & trailing space \n", " Plain text,\nwith <b>tags</b> & trailing space \n", [] },
        { ToolCallFormat.Hermes, "  \n ", "  \n ", [] },
        { ToolCallFormat.Hermes, "a <tool_cal", "a <tool_cal", [] },
        { ToolCallFormat.Hermes, "<tool_<tool_<too", "<tool_<tool_<too", [] },

        // Hermes
        { ToolCallFormat.Hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", "", ["0 id0 f {\"a\": 1}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", "", ["0 id0 f {}"] },
        { ToolCallFormat.Hermes, "\n\n<tool_call>{\"name\":\"f\"}</tool_call>\n", "", ["0 id0 f {}"] },
        { ToolCallFormat.Hermes, "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {\"b\": [1, {\"c\": \"}\"}]}}\n</tool_call>", "Let me look.", ["0 id0 f {}", "1 id1 g {\"b\": [1, {\"c\": \"}\"}]}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call> and then ", " and then ", ["0 id0 f {}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{\"s\":\"a \\\" } </tool_call> \\\\\"}}</tool_call>", "", ["0 id0 f {\"s\":\"a \\\" } </tool_call> \\\\\"}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"arguments\": {\"x\": null}, \"name\": \"unknown\"}</tool_call>", "", ["0 id0 unknown {\"x\": null}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 2}\"}</tool_call>", "", ["0 id0 f {\"a\": 2}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{\"ü\":\"漢😀\\u00e9\"}}</tool_call>", "", ["0 id0 f {\"ü\":\"漢😀\\u00e9\"}"] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{}}", "", ["0 id0 f {}"] }, // the end came before the closing marker
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"arguments\":{}}<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>", "", ["0 id0 f {}", "1 id1 g {}"] },

        // what only looks like a call
        { ToolCallFormat.Hermes, "<tool_call>{\"name\":\"f\",\"argum", "<tool_call>{\"name\":\"f\",\"argum", [] },
        { ToolCallFormat.Hermes, "Use <tool_call> tags.", "Use <tool_call> tags.", [] },
        { ToolCallFormat.Hermes, "x \n<tool_call>", "x \n<tool_call>", [] },
        { ToolCallFormat.Hermes, "<tool_call>{bad}</tool_call> ok", "<tool_call>{bad}</tool_call> ok", [] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{\"name\": 5}</tool_call>", [] },
        { ToolCallFormat.Hermes, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>", "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>", [] },
        { ToolCallFormat.Hermes, "<tool_call>{]", "<tool_call>{]", [] },
        { ToolCallFormat.Hermes, "<tool_call>{\"a\":1}</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call>", "<tool_call>{\"a\":1}</tool_call>", ["0 id0 g {}"] },
        { ToolCallFormat.Hermes, "<tool_call>{ <tool_call>{\"name\":\"g\"}</tool_call>", "<tool_call>{", ["0 id0 g {}"] },

        // Llama 3
        { ToolCallFormat.Llama3, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "", ["0 id0 f {\"a\": \"b\"}"] },
        { ToolCallFormat.Llama3, "\n {\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}\n", "", ["0 id0 f {}"] },
        { ToolCallFormat.Llama3, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "", ["0 id0 f {}"] },
        { ToolCallFormat.Llama3, "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"n\": 1}}", "", ["0 id0 f {}", "1 id1 g {\"n\": 1}"] },
        { ToolCallFormat.Llama3, "{\"name\": \"f\", \"parameters\": {}}\n{\"name\": \"g\", \"parameters\": {}}", "", ["0 id0 f {}", "1 id1 g {}"] },
        { ToolCallFormat.Llama3, "{\"name\": \"f\", \"parameters\": {}} done", " done", ["0 id0 f {}"] },
        { ToolCallFormat.Llama3, "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"q\": 1}}}", "", ["0 id0 f {\"q\": 1}"] },
        { ToolCallFormat.Llama3, "{\"name\": \"Ann\", \"parameters\": {}}", "{\"name\": \"Ann\", \"parameters\": {}}", [] },
        { ToolCallFormat.Llama3, "{\"name\": \"f\"}", "{\"name\": \"f\"}", [] },
        { ToolCallFormat.Llama3, "{\"answer\": 42, \"name\": \"f\", \"parameters\": {}}", "{\"answer\": 42, \"name\": \"f\", \"parameters\": {}}", [] },
        { ToolCallFormat.Llama3, "{}", "{}", [] },
        { ToolCallFormat.Llama3, "{ not json", "{ not json", [] },
        { ToolCallFormat.Llama3, "See {\"name\": \"f\", \"parameters\": {}}", "See {\"name\": \"f\", \"parameters\": {}}", [] },
        { ToolCallFormat.Llama3, "<|python_tag|>print('hi')", "<|python_tag|>print('hi')", [] },

        // Mistral
        { ToolCallFormat.Mistral, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"g\", \"arguments\": {}, \"id\": \"x\"}]", "", ["0 id0 f {\"a\": 1}", "1 id1 g {}"] },
        { ToolCallFormat.Mistral, "Sure. [TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]", "Sure.", ["0 id0 f {}"] },
        { ToolCallFormat.Mistral, "[TOOL_CALLS][]", "[TOOL_CALLS][]", [] },
        { ToolCallFormat.Mistral, "[TOOL_CALLS][{\"name\": \"f\"}, 3]", "[TOOL_CALLS][{\"name\": \"f\"}, 3]", [] },
        { ToolCallFormat.Mistral, "a [1] [TOOL] [TOOL_CALLS", "a [1] [TOOL] [TOOL_CALLS", [] },
        { ToolCallFormat.MistralArgs, "[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]abc123XYZ[ARGS] {}", "", ["0 id0 f {\"a\": 1}", "1 id1 g {}"] },
        { ToolCallFormat.MistralArgs, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]", "", ["0 id0 f {}"] },
        { ToolCallFormat.MistralArgs, "[TOOL_CALLS]f[ARGS][1]", "[TOOL_CALLS]f[ARGS][1]", [] },
        { ToolCallFormat.MistralArgs, "[TOOL_CALLS]f[ARG", "[TOOL_CALLS]f[ARG", [] },
        { ToolCallFormat.MistralArgs, "[TOOL_CALLS]no name{}", "[TOOL_CALLS]no name{}", [] },
    };

    [Theory]
    [MemberData(nameof(Answers))]
    public void Any_cut_gives_the_same_text_and_calls(ToolCallFormat format, string answer, string text, string[] calls)
    {
        for (int first = 0; first <= answer.Length; first++)
        {
            for (int second = first; second <= answer.Length; second += second == first ? 1 : 3)
            {
                Check([answer[..first], answer[first..second], answer[second..]]);
            }
        }

        Check(answer.Select(c => c.ToString()));

        void Check(IEnumerable<string> pieces)
        {
            (string actualText, List<string> actualCalls) = Parse(format, pieces);
            Assert.Equal(text, actualText);
            Assert.Equal(calls, actualCalls);
        }
    }

    [Fact]
    public void Text_comes_as_it_arrives_unless_it_may_be_a_marker()
    {
        ToolCallParser parser = new(ToolCallFormat.Hermes, () => "id");
        Assert.Equal("Hello", Text(parser.Append("Hello")));
        Assert.Equal("", Text(parser.Append(" ")));
        Assert.Equal(" a", Text(parser.Append("a <tool")));
        Assert.Equal(" <toolbox>", Text(parser.Append("box>")));
        Assert.Empty(parser.Append("\n<tool_call>{\"name\": \"f\""));
        AnswerPart part = Assert.Single(parser.Append("}</to"));
        Assert.Equal(new ToolCall("id", "f", "{}"), part.Call);
        Assert.Equal(0, part.CallIndex);
        Assert.Empty(parser.Append("ol_call>"));
        Assert.Empty(parser.Complete());
        Assert.Equal(1, parser.CallCount);
    }

    [Fact]
    public void A_JSON_answer_of_a_Llama_streams_from_its_first_foreign_key_on()
    {
        ToolCallParser parser = new(ToolCallFormat.Llama3, () => "id", Names);
        Assert.Empty(parser.Append("{\"na"));
        Assert.Equal("{\"nation\"", Text(parser.Append("tion\"")));
        Assert.Equal(": \"NO\"", Text(parser.Append(": \"NO\"")));
    }

    [Fact]
    public void Random_text_is_never_lost_and_random_calls_are_all_found()
    {
        string[] bits = ["<tool_call>", "</tool_call>", "{", "}", "\"", "\\", "name", ":", " ", "\n", "[", "]", "x", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", ";", "{\"name\": \"f\", \"arguments\": {\"k\": 1}}", "<tool", "漢"];
        Random random = new(7);
        foreach (ToolCallFormat format in Enum.GetValues<ToolCallFormat>())
        {
            for (int round = 0; round < 400; round++)
            {
                string answer = string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => bits[random.Next(bits.Length)]));
                (string whole, List<string> calls) = Parse(format, [answer]);
                (string cut, List<string> cutCalls) = Parse(format, answer.Chunk(1 + random.Next(4)).Select(c => new string(c)));
                Assert.Equal(whole, cut);
                Assert.Equal(calls, cutCalls);
                if (calls.Count == 0)
                {
                    Assert.Equal(answer, whole);
                }
            }
        }
    }

    [Fact]
    public void A_long_answer_is_read_in_linear_time()
    {
        ToolCallParser parser = new(ToolCallFormat.Hermes, () => "id");
        parser.Append("<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"");
        for (int i = 0; i < 200_000; i++)
        {
            Assert.Empty(parser.Append("abcd "));
        }

        AnswerPart part = Assert.Single(parser.Append("\"}}</tool_call>"));
        Assert.Equal(1_000_000 + "{\"text\": \"\"}".Length, part.Call!.Arguments.Length);
    }

    [Fact]
    public void Ids_are_random_and_short_where_Mistral_wants_them_so()
    {
        Assert.Matches("^[A-Za-z0-9]{9}$", ToolCallId.Random(ToolCallFormat.Mistral));
        Assert.Matches("^call_[A-Za-z0-9]{24}$", ToolCallId.Random(ToolCallFormat.Hermes));
        Assert.NotEqual(ToolCallId.Random(ToolCallFormat.Hermes), ToolCallId.Random(ToolCallFormat.Hermes));
    }

    private static string Text(IReadOnlyList<AnswerPart> parts) => string.Concat(parts.Select(p => p.Text));

    private static (string Text, List<string> Calls) Parse(ToolCallFormat format, IEnumerable<string> pieces)
    {
        int next = 0;
        ToolCallParser parser = new(format, () => $"id{next++}", Names);
        StringBuilder text = new();
        List<string> calls = [];
        void Take(IReadOnlyList<AnswerPart> parts)
        {
            foreach (AnswerPart part in parts)
            {
                text.Append(part.Text);
                if (part.Call is { } call)
                {
                    calls.Add($"{part.CallIndex} {call.Id} {call.Name} {call.Arguments}");
                }
            }
        }

        foreach (string piece in pieces)
        {
            Take(parser.Append(piece));
        }

        Take(parser.Complete());
        return (text.ToString(), calls);
    }
}
