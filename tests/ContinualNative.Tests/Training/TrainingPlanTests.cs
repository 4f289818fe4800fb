using ContinualNative.Training;

namespace ContinualNative.Tests.Training;

public sealed class TrainingPlanTests
{
    private static readonly TrainingOptions Options = new() { SequenceLength = 16, BatchTokens = 32, Epochs = 2 };

    [Fact]
    public void Steps_tokens_and_rows_are_those_of_the_batches()
    {
        TrainingPlan plan = TrainingPlan.Create(Options with { Accumulate = 3 }, Examples(50));
        List<int[]>[] epochs = [plan.Pack(0), plan.Pack(1)];
        Assert.Equal(epochs.Sum(static e => (e.Count + 2) / 3), plan.Steps);
        Assert.Equal(2 * plan.Train.Sum(static e => e.Tokens.Length - 1), plan.Tokens);
        Assert.Equal((double)plan.Tokens / (32 * epochs.Sum(static e => e.Count)), plan.Fill, 12);
        Assert.True(epochs.SelectMany(static e => e).All(b => b.Length <= plan.MaxSequences && b.Sum(i => plan.Train[i].Targets) <= plan.MaxTargets));
        Assert.NotEqual(epochs[0], epochs[1]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(40)]
    public void Steps_may_be_given_instead_of_epochs(int steps)
    {
        TrainingPlan plan = TrainingPlan.Create(Options with { Accumulate = 3, Steps = steps }, Examples(50));
        Assert.Equal(steps, plan.Steps);
        List<int[]> batches = [];
        int begun = 0;
        for (int done = 0; done < steps; begun++)
        {
            List<int[]> epoch = plan.Pack(begun);
            int here = Math.Min(steps - done, (epoch.Count + 2) / 3);
            batches.AddRange(epoch.Take(here * 3));
            done += here;
        }
        Assert.Equal((begun, batches.Sum(b => b.Sum(i => (long)plan.Train[i].Tokens.Length - 1))), (plan.Epochs, plan.Tokens));
    }

    [Fact]
    public void A_share_is_split_off_by_the_seed()
    {
        TrainingExample[] examples = Examples(40);
        TrainingPlan plan = TrainingPlan.Create(Options with { ValidationShare = 0.25 }, examples);
        Assert.Equal((30, 10), (plan.Train.Count, plan.Validation.Count));
        Assert.Equal(examples.Select(static e => e.Line), plan.Train.Concat(plan.Validation).Select(static e => e.Line).Order());
        TrainingPlan same = TrainingPlan.Create(Options with { ValidationShare = 0.25 }, examples);
        TrainingPlan other = TrainingPlan.Create(Options with { ValidationShare = 0.25, Seed = 2 }, examples);
        Assert.Equal(plan.Validation.Select(static e => e.Line), same.Validation.Select(static e => e.Line));
        Assert.NotEqual(plan.Validation.Select(static e => e.Line), other.Validation.Select(static e => e.Line));
    }

    [Fact]
    public void Hash_tells_any_token_mask_or_weight_that_differs()
    {
        TrainingExample[] examples = Examples(5);
        string hash = TrainingPlan.Create(Options, examples).DataHash;
        Assert.Equal(hash, TrainingPlan.Create(Options, Examples(5)).DataHash);
        Assert.All(
            new Func<TrainingExample, TrainingExample>[]
            {
                static e => e with { Tokens = [.. e.Tokens[..^1], 999] },
                static e => e with { From = e.From + 1 },
                static e => e with { Weight = 1.0000001 },
                static e => e with { Tokens = [.. e.Tokens, 5] },
            },
            change => Assert.NotEqual(hash, TrainingPlan.Create(Options, [.. examples[..4], change(examples[4])]).DataHash));
        Assert.NotEqual(hash, TrainingPlan.Create(Options, [.. examples.Reverse()]).DataHash);
    }

    [Fact]
    public void Data_that_teaches_nothing_is_refused()
    {
        Assert.Contains("no examples", Fails(TrainingError.BadData, Options));
        Assert.Contains("all 2 examples", Fails(TrainingError.BadData, Options, [.. Examples(2).Select(static e => e with { Weight = 0 })]));
    }

    [Fact]
    public void Pairs_and_plain_answers_do_not_mix()
    {
        TrainingExample pair = Pair(1);
        Assert.Contains("(line 2)", Fails(TrainingError.BadData, Options, pair, Examples(2)[1]));
        Assert.Contains("weighted (line 1)", Fails(TrainingError.BadData, Options, pair with { Weight = 2 }));
        Assert.Contains("raise it to 32", Fails(TrainingError.BadOption, Options with { BatchTokens = 31 }, pair));
        Assert.Contains("DPO", Fails(TrainingError.BadOption, Options with { Anchor = 1 }, pair));
        TrainingPlan plan = TrainingPlan.Create(Options, [pair, Pair(2)]);
        Assert.True(plan.IsDpo);
        Assert.Equal(0, plan.MaxSequences % 2);
    }

    [Theory]
    [InlineData("seq-len")]
    [InlineData("batch-tokens")]
    [InlineData("epochs")]
    [InlineData("accumulate")]
    [InlineData("rank")]
    [InlineData("alpha")]
    [InlineData("targets")]
    [InlineData("lr")]
    [InlineData("b-rate-ratio")]
    [InlineData("warmup")]
    [InlineData("dropout")]
    [InlineData("weight-decay")]
    [InlineData("clip")]
    [InlineData("threads")]
    [InlineData("memory-budget")]
    [InlineData("validation-share")]
    [InlineData("patience")]
    [InlineData("anchor")]
    [InlineData("dpo-beta")]
    [InlineData("checkpoint-every")]
    public void A_wrong_option_is_named(string option)
    {
        TrainingOptions wrong = option switch
        {
            "seq-len" => Options with { SequenceLength = 33 },
            "batch-tokens" => Options with { BatchTokens = 0 },
            "epochs" => Options with { Epochs = 0 },
            "accumulate" => Options with { Accumulate = 0 },
            "rank" => Options with { Rank = 0 },
            "alpha" => Options with { Alpha = double.NaN },
            "targets" => Options with { Targets = 0 },
            "lr" => Options with { LearningRate = -1 },
            "b-rate-ratio" => Options with { BRateRatio = 0 },
            "warmup" => Options with { Warmup = 1.5 },
            "dropout" => Options with { Dropout = 1 },
            "weight-decay" => Options with { WeightDecay = double.PositiveInfinity },
            "clip" => Options with { Clip = -1 },
            "threads" => Options with { Threads = -1 },
            "memory-budget" => Options with { MemoryBudget = -1 },
            "validation-share" => Options with { ValidationShare = 1 },
            "patience" => Options with { Patience = 2 },
            "anchor" => Options with { Anchor = double.NaN },
            "dpo-beta" => Options with { DpoBeta = 0 },
            _ => Options with { CheckpointEvery = TimeSpan.FromSeconds(-1) },
        };
        TrainingException e = Assert.Throws<TrainingException>(() => TrainingPlan.Create(wrong, Examples(3)));
        Assert.Equal((TrainingError.BadOption, option), (e.Error, e.Option));
    }

    [Fact]
    public void A_batch_holds_each_sequence_without_its_last_token_and_predicts_the_answer()
    {
        BatchBuffer buffer = new(32, 4);
        TrainingExample[] examples = [new() { Tokens = [1, 2, 3, 4, 5], From = 3, Weight = 2 }, new() { Tokens = [1, 7, 8], From = 1, Rejected = [1, 9], RejectedFrom = 1 }];
        buffer.Fill(examples, [0, 1]);
        Interop.Trainer.TrainingBatch batch = buffer.Batch(0.5f);
        Assert.Equal([1, 2, 3, 4, 1, 7, 1], batch.Tokens);
        Assert.Equal([0, 4, 6, 7], batch.Bounds);
        Assert.Equal([-1, -1, 4, 5, 7, 8, 9], batch.Target);
        Assert.Equal([0, 0, 2, 2, 1, 1, 1], batch.Weight);
        Assert.Equal(0.5f, batch.Anchor);
        buffer.Fill(examples, [1]);
        Assert.Equal([7, 8, 9], buffer.Batch().Target);
    }

    private static string Fails(TrainingError error, TrainingOptions options, params TrainingExample[] examples)
    {
        TrainingException e = Assert.Throws<TrainingException>(() => TrainingPlan.Create(options, examples));
        Assert.Equal(error, e.Error);
        return e.Message;
    }

    private static TrainingExample Pair(int line) => Examples(line)[line - 1] with { Rejected = [1, 2, 3], RejectedFrom = 2 };

    private static TrainingExample[] Examples(int count) =>
        [.. Enumerable.Range(0, count).Select(static i => new TrainingExample { Tokens = [.. Enumerable.Range(1, 4 + (i * 7 % 12))], From = 2, Line = i + 1 })];
}
