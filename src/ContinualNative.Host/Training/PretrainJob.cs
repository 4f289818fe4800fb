using System.Globalization;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;
using ContinualNative.Training.Corpus;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Host.Training;

/// <summary>A run of <c>continual pretrain</c>, from the texts to a model that llama.cpp loads.</summary>
internal sealed class PretrainJob(PretrainRequest request)
{
    private const int DefaultLength = 256;

    private readonly ProcessMemory _memory = new();

    /// <summary>The folder of the checkpoints.</summary>
    public static string CheckpointOf(PretrainRequest request) => request.Checkpoint ?? request.Out + ".checkpoint";

    /// <summary>Trains. Everything that may be wrong is found before the first step where it can be.</summary>
    public async Task<PretrainOutcome> RunAsync(CancellationToken cancellationToken)
    {
        TrainingOptions options = Checked();
        AdapterOutput output = AdapterOutput.Create(request.Out, peft: false);
        CheckpointFolder folder = new(CheckpointOf(request));
        folder.MustSuit(request.Resume);
        IReadOnlyList<CorpusDocument> documents = await ReadAsync(cancellationToken);
        FreshModelFile fresh = new(folder);
        BytePairVocabulary vocabulary = request.Resume ? fresh.ReadVocabulary() : await LearnAsync(documents, cancellationToken);
        IReadOnlyList<TrainingExample> sequences = await ConsoleProgress.RunAsync("encoding", "documents", documents.Count, progress =>
            Task.Run(() => CorpusEncoder.Sequences(documents, vocabulary, options.SequenceLength, progress, cancellationToken), cancellationToken));
        TrainingPlan plan = await Task.Run(() => TrainingPlan.Create(options, sequences), cancellationToken);
        if (!request.Resume)
        {
            fresh.Write(request.Shape, vocabulary, options.Seed, cancellationToken);
        }
        using TrainableModelHandle model = TrainableModelHandle.Open(fresh.Path);
        TrainerOptions native = plan.ToTrainer();
        TrainerMemory memory = TrainJob.Named("memory-budget", () => TrainerHandle.Plan(model, native), TrainerStatus.Budget);
        Tell(plan, memory, model.Info, documents.Count);
        ProcessMemory.Forget();
        using TrainerHandle trainer = TrainerHandle.Create(model, native);
        TrainingResult result = await RunAsync(model, trainer, plan, folder, fresh, cancellationToken);
        // From here on the run can't be gone on with half-way, so an interrupt comes too late.
        TrainingPrecision precision = native.Precision ?? TrainerOptions.BestPrecisionOn(native.Device);
        ParityResult? parity = null;
        await output.WriteFileAsync(
            path => trainer.ExportModel(path, (int)request.Type),
            async path => parity = request.ParityCheck ? await CheckAsync(plan, path, trainer, precision) : null);
        folder.Clear();
        fresh.Delete();
        return new PretrainOutcome(output.Path, vocabulary.Size, model.Info.Parameters, documents.Count, plan, result, trainer.Memory, precision, parity, ProcessMemory.Peak, _memory.PeakAnonymous);
    }

    private TrainingOptions Checked()
    {
        SyntheticShape shape = request.Shape;
        Between("vocab", request.Vocabulary, BytePairVocabulary.BaseSize, BytePairVocabulary.MaxSize);
        Between("layers", shape.Layers, 1, 512);
        Between("width", shape.Width, 8, 65536);
        Between("context", shape.Context, 2, 1 << 20);
        Between("feed-forward", shape.FeedForward, 1, 1 << 20);
        Check("heads", shape.Heads >= 1 && shape.Width % shape.Heads == 0 && shape.HeadWidth % 2 == 0, $"{shape.Heads} heads don't divide the width of {shape.Width} into even parts; choose a divisor of {shape.Width / 2}");
        Check("kv-heads", shape.KvHeads >= 1 && shape.Heads % shape.KvHeads == 0, $"{shape.KvHeads} don't divide the {shape.Heads} heads");
        Check("architecture", shape.Architecture is "llama" or "qwen2" or "qwen3", $"'{shape.Architecture}' is none of llama, qwen2 and qwen3");
        Check("type", request.Type != GgmlType.Q8_0 || (shape.Width % 32 == 0 && shape.FeedForward % 32 == 0), "q8_0 stores blocks of 32 numbers, so --width and --feed-forward must be multiples of 32; change them, or write f16");
        int length = request.SequenceLength ?? Math.Min(Math.Min(DefaultLength, request.Options.BatchTokens), shape.Context);
        Check("seq-len", length <= shape.Context, $"{length} is more than the model's --context of {shape.Context}");
        TrainingOptions options = request.Options with
        {
            Mode = TrainingMode.Full,
            SequenceLength = length,
            Threads = request.Options.Threads == 0 ? Processor.PhysicalCores() : request.Options.Threads,
            Others = new Dictionary<string, string>
            {
                ["vocab"] = Text(request.Vocabulary),
                ["architecture"] = shape.Architecture,
                ["layers"] = Text(shape.Layers),
                ["width"] = Text(shape.Width),
                ["heads"] = Text(shape.Heads),
                ["kv-heads"] = Text(shape.KvHeads),
                ["feed-forward"] = Text(shape.FeedForward),
                ["context"] = Text(shape.Context),
                ["untied"] = shape.TiedEmbeddings ? "no" : "yes",
            },
        };
        options.Validate();
        return options;

        static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
    }

