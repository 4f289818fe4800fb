using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Commands;

public sealed class ExplainCommandTests : IDisposable
{
    private readonly TestStore _store = new();

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task An_escalation_is_explained_by_its_figures_without_its_texts()
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync("explain", TestStore.Up);
        Assert.True(code == 0, error);
        Assert.Contains("It went up because the local answer was not likely enough to be right: probability 0.4100, below the threshold of 0.8000.", output, StringComparison.Ordinal);
        Assert.Contains("the first 4 tokens of its stream", output, StringComparison.Ordinal);
        Assert.Contains("big-1 (frontier) answered it, for $0.0100", output, StringComparison.Ordinal);
        Assert.Contains("counts as wrong", output, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-word", output, StringComparison.Ordinal);
        Assert.DoesNotContain("a local answer", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Json_holds_audit_label_outcome_costs_and_lineage()
    {
        await _store.FillAsync();
        await using (TrafficStore store = _store.Open())
        {
            await store.AddOutcomeAsync(new Outcome { RequestId = TestStore.Local, Kind = OutcomeKind.Corrected, Correction = "a correction", At = DateTimeOffset.UtcNow, Source = "a form" }, TestContext.Current.CancellationToken);
        }
        (int code, string output, string error) = await _store.RunAsync("explain", TestStore.Local.ToUpperInvariant(), "--json", "--machine-price", "7.2");
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal(("local", "confident"), (json.GetProperty("route").GetString(), json.GetProperty("reason").GetString()));
        Assert.Equal(0.97, json.GetProperty("p_correct").GetDouble(), 9);
        Assert.True(json.GetProperty("audited").GetBoolean());
        Assert.Equal(4, json.GetProperty("features").GetProperty("tokens").GetInt32());
        Assert.Equal("audit", Assert.Single(json.GetProperty("labels").EnumerateArray().ToArray()).GetProperty("reason").GetString());
        Assert.Equal("corrected", Assert.Single(json.GetProperty("outcomes").EnumerateArray().ToArray()).GetProperty("outcome").GetString());
        Assert.Equal(0.002m, json.GetProperty("costs").GetProperty("teaching").GetDecimal());
        Assert.Equal(0.001m, json.GetProperty("costs").GetProperty("serving").GetDecimal());
        Assert.Equal(["first"], json.GetProperty("seen_by").EnumerateArray().Select(static a => a.GetString()));
        Assert.False(json.TryGetProperty("prompt", out _));
        (_, string shown, _) = await _store.RunAsync("explain", TestStore.Local, "--json", "--texts");
        JsonElement texts = JsonDocument.Parse(shown).RootElement;
        Assert.Contains("secret-word", texts.GetProperty("prompt").GetString(), StringComparison.Ordinal);
        Assert.Equal("a correction", texts.GetProperty("outcomes")[0].GetProperty("correction").GetString());
        Assert.Equal("a frontier's answer", texts.GetProperty("labels")[0].GetProperty("answer").GetString());
    }

    [Theory]
    [InlineData("chatcmpl-1")]
    [InlineData(TestStore.Unknown)]
    public async Task An_id_that_is_none_or_unknown_exits_with_2(string id)
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync("explain", id);
        Assert.Equal(2, code);
        Assert.Empty(output);
        Assert.Contains("REQUEST_ID", error, StringComparison.Ordinal);
    }
}
