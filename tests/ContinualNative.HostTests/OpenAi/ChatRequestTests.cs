using System.Text;
using System.Text.Json;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;

namespace ContinualNative.HostTests.OpenAi;

public sealed class ChatRequestTests
{
    private const string Hello = "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]";

    private const string Tool = """
        "tools":[{"type":"function","function":{"name":"add","description":"d","parameters":{"type":"object"}}}]
        """;

    [Fact]
    public void Reads_everything_that_a_chat_may_hold()
    {
        ChatRequest request = Parse("""
            {"model":"m@a1","messages":[
              {"role":"system","content":"be brief"},
              {"role":"user","name":"ann","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
              {"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},
              {"role":"tool","tool_call_id":"c1","content":"2"}],
             "n":3,"stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,
             "presence_penalty":-1,"frequency_penalty":1.5,"repeat_penalty":1.1,"seed":-5,"logit_bias":{"12":-100},"stop":["a","b"],"logprobs":true,"top_logprobs":5,
             "tools":[{"type":"function","function":{"name":"add","strict":true,"parameters":{"type":"object"}}}],
             "tool_choice":{"type":"function","function":{"name":"add"}},"parallel_tool_calls":false,"route":"auto",
             "user":"u","metadata":{"k":"v"},"store":false,"service_tier":"auto","prompt_cache_key":"p","safety_identifier":"s","chat_template_kwargs":{"x":1},"modalities":["text"]}
            """);
        Assert.Equal("m@a1", request.Model);
        Assert.Equal(["system", "user", "assistant", "tool"], request.Messages.Select(m => m.Role));
        Assert.Equal("one\ntwo", request.Messages[1].Content);
        Assert.Equal("ann", request.Messages[1].Name);
        Assert.Equal("{\"a\":1}", Assert.Single(request.Messages[2].ToolCalls).Arguments);
        Assert.Equal("c1", request.Messages[3].ToolCallId);
        Assert.Equal((3, true, true, 7), (request.Choices, request.Stream, request.IncludeUsage, request.MaxTokens));
        Assert.Equal(0.5f, request.Sampling.Temperature);
        Assert.Equal(40, request.Sampling.TopK);
        Assert.Equal(unchecked((ulong)-5L), request.Sampling.Seed);
        Assert.Equal(-100f, request.Sampling.LogitBias[12]);
        Assert.Equal(["a", "b"], request.Stop);
        Assert.Equal(5, request.TopLogProbs);
        Assert.Equal((ToolChoice.Named, "add"), (request.ToolChoice, request.NamedTool));
        Assert.False(request.ParallelToolCalls);
        Assert.Equal(1, request.TemplateArguments!["x"].GetInt32());
    }

    [Fact]
    public void Null_means_left_out()
    {
        ChatRequest request = Parse($$"""{{{Hello}},"temperature":null,"stop":null,"tools":null,"response_format":null,"reasoning_effort":null,"audio":null}""");
        Assert.Equal(1f, request.Sampling.Temperature);
        Assert.Null(request.MaxTokens);
        Assert.Equal(-1, request.TopLogProbs);
    }

