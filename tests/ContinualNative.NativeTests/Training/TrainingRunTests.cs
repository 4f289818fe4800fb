using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;
using ContinualNative.Training;

namespace ContinualNative.NativeTests.Training;

public sealed class TrainingRunTests : IDisposable
{
    private static readonly TrainingOptions Options = new()
    {
        SequenceLength = 24,
        BatchTokens = 48,
        Epochs = 3,
        Accumulate = 2,
        Rank = 4,
        LearningRate = 5e-3,
        Dropout = 0.1,
        WeightDecay = 0.01,
        Threads = 1,
        CheckpointEvery = TimeSpan.FromHours(1),
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-run-").FullName;
    private int _runs;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Equal_seeds_give_equal_bytes_with_any_number_of_threads()
    {
        (byte[] once, TrainingResult result) = Run(Plan());
        (byte[] again, _) = Run(Plan());
        (byte[] threads, _) = Run(Plan(Options with { Threads = 3 }));
        (byte[] other, _) = Run(Plan(Options with { Seed = 2 }));
        Assert.Equal(once, again);
        Assert.Equal(once, threads);
        Assert.NotEqual(once, other);
        Assert.Equal(Plan().Steps, result.Steps);
        Assert.Equal(Plan().Tokens, result.Tokens);
        Assert.True(result.LastLoss < result.FirstLoss * 0.8, $"{result.FirstLoss} and {result.LastLoss}");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.2)]
    public void A_run_interrupted_anywhere_ends_with_the_same_bytes(double validationShare)
    {
        TrainingPlan plan = Plan(Options with { ValidationShare = validationShare });
        (byte[] whole, TrainingResult expected) = Run(plan);
        int slices = 0;
        Run(plan, slice: () =>
        {
            slices++;
            return false;
        });
        Random random = new(3);
        CheckpointFolder folder = Folder();
        for (int stop = 0; ; stop++)
        {
            // At some moment between here and the end, in the middle of a step or of a validation.
            int left = stop < 12 ? random.Next(slices / 6) : int.MaxValue;
            using CancellationTokenSource source = new();
            try
            {
                (byte[] adapter, TrainingResult result) = Run(plan, folder, resume: stop > 0, cancel: source.Token, slice: () =>
                {
                    if (left-- == 0)
                    {
                        source.Cancel();
                    }
                    return false;
                });
                Assert.True(stop > 5, $"only {stop} interruptions");
                Assert.Equal(whole, adapter);
                Assert.Equal((expected.FirstLoss, expected.LastLoss, expected.Tokens, expected.Steps), (result.FirstLoss, result.LastLoss, result.Tokens, result.Steps));
                Assert.Equal(expected.Validations, result.Validations);
                return;
            }
            catch (TrainingInterruptedException e)
            {
                Assert.Equal(folder.Path, e.Checkpoint);
            }
        }
    }

    [Fact]
    public void Best_parameters_on_validation_are_the_result_and_patience_ends_the_run()
    {
        // Five examples learned by heart say nothing about others: with this rate, validation gets worse soon.
        TrainingOptions options = Options with { LearningRate = 0.05, Epochs = 40, Patience = 3, Accumulate = 1, Dropout = 0 };
        TrainingPlan plan = TrainingPlan.Create(options, Examples(5), Examples(30)[20..]);
        (byte[] adapter, TrainingResult result) = Run(plan);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(" ", result.Validations.Select(static v => $"{v.Step}:{v.Loss:0.000}")));
        Assert.True(result.StoppedEarly);
        Assert.True(result.Steps < plan.Steps);
        ValidationPoint best = result.Validations.MinBy(static v => v.Loss)!;
        Assert.Equal((best.Step, best.Loss), (result.BestStep, result.BestLoss));
        Assert.Equal(3, result.Validations.Count - 1 - result.Validations.ToList().IndexOf(best));

