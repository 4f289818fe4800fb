using System.Text;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;

namespace ContinualNative.HostTests.OpenAi;

public sealed class CompletionRequestTests
{
    [Fact]
    public void Reads_prompts_of_all_kinds()
    {
        Assert.Equal("a", Parse("""{"prompt":"a"}""").Prompts[0].Text);
        Assert.Equal(["a", "b"], Parse("""{"prompt":["a","b"]}""").Prompts.Select(p => p.Text));
        Assert.Equal([1, 2], Parse("""{"prompt":[1,2]}""").Prompts[0].Tokens!);
        Assert.Equal([3], Parse("""{"prompt":[[1,2],[3]]}""").Prompts[1].Tokens!);
        Assert.Equal(16, Parse("""{"prompt":"a","max_tokens":null}""").MaxTokens);
    }

    [Theory]
    [InlineData("""{}""", "missing_required_parameter", "prompt")]
    [InlineData("""{"prompt":[]}""", "invalid_value", "prompt")]
    [InlineData("""{"prompt":[1,"a"]}""", "invalid_type", "prompt[1]")]
    [InlineData("""{"prompt":[-1]}""", "invalid_value", "prompt[0]")]
    [InlineData("""{"prompt":["a",{}]}""", "invalid_type", "prompt[1]")]
    [InlineData("""{"prompt":"a","suffix":"b"}""", "unsupported_parameter", "suffix")]
    [InlineData("""{"prompt":"a","best_of":2}""", "unsupported_parameter", "best_of")]
    [InlineData("""{"prompt":"a","messages":[]}""", "unknown_parameter", "messages")]
    [InlineData("""{"prompt":"a","max_tokens":0}""", "invalid_value", "max_tokens")]
    [InlineData("""{"prompt":"a","echo":true,"logprobs":2}""", "unsupported_parameter", "logprobs")]
    [InlineData("""{"prompt":["a","a","a","a","a","a","a","a","a"],"n":16}""", "invalid_value", "prompt")]
    public void Refuses_by_name(string json, string code, string param)
    {
        ApiException e = Assert.Throws<ApiException>(() => Parse(json));
        Assert.Equal((400, code, param), (e.Status, e.Code, e.Param));
    }

    [Theory]
    [InlineData("""{"model":"m"}""", "missing_required_parameter", "input")]
    [InlineData("""{"input":5}""", "invalid_type", "input")]
    [InlineData("""{"input":"a","encoding_format":"hex"}""", "invalid_value", "encoding_format")]
    [InlineData("""{"input":"a","dimensions":0}""", "invalid_value", "dimensions")]
    [InlineData("""{"input":"a","n":1}""", "unknown_parameter", "n")]
    public void Refuses_embeddings_by_name(string json, string code, string param)
    {
        using var document = RequestBody.Parse(Encoding.UTF8.GetBytes(json));
        ApiException e = Assert.Throws<ApiException>(() => EmbeddingRequest.Parse(document.RootElement));
        Assert.Equal((400, code, param), (e.Status, e.Code, e.Param));
    }

    [Fact]
    public void Choices_have_seeds_of_their_own_and_the_first_has_the_request_s()
    {
        ulong?[] seeds = [.. Enumerable.Range(0, 16).Select(i => GenerationRun.SeedOf(7, i))];
        Assert.Equal(7ul, seeds[0]);
        Assert.Equal(16, seeds.Distinct().Count());
        Assert.Equal(seeds[3], GenerationRun.SeedOf(7, 3));
        Assert.Null(GenerationRun.SeedOf(null, 3));
    }

    private static CompletionRequest Parse(string json)
    {
        using var document = RequestBody.Parse(Encoding.UTF8.GetBytes(json));
        return CompletionRequest.Parse(document.RootElement);
    }
}