    [Theory]
    [InlineData("\"max_tokens\":5,\"foo\":1", "unknown_parameter", "foo")]
    [InlineData("\"foo\":null", "unknown_parameter", "foo")]
    [InlineData("\"temperature\":\"hot\"", "invalid_type", "temperature")]
    [InlineData("\"temperature\":2.1", "invalid_value", "temperature")]
    [InlineData("\"temperature\":1e999", "invalid_value", "temperature")]
    [InlineData("\"n\":0", "invalid_value", "n")]
    [InlineData("\"n\":1000000", "invalid_value", "n")]
    [InlineData("\"n\":1.5", "invalid_type", "n")]
    [InlineData("\"n\":99999999999999999999", "invalid_value", "n")]
    [InlineData("\"max_tokens\":0", "invalid_value", "max_tokens")]
    [InlineData("\"max_tokens\":1e400", "invalid_value", "max_tokens")]
    [InlineData("\"max_tokens\":1,\"max_completion_tokens\":2", "invalid_value", "max_tokens")]
    [InlineData("\"stream\":1", "invalid_type", "stream")]
    [InlineData("\"stream_options\":{\"include_usage\":true}", "invalid_value", "stream_options")]
    [InlineData("\"stream\":true,\"stream_options\":{\"x\":true}", "unknown_parameter", "stream_options.x")]
    [InlineData("\"top_logprobs\":3", "invalid_value", "top_logprobs")]
    [InlineData("\"logprobs\":true,\"top_logprobs\":21", "invalid_value", "top_logprobs")]
    [InlineData("\"logit_bias\":{\"x\":1}", "invalid_value", "logit_bias.x")]
    [InlineData("\"logit_bias\":{\"-1\":1}", "invalid_value", "logit_bias.-1")]
    [InlineData("\"logit_bias\":{\"1\":101}", "invalid_value", "logit_bias.1")]
    [InlineData("\"stop\":[1]", "invalid_type", "stop[0]")]
    [InlineData("\"stop\":\"\"", "invalid_value", "stop")]
    [InlineData("\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]", "invalid_value", "stop")]
    [InlineData("\"store\":true", "unsupported_parameter", "store")]
    [InlineData("\"service_tier\":\"flex\"", "unsupported_parameter", "service_tier")]
    [InlineData("\"reasoning_effort\":\"low\"", "unsupported_parameter", "reasoning_effort")]
    [InlineData("\"verbosity\":\"low\"", "unsupported_parameter", "verbosity")]
    [InlineData("\"prediction\":{}", "unsupported_parameter", "prediction")]
    [InlineData("\"functions\":[]", "unsupported_parameter", "functions")]
    [InlineData("\"modalities\":[\"audio\"]", "unsupported_parameter", "modalities")]
    [InlineData("\"route\":\"upwards\"", "invalid_value", "route")]
    [InlineData("\"route\":\"moon\"", "invalid_value", "route")]
    [InlineData("\"guided_choice\":[]", "invalid_value", "guided_choice")]
    [InlineData("\"guided_choice\":[\"a\"],\"grammar\":\"root ::= [a]\"", "invalid_value", "guided_choice")]
    [InlineData("\"tool_choice\":\"required\"", "invalid_value", "tool_choice")]
    [InlineData("\"tools\":[{\"type\":\"custom\"}]", "unsupported_parameter", "tools[0].type")]
    [InlineData("\"tools\":[{\"type\":\"function\"}]", "missing_required_parameter", "tools[0].function")]
    [InlineData("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]", "invalid_value", "tools[0].function.name")]
    [InlineData("\"response_format\":{\"type\":\"xml\"}", "invalid_value", "response_format.type")]
    [InlineData("\"response_format\":{\"type\":\"json_schema\"}", "missing_required_parameter", "response_format.json_schema.schema")]
    [InlineData("\"response_format\":{\"type\":\"json_object\"},\"grammar\":\"root ::= [a]\"", "invalid_value", "grammar")]
    public void Refuses_by_name(string fields, string code, string param)
    {
        ApiException e = Assert.Throws<ApiException>(() => Parse($$"""{{{Hello}},{{fields}}}"""));
        Assert.Equal((400, code, param), (e.Status, e.Code, e.Param));
    }

    [Theory]
    [InlineData("{}", "missing_required_parameter", "messages")]
    [InlineData("""{"messages":null}""", "invalid_type", "messages")]
    [InlineData("""{"messages":[]}""", "invalid_value", "messages")]
    [InlineData("""{"messages":["x"]}""", "invalid_type", "messages[0]")]
    [InlineData("""{"messages":[{"content":"x"}]}""", "missing_required_parameter", "messages[0].role")]
    [InlineData("""{"messages":[{"role":"wizard","content":"x"}]}""", "invalid_value", "messages[0].role")]
    [InlineData("""{"messages":[{"role":"user"}]}""", "missing_required_parameter", "messages[0].content")]
    [InlineData("""{"messages":[{"role":"user","content":5}]}""", "invalid_type", "messages[0].content")]
    [InlineData("""{"messages":[{"role":"user","content":"x","mood":1}]}""", "unknown_parameter", "messages[0].mood")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}""", "unsupported_parameter", "messages[0].content[0].type")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"input_audio"}]}]}""", "unsupported_parameter", "messages[0].content[0].type")]
    [InlineData("""{"messages":[{"role":"user","content":[{"type":"text"}]}]}""", "missing_required_parameter", "messages[0].content[0].text")]
    [InlineData("""{"messages":[{"role":"tool","content":"x"}]}""", "missing_required_parameter", "messages[0].tool_call_id")]
    [InlineData("""{"messages":[{"role":"user","content":"x","tool_calls":[{"id":"1","function":{"name":"a","arguments":""}}]}]}""", "invalid_value", "messages[0].tool_calls")]
    public void Refuses_messages_by_place(string json, string code, string param)
    {
        ApiException e = Assert.Throws<ApiException>(() => Parse(json));
        Assert.Equal((400, code, param), (e.Status, e.Code, e.Param));
    }

    [Fact]
    public void A_named_tool_must_exist()
    {
        ApiException e = Assert.Throws<ApiException>(() => Parse("{" + Hello + "," + Tool + ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"sub\"}}}"));
        Assert.Equal("tool_choice", e.Param);
    }

    [Fact]
    public void A_constraint_may_stand_beside_tools_but_not_beside_another_constraint()
    {
        Assert.NotNull(Parse("{" + Hello + "," + Tool + ",\"guided_choice\":[\"a\"]}").ToPrompt().GuidedChoice);
        Assert.Throws<ApiException>(() => Parse("{" + Hello + ",\"grammar\":\"root ::= \\\"a\\\"\",\"guided_choice\":[\"a\"]}"));
        Assert.False(Parse("{" + Hello + "," + Tool + ",\"tool_choice\":\"none\",\"guided_choice\":[\"a\"]}").UsesTools);
    }

    private static ChatRequest Parse(string json)
    {
        // The elements outlive the document's use here: it is never returned to a pool, because it is not disposed.
        JsonDocument document = RequestBody.Parse(Encoding.UTF8.GetBytes(json));
        return ChatRequest.Parse(document.RootElement);
    }
}
