using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.TestModels;

namespace ContinualNative.Tests.Gguf;

public sealed class ModelFileTests
{
    private static readonly TestModelOptions Small = new() { Layers = 1, Width = 32, Heads = 2, KvHeads = 1, FeedForward = 48, Context = 64 };

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    [InlineData("bert")]
    public void Test_models_pass(string architecture)
    {
        GgufFile file = Read(TestModel.Create(Small with { Architecture = architecture }));
        ModelFile.Check(file);
        Assert.Equal(architecture, file.Architecture);
    }

    [Fact]
    public void Equal_seeds_give_equal_files_and_others_do_not()
    {
        byte[] one = GgufFileTests.Bytes(TestModel.Create(Small)).ToArray();
        byte[] same = GgufFileTests.Bytes(TestModel.Create(Small)).ToArray();
        byte[] other = GgufFileTests.Bytes(TestModel.Create(Small with { Seed = 2 })).ToArray();
        Assert.Equal(one, same);
        Assert.NotEqual(one, other);
    }

    [Fact]
    public void Weights_have_the_deviation_that_was_asked_for()
    {
        float[] values = new float[1 << 16];
        SyntheticModel.Fill(values, 5, "w", 0.3f);
        double mean = values.Average(v => (double)v);
        double deviation = Math.Sqrt(values.Average(v => (v - mean) * (v - mean)));
        Assert.InRange(mean, -0.01, 0.01);
        Assert.InRange(deviation, 0.297, 0.303);
        Assert.True(values.Distinct().Count() > 30_000);
    }

    [Theory]
    [InlineData("llama.block_count", 0u, "expected 1 to 512")]
    [InlineData("llama.block_count", 513u, "expected 1 to 512")]
    [InlineData("llama.expert_count", 2000u, "expected 0 to 1024")]
    [InlineData("llama.expert_used_count", 2u, "expected 0 to 0")]
    [InlineData("llama.attention.head_count_kv", 3u, "can't share 3 key and value heads")]
    [InlineData("tokenizer.ggml.bos_token_id", 1_000_000u, "bos_token_id is 1000000")]
    public void What_llama_cpp_would_abort_on_is_refused(string key, uint value, string says)
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set(key, value);
        Assert.Contains(says, Refused(writer));
    }

    [Fact]
    public void Rope_scaling_that_llama_cpp_does_not_know_is_refused()
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set("llama.rope.scaling.type", "spiral");
        Assert.Contains("'spiral' is not one of", Refused(writer));
    }

    [Fact]
    public void Vocabularies_with_equal_tokens_are_refused()
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(["<unk>", "<s>", "</s>", "a", "a"]));
        Assert.Contains("tokens 3 and 4 of the vocabulary are both 'a'", Refused(writer));
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(["<unk>", "<s>", "</s>", "a\0b"]));
        Assert.Contains("zero byte", Refused(writer));
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(Enumerable.Range(0, 5000).Select(i => $"t{i}")));
        Assert.Contains("5000 tokens but token_embd.weight only", Refused(writer));
    }

    [Theory]
    [InlineData("mmproj", "projector")]
    [InlineData("imatrix", "importance matrix")]
    [InlineData("adapter", "is an adapter")]
    [InlineData("other", "has the type 'other'")]
    public void Files_that_are_no_models_are_named(string type, string says)
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set("general.type", type);
        Assert.Contains(says, Refused(writer));
    }

    private static GgufFile Read(GgufWriter writer) => GgufFile.Read(GgufFileTests.Bytes(writer), "m.gguf");

    private static string Refused(GgufWriter writer)
    {
        EngineException e = Assert.Throws<EngineException>(() => ModelFile.Check(Read(writer)));
        Assert.Equal(EngineError.BadFile, e.Error);
        return e.Message;
    }
}
