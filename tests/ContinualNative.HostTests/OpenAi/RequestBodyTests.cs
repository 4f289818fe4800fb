using System.Text;
using ContinualNative.Host.Http;

namespace ContinualNative.HostTests.OpenAi;

public sealed class RequestBodyTests
{
    [Theory]
    [InlineData("")]
    [InlineData("  \r\n")]
    [InlineData("{")]
    [InlineData("{}x")]
    [InlineData("{} {}")]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("null")]
    [InlineData("{\"a\":NaN}")]
    [InlineData("{\"a\":Infinity}")]
    [InlineData("{\"a\":1,\"a\":2}")]
    [InlineData("{'a':1}")]
    [InlineData("{\"a\":\"\\ud800\"}")]
    [InlineData("{\"a\":\"\\udc00\\ud800\"}")]
    [InlineData("{\"\\ud800\":1}")]
    [InlineData("{\"a\":{\"b\":[\"\\udfff\"]}}")]
    public void Refuses_what_is_not_one_JSON_object(string body)
    {
        ApiException e = Assert.Throws<ApiException>(() => RequestBody.Parse(Encoding.UTF8.GetBytes(body)));
        Assert.Equal((400, "invalid_json"), (e.Status, e.Code));
    }

    [Fact]
    public void Refuses_invalid_UTF8()
    {
        ApiException e = Assert.Throws<ApiException>(() => RequestBody.Parse((byte[])[(byte)'{', (byte)'"', 0xC3, (byte)'"', (byte)':', (byte)'1', (byte)'}']));
        Assert.Contains("UTF-8", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_deep_nesting()
    {
        string body = "{\"a\":" + new string('[', 10_000) + new string(']', 10_000) + "}";
        Assert.Equal("invalid_json", Assert.Throws<ApiException>(() => RequestBody.Parse(Encoding.UTF8.GetBytes(body))).Code);
    }

    [Fact]
    public void Accepts_a_byte_order_mark_and_whole_surrogate_pairs()
    {
        using var document = RequestBody.Parse(Encoding.UTF8.GetBytes("\uFEFF{\"a\":\"\\ud83d\\ude00\"}"));
        Assert.Equal("😀", document.RootElement.GetProperty("a").GetString());
    }
}
