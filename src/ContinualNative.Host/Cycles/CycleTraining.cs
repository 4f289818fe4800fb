using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Adapters;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Cycles;

/// <summary>What a training came to, as the cycle's record keeps it.</summary>
internal sealed record TrainedAdapter
{
    public required int Examples { get; init; }

    public required int Pairs { get; init; }

    public required int LeftOut { get; init; }

    public required int Steps { get; init; }

    public required long Tokens { get; init; }

    public required double LossFirst { get; init; }

    public required double LossLast { get; init; }

    public required double Seconds { get; init; }

    public required double TokensPerSecond { get; init; }

    public required int Rank { get; init; }

    public required double LearningRate { get; init; }

    public required int Epochs { get; init; }

    public required double Anchor { get; init; }

    /// <summary>The learning rates that were tried, where there were several.</summary>
    public IReadOnlyList<RateTrial>? Tried { get; init; }

    /// <summary>The adapter that it began with; null: the bare model.</summary>
    public required string? Parent { get; init; }

    /// <summary>As JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, CycleJson.Options);
}

/// <summary>Trains a cycle's adapter beside serving: on the model's own file, at idle priority, stepping aside while requests wait.</summary>
internal sealed class CycleTraining(ServedModel model, ServeOptions serve, CycleOptions cycle, CurationOptions curation, AdapterShelf shelf)
{
    private const int LongestExample = 1024;

    /// <summary>The folder of a cycle's checkpoints.</summary>
    public static string FolderOf(string data, long cycle) => Path.Combine(data, "cycles", cycle.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>
    /// Trains to the end and leaves the adapter at its place on the shelf; goes on where a run that was cut off stopped. Throws <see cref="TrainingException"/>,
    /// <see cref="TrainerException"/>, <see cref="ParityException"/>, and <see cref="OperationCanceledException"/> with a checkpoint written.
    /// </summary>
    /// <param name="record">The cycle.</param>
    /// <param name="set">What to train on.</param>
    /// <param name="parent">The adapter to begin with, or null.</param>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Stops within a part of a layer.</param>
    public async Task<TrainedAdapter> RunAsync(
        CycleRecord record, IReadOnlyList<(CuratedExample Example, ExampleTexts Texts)> set, AdapterRecord? parent, IProgress<TrainingProgress> progress, CancellationToken cancellationToken)
    {
        // Before the work rather than after it.
        PrepareShelf();
        CycleExamples encoder = new(model);
        List<TrainingExample> examples = encoder.Encode(set, cancellationToken);
        if (examples.Count == 0)
        {
            throw new TrainingException(TrainingError.BadData, $"None of the {set.Count} examples can be trained on: they use tools, or the model's template can't write them.", "data");
        }
        using TrainableModelHandle weights = TrainableModelHandle.Open(serve.Model);
        if (cycle.Device is { } device)
        {
            weights.Lend(device, model.Engine.Weights());
        }
        string? start = parent is null ? null : shelf.Verify(parent);
        (TrainingOptions options, IReadOnlyList<double> rates) = OptionsOf(record, weights.Info, examples, start);
        List<TrainingExample> pairs = curation.Pairs ? encoder.EncodePairs(set, cancellationToken) : [];
        string path = shelf.PathOf(record.Candidate);
        string folder = FolderOf(serve.Data, record.Id);
        TrainingPlan plan = TrainingPlan.Create(options, examples);
        await CheckParityAsync(weights, plan, cancellationToken);
        string plain = pairs.Count == 0 ? path : path + ".plain.gguf";
        CheckpointFolder checkpoints = new(Path.Combine(folder, "train"));
        IReadOnlyList<RateTrial>? tried = null;
        RateTrial result;
        if (rates.Count == 1)
        {
            result = RateTrial.Of(options.LearningRate, await TrainAsync(weights, plan, checkpoints, start, plain, progress, cancellationToken));
        }
        else
        {
            (plan, result, tried) = await new RateSearch(folder).RunAsync(options, examples, rates, cycle.MostTrainingSeconds, plain,
                (trial, output) => TrainAsync(weights, trial, checkpoints, start, output, progress, cancellationToken));
            options = options with { LearningRate = result.LearningRate };
        }
        if (pairs.Count > 0)
        {
            // Preferences after answers: a model that does not know an answer learns nothing from hearing that another one is worse.
            TrainingPlan preferences = TrainingPlan.Create(options with { Anchor = 0, Epochs = 1, LearningRate = options.LearningRate / 4, BatchTokens = Math.Max(options.BatchTokens, 2 * options.SequenceLength) }, pairs);
            await TrainAsync(weights, preferences, new CheckpointFolder(Path.Combine(folder, "prefer")), plain, path, progress, cancellationToken);
            File.Delete(plain);
        }
        return new TrainedAdapter
        {
            Examples = plan.Train.Count,
            Pairs = pairs.Count,
            LeftOut = encoder.LeftOut,
            Steps = result.Steps,
            Tokens = result.Tokens,
            LossFirst = result.LossFirst,
            LossLast = result.LossLast,
            Seconds = tried?.Sum(static t => t.Seconds) ?? result.Seconds,
            TokensPerSecond = result.TokensPerSecond,
            Rank = options.Rank,
            LearningRate = options.LearningRate,
            Epochs = options.Epochs,
            Anchor = options.Anchor,
            Tried = tried,
            Parent = parent?.Id,
        };
    }

    private void PrepareShelf()
    {
        try
        {
            shelf.Prepare();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"There is no folder '{shelf.Folder}' for adapters, and it can't be made: {e.Message.TrimEnd('.')}. Make room there; the next cycle trains anew.", e);
        }
    }

