using System.Text.Json;

namespace ContinualNative.HostTests.Commands;

/// <summary><c>continual bench --train</c>, whole, on a tiny model.</summary>
public sealed class BenchCommandTests(ModelFiles files) : IClassFixture<ModelFiles>
{
    [Fact]
    public async Task Serving_and_training_are_measured_alone_and_at_once()
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync(
            "", "bench", "--model", files.Llama, "--train", "--concurrency", "2", "--prompt-tokens", "8", "--max-tokens", "16", "--train-tokens", "96", "--repeats", "1", "--phase", "0.3", "--pause", "0.01", "--json");
        Assert.True(code == 0, error);
        JsonElement row = Assert.Single(JsonDocument.Parse(output).RootElement.GetProperty("sharing").EnumerateArray().ToArray());
        Assert.Equal((2, 96), (row.GetProperty("streams").GetInt32(), row.GetProperty("train_tokens").GetInt32()));
        Assert.Equal(JsonValueKind.Null, row.GetProperty("device").ValueKind);
        foreach (string figure in (string[])["serving_alone", "serving_both", "serving_ratio", "training_alone", "inter_token_p99_alone_ms", "inter_token_p99_both_ms", "longest_slice_ms", "layer_forward_ms", "layer_backward_ms"])
        {
            Assert.True(row.GetProperty(figure).GetDouble() > 0, $"{figure} in {row}");
        }
        // At idle priority training may get nothing while requests, or others, run without end.
        Assert.True(row.GetProperty("training_ratio").GetDouble() >= 0);
        Assert.Contains("serving and training at once, 1 of 1", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--train", "--swap", "--swap means nothing with --train")]
    [InlineData("--gpu-layers", "-1", "--gpu-layers means nothing without --train")]
    [InlineData("--train", "--phase=0", "--phase from 0.1 to 3600")]
    [InlineData("--train", "--train-tokens=1", "--train-tokens is from 2")]
    public async Task What_does_not_go_together_is_refused(string first, string second, string reason)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "bench", "--model", files.Llama, first, second);
        Assert.Equal((2, ""), (code, output));
        Assert.Contains(reason, error, StringComparison.Ordinal);
    }
}
