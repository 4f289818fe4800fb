using ContinualNative.Host.Cycles;
using ContinualNative.Training;

namespace ContinualNative.HostTests.Cycles;

/// <summary>The search over learning rates, with a training that is told what to come to.</summary>
public sealed class RateSearchTests : IDisposable
{
    private static readonly double[] Rates = [1e-3, 5e-4, 2e-3];

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-test-").FullName;
    private readonly List<double> _trained = [];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task The_rate_that_is_best_on_what_was_held_back_is_taken()
    {
        (TrainingPlan plan, RateTrial best, IReadOnlyList<RateTrial> trials) = await SearchAsync(200, 0, rate => (rate == 5e-4 ? 0.2 : 0.3, 10));
        Assert.Equal(Rates, _trained);
        Assert.Equal((5e-4, 0.2), (best.LearningRate, best.Loss));
        Assert.Equal((180, 20), (plan.Train.Count, plan.Validation.Count));
        Assert.Equal([0.3, 0.2, 0.3], trials.Select(static t => t.Loss!.Value));
        Assert.Equal("0.0005", await File.ReadAllTextAsync(Adapter, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData(25, 2)]
    [InlineData(29.9, 2)]
    [InlineData(30, 3)]
    [InlineData(5, 1)]
    [InlineData(0, 3)]
    public async Task None_begins_that_would_end_after_the_time(double most, int trials)
    {
        await SearchAsync(200, (int)most, static _ => (0.3, 10));
        Assert.Equal(trials, _trained.Count);
    }

    [Fact]
    public async Task After_a_restart_only_what_was_not_finished_is_trained()
    {
        await Assert.ThrowsAsync<OperationCanceledException>(() => SearchAsync(200, 0, rate => rate == 2e-3 ? throw new OperationCanceledException() : (rate, 10)));
        Assert.False(File.Exists(Adapter));
        _trained.Clear();
        (_, RateTrial best, IReadOnlyList<RateTrial> trials) = await SearchAsync(200, 0, static rate => (rate, 10));
        Assert.Equal([2e-3], _trained);
        Assert.Equal((3, 5e-4), (trials.Count, best.LearningRate));
        Assert.Equal("0.0005", await File.ReadAllTextAsync(Adapter, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task What_was_trained_on_other_examples_or_lost_its_adapter_or_was_cut_off_is_trained_again()
    {
        await SearchAsync(200, 0, static _ => (0.3, 10));
        _trained.Clear();
        await SearchAsync(199, 0, static _ => (0.3, 10));
        Assert.Equal(Rates, _trained);
        File.Delete(Path.Combine(_folder, "trial-1.gguf"));
        _trained.Clear();
        await SearchAsync(199, 0, static _ => (0.3, 10));
        Assert.Equal(Rates[1..], _trained);
        await File.WriteAllTextAsync(Path.Combine(_folder, "search.json"), "{\"key\":\"", TestContext.Current.CancellationToken);
        _trained.Clear();
        await SearchAsync(199, 0, static _ => (0.3, 10));
        Assert.Equal(Rates, _trained);
    }

    [Fact]
    public async Task A_training_that_came_to_no_number_is_never_the_best()
    {
        (_, RateTrial best, IReadOnlyList<RateTrial> trials) = await SearchAsync(200, 0, static rate => (rate == 1e-3 ? double.NaN : 0.4, 10));
        Assert.Equal(5e-4, best.LearningRate);
        Assert.Null(trials[0].Loss);
    }

    private string Adapter => Path.Combine(_folder, "c1.gguf");

    private Task<(TrainingPlan Plan, RateTrial Best, IReadOnlyList<RateTrial> Trials)> SearchAsync(int examples, int most, Func<double, (double Loss, double Seconds)> outcome) =>
        new RateSearch(_folder).RunAsync(
            new TrainingOptions { SequenceLength = 64 },
            [.. Enumerable.Range(0, examples).Select(static i => new TrainingExample { Tokens = [.. Enumerable.Range(i, 12)], From = 4 })],
            Rates,
            most,
            Adapter,
            async (plan, output) =>
            {
                (double loss, double seconds) = outcome(plan.Options.LearningRate);
                _trained.Add(plan.Options.LearningRate);
                await File.WriteAllTextAsync(output, plan.Options.LearningRate.ToString(System.Globalization.CultureInfo.InvariantCulture));
                return new TrainingResult
                {
                    Steps = 8,
                    Skipped = 0,
                    Tokens = 100,
                    Targets = 50,
                    Accuracy = 0.5,
                    FirstLoss = 2,
                    LastLoss = 1,
                    Validations = [],
                    BestStep = 8,
                    BestLoss = loss,
                    StoppedEarly = false,
                    Seconds = seconds,
                    TokensPerSecond = 10,
                    CheckpointFailures = 0,
                    CheckpointFailure = null,
                };
            });
}