    private (TrainingOptions Options, IReadOnlyList<double> Rates) OptionsOf(CycleRecord record, TrainableModelInfo info, List<TrainingExample> examples, string? start)
    {
        int longest = Math.Min(Math.Min(examples.Max(static e => e.Tokens.Length), LongestExample), info.Context > 0 ? info.Context : LongestExample);
        HyperParameters values = HyperParameters.For(examples.Count, examples.Average(static e => (double)e.Tokens.Length), info.Width, info.Parameters, cycle);
        int rank = values.Rank;
        double alpha = values.Alpha;
        LoraTargets targets = LoraTargets.All;
        if (start is not null)
        {
            // An adapter goes on in the shape that it has.
            AdapterFile file = AdapterFile.Read(start);
            (rank, alpha) = (file.Rank, file.Alpha > 0 ? file.Alpha : file.Rank);
            targets |= AdapterForms.TargetsOf(file, name => new TrainingException(
                TrainingError.BadData, $"The champion '{record.Champion}' changes {name}, which can't be trained on. Promote another adapter, or 'base'.", "adapter"));
        }
        TrainingOptions options = new()
        {
            SequenceLength = Math.Max(longest, 2),
            BatchTokens = Math.Max(values.BatchTokens, longest),
            Epochs = values.Epochs,
            Rank = rank,
            Alpha = alpha,
            Targets = targets,
            LearningRate = values.LearningRate,
            // Nothing to hold on to where training begins with the bare model: replay has to do it then.
            Anchor = start is null ? 0 : values.Anchor,
            Seed = (ulong)record.Id,
            Device = cycle.Device,
            Threads = cycle.Threads > 0 ? cycle.Threads : serve.Threads > 0 ? serve.Threads : Processor.PhysicalCores(),
            LowPriority = true,
            CheckpointEvery = TimeSpan.FromMinutes(1),
        };
        return (options, values.Rates(examples.Count, cycle));
    }

    private async Task CheckParityAsync(TrainableModelHandle weights, TrainingPlan plan, CancellationToken cancellationToken)
    {
        ParityCheck check = await ParityCheck.ScoreServedAsync(plan, serve.Model, model.Engine, cancellationToken);
        using TrainerHandle trainer = TrainerHandle.Create(weights, plan.ToTrainer());
        await Task.Run(() => check.Compare(trainer, plan.ToTrainer().Precision ?? TrainerOptions.BestPrecisionOn(plan.Options.Device), static () => { }, cancellationToken), cancellationToken);
    }

    private async Task<TrainingResult> TrainAsync(
        TrainableModelHandle weights, TrainingPlan plan, CheckpointFolder folder, string? start, string output, IProgress<TrainingProgress> progress, CancellationToken cancellationToken)
    {
        string initial = start is null ? "" : FileHash.Of(start);
        // A thread of its own: it computes for minutes.
        return await Task.Factory.StartNew(
            () =>
            {
                try
                {
                    return Train(weights, plan, folder, start, initial, output, progress, cancellationToken);
                }
                catch (TrainingException e) when (e.Error == TrainingError.Checkpoint)
                {
                    // A checkpoint of other data or options: something was erased meanwhile, or the policy has changed.
                    folder.Clear();
                    return Train(weights, plan, folder, start, initial, output, progress, cancellationToken);
                }
                catch (TrainingException e) when (e.Error == TrainingError.CheckpointNotWritten)
                {
                    // Its own words name a flag that the server does not have.
                    throw new IOException($"The checkpoint of its training can't be written into '{folder.Path}': {e.InnerException?.Message.TrimEnd('.')}. Make room there; the next cycle trains anew.", e);
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
    }

    private TrainingResult Train(
        TrainableModelHandle weights, TrainingPlan plan, CheckpointFolder folder, string? start, string initial, string output, IProgress<TrainingProgress> progress, CancellationToken cancellationToken)
    {
        using TrainerHandle trainer = TrainerHandle.Create(weights, plan.ToTrainer());
        if (start is not null)
        {
            trainer.ImportAdapter(start);
        }
        trainer.Slice = ServingFirst.On(model.Engine, cancellationToken);
        TrainingRun run = new(weights, trainer, plan, folder, initial);
        TrainingResult result = run.Run(folder.Exists, progress, cancellationToken);
        trainer.ExportAdapter(output, model.Engine.Model.Name);
        folder.Clear();
        return result;
    }
}