        // What was written is what was best: its loss, measured anew.
        string path = Path.Combine(_folder, "best.gguf");
        File.WriteAllBytes(path, adapter);
        using TrainableModelHandle model = TrainableModelHandle.Open(TestModel.Get());
        using TrainerHandle trainer = TrainerHandle.Create(model, plan.ToTrainer());
        trainer.ImportAdapter(path);
        TrainingLoss sum = default;
        BatchBuffer buffer = new(options.BatchTokens, plan.MaxSequences);
        foreach (int[] batch in plan.ValidationBatches)
        {
            buffer.Fill(plan.Validation, batch);
            sum += trainer.Evaluate(buffer.Batch());
        }
        Assert.Equal(result.BestLoss, sum.Loss / sum.Weight, 6);
    }

    [Fact]
    public void Preferences_are_learned_from_pairs()
    {
        TrainingExample[] pairs = [.. Examples(20).Select(static (e, i) => e with { Rejected = [.. e.Tokens[..e.From], 700 + i, 701 + i], RejectedFrom = e.From })];
        TrainingPlan plan = TrainingPlan.Create(Options with { BatchTokens = 64, Epochs = 8, DpoBeta = 0.3 }, pairs);
        (_, TrainingResult result) = Run(plan);
        // Before anything is learned, both answers are as likely as under the reference: −ln ½.
        Assert.Equal(Math.Log(2), result.FirstLoss, 3);
        Assert.True(result.LastLoss < 0.3, $"{result.LastLoss}");
    }

    [Fact]
    public void An_anchor_holds_the_model_to_where_it_began()
    {
        TrainingExample[] others = Examples(30)[20..];
        double Drift(double anchor)
        {
            TrainingPlan plan = TrainingPlan.Create(Options with { Anchor = anchor, Dropout = 0, Epochs = 6 }, Examples(20), others);
            (_, TrainingResult result) = Run(plan);
            return Math.Abs(result.Validations[^1].Loss - result.Validations[0].Loss);
        }
        double free = Drift(0);
        double held = Drift(20);
        Assert.True(held < free / 2, $"{free} free, {held} held");
    }

    [Fact]
    public void Weights_that_are_not_numbers_end_the_run_with_the_reason()
    {
        string broken = Path.Combine(_folder, "broken.gguf");
        File.Copy(TestModel.Get(), broken);
        GgufFile file = GgufFile.Read(broken);
        using (FileStream stream = new(broken, FileMode.Open, FileAccess.Write))
        {
            stream.Position = file.DataOffset + file.GetTensor("blk.1.ffn_up.weight").Offset + 400;
            stream.Write(BitConverter.GetBytes(float.NaN));
        }
        TrainingException skipped = Assert.Throws<TrainingException>(() => Run(Plan(Options with { Dropout = 0 }), model: broken));
        Assert.Equal(TrainingError.NotFinite, skipped.Error);
        Assert.Contains("5 steps in a row", skipped.Message);
        TrainingException validated = Assert.Throws<TrainingException>(() => Run(Plan(Options with { ValidationShare = 0.2 }), model: broken));
        Assert.Contains("The model's weights", validated.Message);
    }

    [Fact]
    public void A_model_replaced_while_it_is_trained_on_ends_the_run()
    {
        string path = Path.Combine(_folder, "model.gguf");
        File.Copy(TestModel.Get(), path);
        TrainingException e = Assert.Throws<TrainingException>(() => Run(Plan(), model: path, progress: p =>
        {
            if (p.Step == 3)
            {
                File.Copy(TestModel.Get(new TestModelOptions { Seed = 2 }), path + ".new");
                File.Move(path + ".new", path, overwrite: true);
            }
        }));
        Assert.Equal(TrainingError.ModelChanged, e.Error);
        Assert.Contains("resume from the checkpoint", e.Message);
    }

    [Fact]
    public void A_checkpoint_that_cannot_be_written_later_is_counted_and_the_run_goes_on()
    {
        CheckpointFolder folder = Folder();
        (byte[] expected, _) = Run(Plan());
        (byte[] adapter, TrainingResult result) = Run(Plan(Options with { CheckpointEvery = TimeSpan.Zero }), folder, progress: p =>
        {
            if (p.Step == 2)
            {
                Directory.Delete(folder.Path, recursive: true);
                File.WriteAllText(folder.Path, "in the way");
            }
        });
        Assert.Equal(expected, adapter);
        Assert.Equal(Plan().Steps - 1, result.CheckpointFailures);
        Assert.Contains(folder.Path, result.CheckpointFailure);
    }

    [Fact]
    public void No_room_for_the_first_checkpoint_is_told_before_the_first_step()
    {
        CheckpointFolder folder = Folder();
        File.WriteAllText(folder.Path, "in the way");
        int steps = 0;
        TrainingException e = Assert.Throws<TrainingException>(() => Run(Plan(), folder, progress: _ => steps++));
        Assert.Equal((TrainingError.CheckpointNotWritten, 0), (e.Error, steps));
    }

    [Fact]
    public void A_checkpoint_is_gone_on_with_by_the_same_run_only()
    {
        CheckpointFolder folder = Folder();
        Assert.Equal(TrainingError.Checkpoint, Assert.Throws<TrainingException>(() => Run(Plan(), folder, resume: true)).Error);
        using CancellationTokenSource source = new();
        Assert.Throws<TrainingInterruptedException>(() => Run(Plan(), folder, cancel: source.Token, progress: p =>
        {
            if (p.Step == 2)
            {
                source.Cancel();
            }
        }));
        byte[] state = File.ReadAllBytes(Path.Combine(folder.Path, "state.ckpt"));
        Assert.Contains("--resume", Assert.Throws<TrainingException>(() => Run(Plan(), folder)).Message);
        Assert.Contains("--epochs is 4 and was 3", Assert.Throws<TrainingException>(() => Run(Plan(Options with { Epochs = 4, FinalRate = 0.1 }), folder, resume: true, sameTrainer: Plan())).Message);
        Assert.Contains("--data", Assert.Throws<TrainingException>(() => Run(TrainingPlan.Create(Options, [.. Examples(20).Reverse()]), folder, resume: true, sameTrainer: Plan())).Message);
        Exception other = Assert.ThrowsAny<Exception>(() => Run(Plan(), folder, resume: true, model: TestModel.Get(new TestModelOptions { Seed = 2 })));
        Assert.True(other is TrainerException { Status: TrainerStatus.Mismatch }, other.ToString());
        Assert.Equal(state, File.ReadAllBytes(Path.Combine(folder.Path, "state.ckpt")));
        Assert.Equal(Run(Plan()).Adapter, Run(Plan(), folder, resume: true).Adapter);
        folder.Clear();
        Assert.False(Directory.Exists(folder.Path));
    }

    private static TrainingPlan Plan(TrainingOptions? options = null) => TrainingPlan.Create(options ?? Options, Examples(20));

    private static TrainingExample[] Examples(int count) =>
        [.. Enumerable.Range(0, count).Select(static i => new TrainingExample { Tokens = [.. Enumerable.Range(0, 6 + (i * 5 % 13)).Select(t => 400 + ((i * 31 + t * 7) % 200))], From = 3, Line = i + 1 })];

    private CheckpointFolder Folder() => new(Path.Combine(_folder, $"checkpoint-{_runs++}"));

    private (byte[] Adapter, TrainingResult Result) Run(
        TrainingPlan plan,
        CheckpointFolder? folder = null,
        bool resume = false,
        string? model = null,
        Action<TrainingProgress>? progress = null,
        Func<bool>? slice = null,
        TrainingPlan? sameTrainer = null,
        CancellationToken cancel = default)
    {
        using TrainableModelHandle handle = TrainableModelHandle.Open(model ?? TestModel.Get());
        using TrainerHandle trainer = TrainerHandle.Create(handle, (sameTrainer ?? plan).ToTrainer());
        trainer.Slice = slice;
        TrainingResult result = new TrainingRun(handle, trainer, plan, folder ?? Folder()).Run(resume, progress is null ? null : new Reports(progress), cancel);
        string path = Path.Combine(_folder, $"adapter-{_runs++}.gguf");
        trainer.ExportAdapter(path);
        return (File.ReadAllBytes(path), result);
    }

    private sealed class Reports(Action<TrainingProgress> report) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => report(value);
    }
}
