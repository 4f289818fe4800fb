using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Cycles;

namespace ContinualNative.Tests.Cycles;

public sealed class CycleOptionsTests
{
    [Fact]
    public void Options_are_read_in_either_spelling()
    {
        CycleOptions options = Parse("""
            {"schedule":"0 3 * * 1","label_count":0,"onDrift":false,"epochs":4,"learning_rate":0.002,"shadow_hours":36,"canary-share":0.25,"gate":{"alpha":0.01},"anchor":null}
            """);
        Assert.Equal("0 3 * * 1", options.Schedule);
        Assert.Equal((0, false, 4, 0.002), (options.LabelCount, options.OnDrift, options.Epochs, options.LearningRate));
        Assert.Equal(TimeSpan.FromHours(36), options.ShadowFor);
        Assert.Equal(0.25, options.CanaryShare);
        Assert.Equal(0.01, options.Gate.Alpha);
        Assert.Null(options.Anchor);
        Assert.Equal(new CycleOptions(), Parse("{}"));
        options.Validate();
    }

    [Theory]
    [InlineData(200, "{}", new[] { 1.0, 0.5, 2 })]
    [InlineData(199, "{}", new[] { 1.0 })]
    [InlineData(5000, """{"rates_tried":5}""", new[] { 1, 0.5, 2, 0.25, 4 })]
    [InlineData(5000, """{"rates_tried":1}""", new[] { 1.0 })]
    [InlineData(5000, """{"learning_rate":1e-3}""", new[] { 1.0 })]
    public void Rates_are_searched_around_the_usual_one_where_there_is_enough_to_decide_by(int examples, string policy, double[] factors)
    {
        CycleOptions options = Parse(policy);
        HyperParameters values = HyperParameters.For(examples, 40, 512, 10_000_000, options);
        Assert.Equal(factors, values.Rates(examples, options).Select(r => r / values.LearningRate));
    }

    [Theory]
    [InlineData("""{"rates_tried":6}""", "update.rates_tried")]
    [InlineData("""{"device":-1}""", "update.device")]
    [InlineData("""{"threads":513}""", "update.threads")]
    [InlineData("""{"device":"gpu"}""", "update.device")]
    [InlineData("""{"label_counts":1}""", "update.label_counts")]
    [InlineData("""{"canary_share":0.95}""", "update.canary_share")]
    [InlineData("""{"keep_adapters":1}""", "update.keep_adapters")]
    [InlineData("""{"gate":{"flip_budget":-1}}""", "update.gate.flip_budget")]
    [InlineData("""{"rank":"16"}""", "update.rank")]
    [InlineData("""{"schedule":""}""", "update.schedule")]
    [InlineData("[]", "update")]
    public void Faults_name_their_key(string json, string key) => Assert.Equal(key, Assert.Throws<PolicyOptionException>(() => Parse(json)).Key);

    [Fact]
    public void Options_set_in_code_are_checked_too()
    {
        Assert.Equal("update.watch_requests", Fault(new CycleOptions { WatchRequests = -1 }));
        Assert.Equal("update.shadow_hours", Fault(new CycleOptions { ShadowFor = TimeSpan.FromDays(-1) }));
        Assert.Equal("update.gate.most_fresh", Fault(new CycleOptions { Gate = new() { MostFresh = 1 } }));

        static string Fault(CycleOptions options) => Assert.Throws<PolicyOptionException>(() => options.Validate()).Key;
    }

    [Fact]
    public void Learning_rate_falls_with_the_width_and_stays_in_bounds()
    {
        double[] rates = [.. new[] { 64, 256, 512, 2048, 8192, 100_000 }.Select(static width => For(1000, width: width).LearningRate)];
        Assert.Equal(rates.OrderDescending(), rates);
        Assert.Equal(3e-3, rates[0]);
        Assert.Equal(1.45e-3, rates[2], 4);
        Assert.Equal(4.9e-4, rates[3], 5);
        Assert.Equal(1e-4, rates[^1]);
    }

    [Fact]
    public void More_examples_take_a_higher_rank_fewer_epochs_and_a_weaker_anchor()
    {
        CycleOptions patient = new() { MostTrainingSeconds = 0 };
        HyperParameters few = For(60, options: patient), some = For(600, options: patient), many = For(6000, options: patient);
        Assert.Equal((8, 16, 32), (few.Rank, some.Rank, many.Rank));
        Assert.Equal((16.0, 32.0, 64.0), (few.Alpha, some.Alpha, many.Alpha));
        Assert.Equal((8, 5, 2), (few.Epochs, some.Epochs, many.Epochs));
        Assert.True(few.Anchor > some.Anchor && some.Anchor > many.Anchor);
        Assert.Equal((256, 2048, 4096), (few.BatchTokens, some.BatchTokens, many.BatchTokens));
        // A narrow model has no room for more.
        Assert.Equal(8, For(6000, width: 64).Rank);
    }

    [Fact]
    public void Epochs_fit_into_the_time()
    {
        // 4 · 5·10⁸ · 600 · 50 ÷ 1.5·10¹¹ = 400 s an epoch.
        Assert.Equal(5, For(600, options: new CycleOptions { MostTrainingSeconds = 0 }).Epochs);
        Assert.Equal(2, For(600, options: new CycleOptions { MostTrainingSeconds = 900 }).Epochs);
        Assert.Equal(1, For(600, options: new CycleOptions { MostTrainingSeconds = 60 }).Epochs);
    }

    [Fact]
    public void What_is_set_is_taken()
    {
        HyperParameters set = For(600, options: new CycleOptions { Epochs = 50, LearningRate = 0.5, Rank = 3, Anchor = 0, MostTrainingSeconds = 1 });
        Assert.Equal((50, 0.5, 3, 6.0, 0.0), (set.Epochs, set.LearningRate, set.Rank, set.Alpha, set.Anchor));
    }

    private static HyperParameters For(int examples, int width = 896, CycleOptions? options = null) =>
        HyperParameters.For(examples, 50, width, 500_000_000, options ?? new CycleOptions());

    private static CycleOptions Parse(string json) => CycleOptions.Parse(JsonDocument.Parse(json).RootElement);
}
