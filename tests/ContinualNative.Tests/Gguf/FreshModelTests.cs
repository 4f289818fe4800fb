using ContinualNative.Engine.Gguf;

namespace ContinualNative.Tests.Gguf;

public sealed class FreshModelTests
{
    private static readonly SyntheticShape Shape = SyntheticShape.Tiny with { Width = 64, FeedForward = 96, Vocabulary = 300, TiedEmbeddings = true };

    [Fact]
    public void Weights_have_the_deviation_that_was_asked_for_and_no_pattern()
    {
        float[] values = new float[200_000];
        FreshModel.Fill(values, 3, "blk.0.attn_q.weight", 0, 0.02f);
        double mean = values.Average(static v => (double)v);
        double deviation = Math.Sqrt(values.Average(static v => (double)v * v));
        // Standard errors: 0.02 / √200,000 = 4.5e-5, and 0.02 / √400,000 = 3.2e-5.
        Assert.InRange(mean, -2e-4, 2e-4);
        Assert.InRange(deviation, 0.02 - 2e-4, 0.02 + 2e-4);
        // Of a normal distribution 31.7 % lie beyond one deviation and 4.55 % beyond two; twelve uniforms have 31.9 % and 4.4 %.
        Assert.InRange(values.Count(static v => Math.Abs(v) > 0.02f) / 200_000.0, 0.31, 0.33);
        Assert.InRange(values.Count(static v => Math.Abs(v) > 0.04f) / 200_000.0, 0.042, 0.048);
        double neighbours = 0;
        for (int i = 1; i < values.Length; i++)
        {
            neighbours += values[i] * values[i - 1];
        }
        Assert.InRange(neighbours / (values.Length * 0.0004), -0.012, 0.012);
    }

    [Fact]
    public void A_weight_depends_on_seed_name_and_position_only()
    {
        float[] whole = new float[100];
        float[] part = new float[40];
        FreshModel.Fill(whole, 1, "a", 0, 1);
        FreshModel.Fill(part, 1, "a", 60, 1);
        Assert.Equal(whole[60..], part);
        FreshModel.Fill(part, 1, "b", 60, 1);
        Assert.NotEqual(whole[60..], part);
        FreshModel.Fill(part, 2, "a", 60, 1);
        Assert.NotEqual(whole[60..], part);
    }

    [Theory]
    [InlineData("llama", true)]
    [InlineData("llama", false)]
    [InlineData("qwen2", true)]
    [InlineData("qwen3", false)]
    public void The_count_of_parameters_is_that_of_the_file(string architecture, bool tied)
    {
        SyntheticShape shape = Shape with { Architecture = architecture, TiedEmbeddings = tied };
        FreshVocabulary vocabulary = new()
        {
            Tokens = [.. Enumerable.Range(0, 300).Select(static i => $"t{i}")],
            Merges = ["t 1"],
            Controls = 1,
            Bos = 0,
            Eos = 1,
            EndOfTurn = 2,
            ChatTemplate = "",
        };
        using MemoryStream stream = new();
        FreshModel.Create(shape, vocabulary, 1).Write(stream);
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, stream.ToArray());
            GgufFile file = ModelFile.Read(path);
            Assert.Equal(FreshModel.Parameters(shape), file.Tensors.Sum(static t => t.Shape.Aggregate(1L, static (a, b) => a * b)));
            Assert.All(file.Tensors, static t => Assert.Equal(GgmlType.F32, t.Type));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
