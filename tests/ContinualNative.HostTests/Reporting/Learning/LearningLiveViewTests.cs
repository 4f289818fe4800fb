using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.HostTests.Reporting.Learning;

public sealed class LearningLiveViewTests
{
    [Fact]
    public async Task Without_a_terminal_each_period_is_a_line_and_what_is_done_now_one_every_few_seconds()
    {
        using StringWriter output = new();
        Clock clock = new();
        LearningHistory history = LearningExample.Create();
        int answer = await LearningLiveView.RunAsync(Options(output, clock), view =>
        {
            view.Now("week 4: serving");
            clock.Pass(60);
            view.Period(history.Periods[3]);
            view.Now("week 5: training, step 1 of 9");
            clock.Pass(6);
            view.Now("week 5: training, step 4 of 9, loss 0.91", 0.44);
            view.Now("week 5: training, step 5 of 9");
            return Task.FromResult(42);
        });
        Assert.Equal(42, answer);
        Assert.Equal(
            [
                "week 4: frozen 73.3 %, continual 76.3 %, frontier 93.3 %, routed up 21.0 %, price 43.0 % of a frontier alone",
                "  traffic changes: new product line: e-bikes",
                "  promoted: adapter c3 promoted",
                // One of three took 60 s, and 6 s are over.
                "  week 5: training, step 4 of 9, loss 0.91, 44 % of it, about 1 min 54 s left",
            ],
            output.ToString().TrimEnd().Split(Environment.NewLine));
    }

    [Fact]
    public async Task On_a_terminal_the_work_runs_to_its_end()
    {
        using StringWriter output = new();
        LearningHistory history = LearningExample.Create();
        int answer = await LearningLiveView.RunAsync(Options(output, new Clock()) with { Terminal = true }, async view =>
        {
            view.Period(history.Periods[8]);
            view.Now("week 10: [training]", 0.5);
            await Task.Delay(400, TestContext.Current.CancellationToken);
            return 7;
        });
        Assert.Equal(7, answer);
        Assert.Contains("90.4 %", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("[training]", output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_the_work_throws_comes_out(bool terminal)
    {
        using StringWriter output = new();
        InvalidOperationException thrown = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            LearningLiveView.RunAsync<int>(Options(output, new Clock()) with { Terminal = terminal }, static _ => throw new InvalidOperationException("it broke")));
        Assert.Equal("it broke", thrown.Message);
    }

    [Fact]
    public void Sparkline_scales_between_its_ends_and_leaves_gaps() =>
        Assert.Equal("▁▅█ ▁█", LearningLiveView.Sparkline([0.5, 0.76, 1, null, 0.2, 1.5], 0.5, 1));

    private static LearningLiveOptions Options(TextWriter output, TimeProvider time) => new() { Title = "the demo [seed 1]", Periods = 3, Output = output, Terminal = false, Time = time };

    private sealed class Clock : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => _now;

        public void Pass(long seconds) => _now += seconds;
    }
}