    private async Task<IReadOnlyList<CorpusDocument>> ReadAsync(CancellationToken cancellationToken)
    {
        long bytes = request.Corpus.Where(File.Exists).Sum(static path => new FileInfo(path).Length);
        return await ConsoleProgress.RunAsync("reading", "bytes", bytes, progress => Task.Run(() => CorpusReader.ReadFiles(request.Corpus, progress, cancellationToken), cancellationToken));
    }

    private async Task<BytePairVocabulary> LearnAsync(IReadOnlyList<CorpusDocument> documents, CancellationToken cancellationToken)
    {
        VocabularyLearner learner = await ConsoleProgress.RunAsync("counting words", "bytes", CorpusEncoder.Bytes(documents), progress =>
            Task.Run(() => CorpusEncoder.CountWords(documents, progress, cancellationToken), cancellationToken));
        int most = request.Vocabulary - BytePairVocabulary.BaseSize;
        BytePairVocabulary vocabulary = new(await ConsoleProgress.RunAsync("learning the vocabulary", "merges", most, progress =>
            Task.Run(() => learner.Learn(most, new Count(progress), cancellationToken), cancellationToken)));
        if (vocabulary.Size < request.Vocabulary)
        {
            Console.Error.WriteLine($"the corpus gives a vocabulary of {vocabulary.Size} tokens, not {request.Vocabulary}: no other pair stands in it twice");
        }
        return vocabulary;
    }

    private async Task<TrainingResult> RunAsync(TrainableModelHandle model, TrainerHandle trainer, TrainingPlan plan, CheckpointFolder folder, FreshModelFile fresh, CancellationToken cancellationToken)
    {
        TrainingRun run = new(model, trainer, plan, folder, fresh.Hash());
        TrainingProgress? last = null;
        long planned = trainer.Memory.Total;
        return await ConsoleProgress.RunAsync(
            "training",
            plan.Steps,
            _ => Volatile.Read(ref last) is { } now ? TrainJob.Describe(now, planned) : "the first step",
            progress => Task.Run(
                () => run.Run(request.Resume, new Steps(now =>
                {
                    Volatile.Write(ref last, now);
                    progress.Report(now.Step);
                    _memory.Sample();
                }), cancellationToken),
                CancellationToken.None));
    }

    // The file that was written, as the engine serves it, against what the trainer holds.
    private static async Task<ParityResult> CheckAsync(TrainingPlan plan, string path, TrainerHandle trainer, TrainingPrecision precision)
    {
        ParityCheck check = await ConsoleProgress.RunAsync("scoring with the engine", 1, static _ => "for the parity check", _ =>
            ParityCheck.ScoreAsync(plan, path, plan.Options.SequenceLength, null, plan.Options.Threads, CancellationToken.None));
        ParityResult result = await Task.Run(() => check.Compare(trainer, precision, static () => { }, CancellationToken.None));
        await Console.Error.WriteLineAsync($"parity with the engine: {result}");
        return result;
    }

    private static void Tell(TrainingPlan plan, TrainerMemory memory, TrainableModelInfo model, int documents) => Console.Error.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{model.Parameters / 1e6:0.00} million weights, vocabulary {model.Vocabulary}; {documents} documents in {plan.Train.Count} sequences{(plan.Validation.Count > 0 ? $", {plan.Validation.Count} to validate on" : "")}: {plan.Steps} steps, {plan.Tokens} tokens, batches {plan.Fill:P1} full; memory {ByteText.Of(memory.Total)} beyond the fresh model's file"));

    private static void Between(string option, int value, int low, int high) => Check(option, value >= low && value <= high, $"{value} does not lie between {low} and {high}");

    private static void Check(string option, bool right, string reason)
    {
        if (!right)
        {
            throw new SettingException(option, reason);
        }
    }

    private sealed class Count(IProgress<double> progress) : IProgress<int>
    {
        public void Report(int value) => progress.Report(value);
    }

    private sealed class Steps(Action<TrainingProgress> report) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => report(value);
    }
}
