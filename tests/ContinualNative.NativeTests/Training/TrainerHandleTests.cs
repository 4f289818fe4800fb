using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Training;

public sealed class TrainerHandleTests : IDisposable
{
    private static readonly TrainerOptions Options = new() { Precision = TrainingPrecision.F32, MaxTokens = 32, MaxSequences = 4, Rank = 4, Threads = 1, LearningRate = 1e-2f };

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-trainer-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Model_describes_itself()
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get("qwen3", "Q4_K_M"));
        TrainableModelInfo info = model.Info;
        Assert.Equal(("qwen3", 2, 256, 512, 4, 2, 64, 1024), (info.Architecture, info.Layers, info.Width, info.FeedForward, info.Heads, info.KvHeads, info.HeadWidth, info.Context));
        Assert.False(info.Tied);
        Assert.True(info.Parameters > 1_000_000 && info.WeightBytes < info.Parameters && info.Vocabulary > 300);
        Assert.StartsWith("Test qwen3", info.Name);
        Assert.False(model.HasChanged);
    }

    [Fact]
    public void Loss_falls_and_evaluation_tells_it_by_token()
    {
        using TrainerHandle trainer = Create();
        float[] logProbs = new float[8];
        TrainingLoss before = trainer.Evaluate(Batch(), logProbs);
        Assert.Equal(-before.CrossEntropy, logProbs.Sum(static p => (double)p), 3);
        Assert.Equal(0, logProbs[4]);
        Assert.Equal(6, before.Rows);
        for (int step = 1; step <= 20; step++)
        {
            trainer.Accumulate(Batch());
            TrainingUpdate update = trainer.Update();
            Assert.Equal((step, false), (update.Step, update.Skipped));
            Assert.True(update.GradientNorm > 0);
        }
        TrainingLoss after = trainer.Evaluate(Batch());
        Assert.True(after.Loss < before.Loss / 2, $"{before.Loss} and {after.Loss}");
    }

    [Fact]
    public void A_trainer_outlives_its_models_handle()
    {
        TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get());
        using TrainerHandle trainer = TrainerHandle.Create(model, Options);
        model.Dispose();
        Assert.True(trainer.Evaluate(Batch()).Loss > 0);
        Assert.Throws<ObjectDisposedException>(() => model.Info);
        trainer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => trainer.Update());
    }

    [Fact]
    public void Slice_may_wait_stop_or_throw()
    {
        using TrainerHandle trainer = Create();
        int slices = 0;
        int thread = 0;
        trainer.Slice = () =>
        {
            slices++;
            thread = Environment.CurrentManagedThreadId;
            return false;
        };
        double expected = trainer.Evaluate(Batch()).Loss;
        Assert.True(slices > 2, $"{slices} slices");
        Assert.Equal(Environment.CurrentManagedThreadId, thread);

        trainer.Slice = static () => throw new InvalidTimeZoneException("mine");
        Assert.Equal("mine", Assert.Throws<InvalidTimeZoneException>(() => trainer.Accumulate(Batch())).Message);
        trainer.Slice = static () => true;
        Assert.Equal(TrainerStatus.Cancelled, Assert.Throws<TrainerException>(() => trainer.Accumulate(Batch())).Status);
        trainer.Slice = null;
        Assert.Equal(expected, trainer.Evaluate(Batch()).Loss);
        Assert.Equal(TrainerStatus.Argument, Assert.Throws<TrainerException>(() => trainer.Update()).Status);
    }

    [Fact]
    public void Cancellation_stops_a_call_and_leaves_the_parameters()
    {
        using TrainerHandle trainer = Create();
        double expected = trainer.Evaluate(Batch()).Loss;
        using CancellationTokenSource source = new();
        int slices = 0;
        trainer.Slice = () =>
        {
            if (++slices == 3)
            {
                source.Cancel();
            }
            return false;
        };
        OperationCanceledException e = Assert.Throws<OperationCanceledException>(() => trainer.Accumulate(Batch(), source.Token));
        Assert.Equal(source.Token, e.CancellationToken);
        Assert.Throws<OperationCanceledException>(() => trainer.Evaluate(Batch(), default, source.Token));
        Assert.Equal(expected, trainer.Evaluate(Batch()).Loss);
    }

    [Theory]
    [InlineData("a.gguf")]
    [InlineData("peft")]
    public void An_adapter_comes_back_as_it_was(string name)
    {
        string path = Path.Combine(_folder, name);
        using TrainerHandle trainer = Create();
        trainer.Accumulate(Batch());
        trainer.Update();
        trainer.ExportAdapter(path, "the base");
        using TrainerHandle other = Create(Options with { Rank = 6, Alpha = 3 });
        double before = other.Evaluate(Batch()).Loss;
        other.ImportAdapter(path);
        double trained = trainer.Evaluate(Batch()).Loss;
        Assert.True(Math.Abs(before - trained) > 1e-3);
        Assert.Equal(trained, other.Evaluate(Batch()).Loss, 4);
    }

    [Fact]
    public void Parameters_and_checkpoints_come_back_with_the_callers_data()
    {
        string best = Path.Combine(_folder, "best");
        string state = Path.Combine(_folder, "state");
        byte[] data = new byte[200_000];
        new Random(1).NextBytes(data);
        using TrainerHandle trainer = Create();
        trainer.SaveParameters(best);
        double untrained = trainer.Evaluate(Batch()).Loss;
        trainer.Accumulate(Batch());
        trainer.Update();
        trainer.SaveCheckpoint(state, data);
        double once = trainer.Evaluate(Batch()).Loss;
        trainer.Accumulate(Batch());
        long step = trainer.Update().Step;
        double twice = trainer.Evaluate(Batch()).Loss;
        trainer.LoadParameters(best);
        Assert.Equal(untrained, trainer.Evaluate(Batch()).Loss);

        using TrainerHandle other = Create();
        Assert.Equal(data, other.LoadCheckpoint(state));
        Assert.Equal(once, other.Evaluate(Batch()).Loss);
        other.Accumulate(Batch());
        Assert.Equal(step, other.Update().Step);
        Assert.Equal(twice, other.Evaluate(Batch()).Loss);
    }

    [Fact]
    public void A_plan_is_kept_and_a_budget_too_small_names_one_that_would_do()
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get());
        TrainerMemory plan = TrainerHandle.Plan(model, Options);
        using (TrainerHandle trainer = TrainerHandle.Create(model, Options))
        {
            Assert.Equal(plan, trainer.Memory);
        }
        TrainerException e = Assert.Throws<TrainerException>(() => TrainerHandle.Plan(model, Options with { MemoryBudget = 100_000 }));
        Assert.Equal(TrainerStatus.Budget, e.Status);
        long least = long.Parse(System.Text.RegularExpressions.Regex.Match(e.Message, "the least is ([0-9]+) bytes").Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(TrainerHandle.Plan(model, Options with { MemoryBudget = least }).Total, 1, least);
        Assert.Throws<TrainerException>(() => TrainerHandle.Plan(model, Options with { MemoryBudget = least - 1 }));
    }

    [Fact]
    public void What_cannot_be_is_refused_with_a_reason()
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get());
        using TrainerHandle trainer = TrainerHandle.Create(model, Options);
        string stranger = Path.Combine(_folder, "stranger.gguf");
        TestAdapter.Write(stranger, new TestModelOptions { Width = 512 });
        Fails(TrainerStatus.File, "none.gguf", () => TrainableModelHandle.Open(Path.Combine(_folder, "none.gguf")));
        Fails(TrainerStatus.Unsupported, "bert", () => TrainableModelHandle.Open(TestModel.Get("bert")));
        Fails(TrainerStatus.Argument, "rank", () => TrainerHandle.Create(model, Options with { Rank = 0 }));
        Fails(TrainerStatus.Mismatch, "", () => trainer.ImportAdapter(stranger));
        Fails(TrainerStatus.File, "", () => trainer.LoadCheckpoint(stranger));
        Fails(TrainerStatus.File, "", () => trainer.SaveCheckpoint(Path.Combine(_folder, "no", "such", "folder"), []));
        Fails(TrainerStatus.Argument, "vocabulary", () => trainer.Evaluate(new TrainingBatch { Tokens = [1_000_000], Bounds = [0, 1], Target = [1], Weight = [1] }));
        Assert.Throws<ArgumentException>(() => trainer.Evaluate(new TrainingBatch { Tokens = [1, 2], Bounds = [0, 2], Target = [1], Weight = [1] }));
        Assert.Throws<ArgumentException>(() => trainer.Evaluate(Batch(), new float[3]));

        static void Fails(TrainerStatus status, string part, Action call)
        {
            TrainerException e = Assert.Throws<TrainerException>(call);
            Assert.Equal(status, e.Status);
            Assert.Contains(part, e.Message);
            Assert.EndsWith(".", e.Message);
            Assert.StartsWith("cn_", e.Operation);
        }
    }

    private static TrainerHandle Create(TrainerOptions? options = null)
    {
        using TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get());
        return TrainerHandle.Create(model, options ?? Options);
    }

    private static TrainingBatch Batch() => new()
    {
        Tokens = [400, 401, 402, 403, 500, 501, 502, 503],
        Bounds = [0, 4, 8],
        Target = [401, 402, 403, 404, -1, 502, 503, 504],
        Weight = [1, 1, 1, 1, 0, 0, 1, 1],
    };
}
