using System.Text;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Tests.Training;

public sealed class RunStateTests
{
    // The precision is named, because which is best only the native library can tell.
    private static readonly TrainingOptions Options = new() { Precision = TrainingPrecision.F32 };

    [Fact]
    public void State_comes_back_as_it_was()
    {
        RunState state = State(Options);
        state.Epoch = 2;
        state.Batch = 17;
        state.Steps = 40;
        state.AddLoss(0.1 + 0.2);
        state.AddLoss(1.0 / 3);
        state.Validations.Add(new ValidationPoint(40, double.NaN));
        RunState back = RunState.Read(state.ToBytes(), "folder");
        Assert.Equal(state.ToBytes(), back.ToBytes());
        Assert.Equal(0.1 + 0.2, back.FirstLoss);
        Assert.Equal(double.PositiveInfinity, back.BestLoss);
        back.MustAgreeWith(State(Options), "folder");
    }

    [Fact]
    public void What_differs_is_named()
    {
        RunState saved = State(Options);
        Assert.Contains("--lr is 0.1 and was 0.0002", Differs(saved, State(Options with { LearningRate = 0.1 })));
        Assert.Contains("--rank is 8 and was 16; --seed is 2 and was 1", Differs(saved, State(Options with { Rank = 8, Seed = 2 })));
        Assert.Contains("--data", Differs(saved, State(Options, data: "other")));
        Assert.Contains("validation examples", Differs(saved, State(Options, validation: "other")));
        Assert.Contains("--init", Differs(saved, State(Options, initial: "other")));
    }

    [Fact]
    public void What_does_not_change_the_result_may_differ() =>
        State(Options).MustAgreeWith(State(Options with { Threads = 7, LowPriority = true, CheckpointEvery = TimeSpan.Zero, MostSkipped = 1 }), "folder");

    [Fact]
    public void Every_option_that_changes_the_result_is_compared()
    {
        string[] free = [nameof(TrainingOptions.Threads), nameof(TrainingOptions.LowPriority), nameof(TrainingOptions.CheckpointEvery), nameof(TrainingOptions.MostSkipped), nameof(TrainingOptions.Others), nameof(TrainingOptions.Device)];
        Assert.Equal(typeof(TrainingOptions).GetProperties().Count(p => p.SetMethod is not null && !free.Contains(p.Name)), Options.Significant().Count);
        TrainingOptions others = Options with { Others = new Dictionary<string, string> { ["layers"] = "4" } };
        // Which GPU it is does not matter; that it is one does.
        State(Options with { Device = 0 }).MustAgreeWith(State(Options with { Device = 1 }), "folder");
        Assert.Contains("--device", Differs(State(Options), State(Options with { Device = 0 })));
        Assert.Contains("--device", Differs(State(Options with { Device = 0 }), State(Options)));
        Assert.Contains("--layers is 5 and was 4", Differs(State(others), State(others with { Others = new Dictionary<string, string> { ["layers"] = "5" } })));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("{\"Format\":99}")]
    [InlineData("{\"Format\":1,\"Steps\":-1}")]
    [InlineData("{\"Format\":1,\"Steps\":\"many\"}")]
    public void A_state_of_another_making_is_refused(string json)
    {
        TrainingException e = Assert.Throws<TrainingException>(() => RunState.Read(Encoding.UTF8.GetBytes(json), "folder"));
        Assert.Equal(TrainingError.Checkpoint, e.Error);
        Assert.Contains("'folder'", e.Message);
    }

    private static string Differs(RunState saved, RunState now)
    {
        TrainingException e = Assert.Throws<TrainingException>(() => saved.MustAgreeWith(now, "folder"));
        Assert.Equal(TrainingError.Checkpoint, e.Error);
        return e.Message;
    }

    private static RunState State(TrainingOptions options, string data = "d", string validation = "v", string initial = "i") =>
        new() { Options = options.Significant(), Data = data, Validation = validation, Initial = initial };
}
