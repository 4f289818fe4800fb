using System.Globalization;
using ContinualNative.Engine;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>A run of <c>continual train</c>, from the files to the adapter.</summary>
internal sealed class TrainJob(TrainRequest request)
{
    private const int DefaultLength = 256;

    private readonly ProcessMemory _memory = new();

    /// <summary>The folder of the checkpoints.</summary>
    public static string CheckpointOf(TrainRequest request) => request.Checkpoint ?? request.Out.TrimEnd(Path.DirectorySeparatorChar) + ".checkpoint";

    /// <summary>Trains. Everything that may be wrong is found before the first step where it can be.</summary>
    public async Task<TrainOutcome> RunAsync(CancellationToken cancellationToken)
    {
        CheckFiles();
        request.Options.Validate();
        AdapterOutput output = AdapterOutput.Create(request.Out, request.Peft);
        CheckpointFolder folder = new(CheckpointOf(request));
        folder.MustSuit(request.Resume);
        using TrainableModelHandle model = Named("model", () => TrainableModelHandle.Open(request.Model));
        int context = model.Info.Context > 0 ? model.Info.Context : int.MaxValue;
        TrainingPlan plan = await PlanAsync(context, cancellationToken);
        TrainerOptions options = plan.ToTrainer();
        TrainerMemory memory = Named("memory-budget", () => TrainerHandle.Plan(model, options), TrainerStatus.Budget);
        Tell(plan, memory);

        bool gguf = request.Initial is { } init && File.Exists(init);
        ParityCheck? check = request.ParityCheck
            ? await ConsoleProgress.RunAsync("scoring with the engine", 1, static _ => "for the parity check", _ =>
                ParityCheck.ScoreAsync(plan, request.Model, context, gguf ? request.Initial : null, plan.Options.Threads, cancellationToken))
            : null;
        if (check is null)
        {
            Console.Error.WriteLine("parity check skipped: the adapter may not fit what the engine serves");
        }
        ProcessMemory.Forget();
        using TrainerHandle trainer = TrainerHandle.Create(model, options);
        TrainingPrecision precision = options.Precision ?? TrainerOptions.BestPrecisionOn(options.Device);
        return await Task.Run(() => Train(model, trainer, plan, folder, output, check, precision, cancellationToken), CancellationToken.None);
    }

    private async Task<TrainOutcome> Train(
        TrainableModelHandle model, TrainerHandle trainer, TrainingPlan plan, CheckpointFolder folder, AdapterOutput output, ParityCheck? check, TrainingPrecision precision, CancellationToken cancellationToken)
    {
        void Import()
        {
            if (request.Initial is { } initial)
            {
                Named("init", () =>
                {
                    trainer.ImportAdapter(initial);
                    return true;
                });
            }
        }

        ParityResult? parity = null;
        if (check is null)
        {
            Import();
        }
        else
        {
            parity = check.Compare(trainer, precision, Import, cancellationToken);
            Console.Error.WriteLine($"parity with the engine: {parity}");
        }
        TrainingRun run = new(model, trainer, plan, folder, InitialHash());
        TrainingProgress? last = null;
        long planned = trainer.Memory.Total;
        TrainingResult result = await ConsoleProgress.RunAsync(
            "training",
            plan.Steps,
            _ => Volatile.Read(ref last) is { } now ? Describe(now, planned) : "the first step",
            progress => Task.Run(
                () => run.Run(request.Resume, new Steps(now =>
                {
                    Volatile.Write(ref last, now);
                    progress.Report(now.Step);
                    _memory.Sample();
                }), cancellationToken),
                CancellationToken.None));
        output.Write(trainer, model.Info.Name.Length > 0 ? model.Info.Name : Path.GetFileName(request.Model));
        folder.Clear();
        return new TrainOutcome(output.Path, plan, result, trainer.Memory, precision, parity, ProcessMemory.Peak, _memory.PeakAnonymous);
    }

    private async Task<TrainingPlan> PlanAsync(int context, CancellationToken cancellationToken)
    {
        int length = request.SequenceLength ?? Math.Min(Math.Min(DefaultLength, request.Options.BatchTokens), context);
        if (length > context)
        {
            throw new SettingException("seq-len", $"{length} is more than the {context} tokens that the model was trained for");
        }
        TrainingOptions options = request.Options with
        {
            SequenceLength = length,
            Threads = request.Options.Threads == 0 ? Processor.PhysicalCores() : request.Options.Threads,
        };
        options.Validate();
        string? template = request.ChatTemplate is { } jinja ? await File.ReadAllTextAsync(jinja, cancellationToken) : null;
        using ModelText text = ModelText.Load(request.Model);
        TrainData data = new(text, template);
        TrainingExample[] train = await data.ReadAsync(request.Data, cancellationToken);
        TrainingExample[]? validation = request.Validation is { } file ? await data.ReadAsync(file, cancellationToken) : null;
        return TrainingPlan.Create(options, train, validation);
    }

    private void CheckFiles()
    {
        foreach ((string option, string? path, bool folder) in (ReadOnlySpan<(string, string?, bool)>)
            [("model", request.Model, false), ("data", request.Data, false), ("validation", request.Validation, false), ("chat-template", request.ChatTemplate, false), ("init", request.Initial, true)])
        {
            if (path is not null && !File.Exists(path) && !(folder && Directory.Exists(path)))
            {
                throw new SettingException(option, Directory.Exists(path) ? $"'{path}' is a folder, not a file" : $"there is no file '{path}'");
            }
        }
    }

    private string InitialHash()
    {
        if (request.Initial is not { } initial)
        {
            return "";
        }
        return FileHash.Of(Directory.Exists(initial) ? Path.Combine(initial, "adapter_model.safetensors") : initial);
    }

    private static void Tell(TrainingPlan plan, TrainerMemory memory)
    {
        FitCounts counts = plan.Counts + plan.ValidationCounts;
        Console.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{plan.Train.Count} {(plan.IsDpo ? "pairs" : "examples")}{(plan.Validation.Count > 0 ? $", {plan.Validation.Count} to validate on" : "")}: {plan.Steps} steps, {plan.Tokens} tokens, batches {plan.Fill:P1} full; memory {ByteText.Of(memory.Total)} beyond the model's file"));
        if (counts != default)
        {
            Console.Error.WriteLine($"of examples longer than {plan.Options.SequenceLength} tokens, {counts.PromptsCut} lost the front of their prompt and {counts.AnswersCut} the end of their answer; {counts.Dropped} without an answer or with weight 0 were left out");
        }
    }

    internal static string Describe(TrainingProgress now, long memory) => string.Create(
        CultureInfo.InvariantCulture,
        $"step {now.Step} of {now.Steps}, epoch {now.Epoch} of {now.Epochs}, loss {now.Loss:0.0000}{(double.IsNaN(now.ValidationLoss) ? "" : $" (validation {now.ValidationLoss:0.0000})")}, {now.TokensPerSecond:0} tok/s, {ConsoleProgress.Time(now.TimeLeft)} left, {ByteText.Of(memory)}{(now.Skipped > 0 ? $", {now.Skipped} skipped" : "")}");

    // Failures of a file or an option that the command line named are that option's.
    internal static T Named<T>(string option, Func<T> call, TrainerStatus? only = null)
    {
        try
        {
            return call();
        }
        catch (TrainerException e) when (e.Status == (only ?? e.Status) && e.Status is not (TrainerStatus.OutOfMemory or TrainerStatus.Exception or TrainerStatus.UnknownException))
        {
            throw new SettingException(option, e.Message.TrimEnd('.'));
        }
    }

    private sealed class Steps(Action<TrainingProgress> report) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => report(value);
    }
}
