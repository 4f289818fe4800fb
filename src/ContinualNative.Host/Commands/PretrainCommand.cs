using System.CommandLine;
using System.Text.Json;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;
using ContinualNative.Training;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual pretrain</c>: a small model from nothing but text.</summary>
internal static class PretrainCommand
{
    private const string Name = "pretrain";
    private const int HeadWidth = 64;

    // For models of some million weights and batches of some thousand tokens.
    private static readonly TrainingOptions Defaults = new() { BatchTokens = 2048, Epochs = 4, LearningRate = 2e-3, Beta2 = 0.95, WeightDecay = 0.1 };

    public static Command Create()
    {
        Option<string[]> corpus = new("--corpus")
        {
            Description = "Text in UTF-8: a file is one document, or several with a form feed or a line <|endoftext|> between them. Or .jsonl with {\"text\"}, {\"messages\"} (rendered with the model's chat template; all of it is learned) or {\"prompt\", \"completion\"} on each line.",
            HelpName = "FILE...",
            Required = true,
            AllowMultipleArgumentsPerToken = true,
        };
        Option<string> output = new("--out") { Description = "The model to write, a .gguf file.", HelpName = "FILE", Required = true };
        Option<int> vocab = new("--vocab") { Description = "Tokens of the vocabulary to learn, 260 to 65536 (default: 4096).", HelpName = "N", DefaultValueFactory = static _ => 4096 };
        Option<string> architecture = new("--architecture") { Description = "llama, qwen2 or qwen3 (default: llama).", HelpName = "NAME", DefaultValueFactory = static _ => "llama" };
        Option<int> layers = new("--layers") { Description = "Layers (default: 6).", HelpName = "N", DefaultValueFactory = static _ => 6 };
        Option<int> width = new("--width") { Description = "Length of a token's vector (default: 256).", HelpName = "N", DefaultValueFactory = static _ => 256 };
        Option<int?> heads = new("--heads") { Description = "Attention heads (default: one for each 64 of the width).", HelpName = "N" };
        Option<int?> kvHeads = new("--kv-heads") { Description = "Key and value heads (default: as many).", HelpName = "N" };
        Option<int?> feedForward = new("--feed-forward") { Description = "Inner length of the feed-forward part (default: 8/3 of the width, rounded up to a multiple of 32).", HelpName = "N" };
        Option<int> context = new("--context") { Description = "Longest sequence that the model is for (default: 512).", HelpName = "N", DefaultValueFactory = static _ => 512 };
        Option<bool> untied = new("--untied") { Description = "Give the output projection weights of its own; by default it is the token embedding." };
        Option<string> type = new("--type") { Description = "How the matrices are written: f32, f16, bf16 or q8_0 (default: f16).", HelpName = "TYPE", DefaultValueFactory = static _ => "f16" };
        Option<int> epochs = new("--epochs") { Description = "How often the corpus is gone through (default: 4).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Epochs };
        Option<int> steps = new("--steps") { Description = "Steps instead of epochs.", HelpName = "N" };
        Option<int> batchTokens = new("--batch-tokens") { Description = "Most tokens of a batch (default: 2048).", HelpName = "N", DefaultValueFactory = static _ => Defaults.BatchTokens };
        Option<int?> seqLen = new("--seq-len") { Description = "Tokens of a sequence; longer documents are cut into several (default: 256).", HelpName = "N" };
        Option<int> accumulate = new("--accumulate") { Description = "Batches to a step (default: 1).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Accumulate };
        Option<double> lr = new("--lr") { Description = "Learning rate (default: 2e-3).", HelpName = "X", DefaultValueFactory = static _ => Defaults.LearningRate };
        Option<double> warmup = new("--warmup") { Description = "Share of the steps in which the learning rate grows from 0 (default: 0.05).", HelpName = "X", DefaultValueFactory = static _ => Defaults.Warmup };
        Option<double> finalRate = new("--final-rate") { Description = "Share of the learning rate at which its cosine ends (default: 0.1; 1: constant).", HelpName = "X", DefaultValueFactory = static _ => Defaults.FinalRate };
        Option<double> weightDecay = new("--weight-decay") { Description = "AdamW's weight decay (default: 0.1).", HelpName = "X", DefaultValueFactory = static _ => Defaults.WeightDecay };
        Option<double> clip = new("--clip") { Description = "Largest norm of a step's gradient; 0: none (default: 1).", HelpName = "X", DefaultValueFactory = static _ => Defaults.Clip };
        Option<ulong> seed = new("--seed") { Description = "Equal seeds give equal models (default: 1).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Seed };
        Option<string> precision = new("--precision") { Description = "auto, f32 or bf16 (default: auto, bf16 where the processor multiplies it).", HelpName = "KIND" };
        Option<int> threads = new("--threads") { Description = "Threads that compute (default: one per physical core).", HelpName = "N" };
        Option<bool> lowPriority = new("--low-priority") { Description = "Compute only when nothing else wants the processor." };
        Option<string> memoryBudget = new("--memory-budget") { Description = "Most memory beyond the fresh model's file, such as 1GiB (default: no limit).", HelpName = "SIZE" };
        Option<double> validationShare = new("--validation-share") { Description = "Share of the sequences to validate on, chosen by the seed; the best model on them is the one that is written (default: 0).", HelpName = "X" };
        Option<int> validationEvery = new("--validation-every") { Description = "Steps between validations (default: one after each epoch).", HelpName = "N" };
        Option<int> patience = new("--patience") { Description = "Stop after N validations without a new best.", HelpName = "N" };
        Option<string> checkpoint = new("--checkpoint") { Description = "Folder of the fresh model and the checkpoints (default: beside the model); gone when training has ended.", HelpName = "DIR" };
        Option<double> checkpointEvery = new("--checkpoint-every") { Description = "Seconds between checkpoints (default: 300).", HelpName = "N", DefaultValueFactory = static _ => Defaults.CheckpointEvery.TotalSeconds };
        Option<bool> resume = new("--resume") { Description = "Go on from the checkpoint; the result is that of a run never interrupted." };
        Option<bool> noParity = new("--no-parity-check") { Description = "Don't compare the model that is written, as the engine serves it, with the trainer." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new(Name, "Grow a small model from text: learn a vocabulary, begin with random weights, train them all, write a GGUF model. Interrupted, it leaves a checkpoint that --resume goes on from.")
        {
            corpus, output, vocab, architecture, layers, width, heads, kvHeads, feedForward, context, untied, type, epochs, steps, batchTokens, seqLen, accumulate, lr, warmup, finalRate,
            weightDecay, clip, seed, precision, threads, lowPriority, memoryBudget, validationShare, validationEvery, patience, checkpoint, checkpointEvery, resume, noParity, json,
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(Name, () =>
        {
            int wide = parsed.GetValue(width);
            int headCount = parsed.GetValue(heads) ?? Math.Max(1, wide / HeadWidth);
            return RunAsync(
                new PretrainRequest
                {
                    Corpus = parsed.GetValue(corpus)!,
                    Out = parsed.GetValue(output)!,
                    Vocabulary = parsed.GetValue(vocab),
                    Shape = new SyntheticShape
                    {
                        Name = Path.GetFileNameWithoutExtension(parsed.GetValue(output)!),
                        Architecture = parsed.GetValue(architecture)!.ToLowerInvariant(),
                        Layers = parsed.GetValue(layers),
                        Width = wide,
                        Heads = headCount,
                        KvHeads = parsed.GetValue(kvHeads) ?? headCount,
                        FeedForward = parsed.GetValue(feedForward) ?? (((wide * 8L / 3) + 31) / 32 * 32 is var inner and < 1 << 20 ? (int)inner : 1 << 20),
                        Context = parsed.GetValue(context),
                        TiedEmbeddings = !parsed.GetValue(untied),
                    },
                    Type = TypeOf(parsed.GetValue(type)!),
                    SequenceLength = parsed.GetValue(seqLen),
                    Checkpoint = parsed.GetValue(checkpoint),
                    Resume = parsed.GetValue(resume),
                    ParityCheck = !parsed.GetValue(noParity),
                    Options = new TrainingOptions
                    {
                        BatchTokens = parsed.GetValue(batchTokens),
                        Epochs = parsed.GetValue(epochs),
                        Steps = parsed.GetValue(steps),
                        Accumulate = parsed.GetValue(accumulate),
                        Seed = parsed.GetValue(seed),
                        LearningRate = parsed.GetValue(lr),
                        Warmup = parsed.GetValue(warmup),
                        FinalRate = parsed.GetValue(finalRate),
                        Beta2 = Defaults.Beta2,
                        WeightDecay = parsed.GetValue(weightDecay),
                        Clip = parsed.GetValue(clip),
                        Precision = TrainCommand.PrecisionOf(parsed.GetValue(precision)),
                        Threads = parsed.GetValue(threads),
                        LowPriority = parsed.GetValue(lowPriority),
                        MemoryBudget = parsed.GetValue(memoryBudget) is { } size ? ByteSize.Parse("memory-budget", size) : 0,
                        ValidationShare = parsed.GetValue(validationShare),
                        ValidationEvery = parsed.GetValue(validationEvery),
                        Patience = parsed.GetValue(patience),
                        CheckpointEvery = TrainCommand.Seconds(parsed.GetValue(checkpointEvery)),
                    },
                },
                parsed.GetValue(json),
                cancel);
        }));
        return command;
    }

    private static GgmlType TypeOf(string name) => name.ToLowerInvariant() switch
    {
        "f32" => GgmlType.F32,
        "f16" => GgmlType.F16,
        "bf16" => GgmlType.BF16,
        "q8_0" => GgmlType.Q8_0,
        _ => throw new SettingException("type", $"'{name}' is none of f32, f16, bf16 and q8_0"),
    };

    private static async Task<int> RunAsync(PretrainRequest request, bool json, CancellationToken cancellationToken)
    {
        PretrainOutcome outcome;
        try
        {
            outcome = await new PretrainJob(request).RunAsync(cancellationToken);
        }
        catch (TrainingInterruptedException e)
        {
            return CommandRun.Fail(Name, $"{e.Message} Go on with: continual {string.Join(' ', TrainCommand.Arguments().Select(TrainCommand.Quoted))}", ExitCodes.Failed);
        }
        if (outcome.Result.CheckpointFailure is { } failure)
        {
            await Console.Error.WriteLineAsync($"warning: {outcome.Result.CheckpointFailures} checkpoints could not be written. {failure}");
        }
        if (json)
        {
            CommandRun.WriteJson(writer => Write(writer, request, outcome));
        }
        else
        {
            Print(outcome);
        }
        return ExitCodes.Ok;
    }

    private static void Write(Utf8JsonWriter json, PretrainRequest request, PretrainOutcome outcome)
    {
        (TrainingPlan plan, TrainingResult result) = (outcome.Plan, outcome.Result);
        json.WriteString("model", outcome.Model);
        json.WriteString("architecture", request.Shape.Architecture);
        json.WriteNumber("parameters", outcome.Parameters);
        json.WriteNumber("vocabulary", outcome.Vocabulary);
        json.WriteString("type", request.Type.Name());
        json.WriteNumber("documents", outcome.Documents);
        json.WriteNumber("sequences", plan.Train.Count);
        json.WriteNumber("validation_sequences", plan.Validation.Count);
        json.WriteNumber("steps", result.Steps);
        json.WriteNumber("skipped", result.Skipped);
        json.WriteNumber("epochs", plan.Epochs);
        json.WriteNumber("tokens", result.Tokens);
        json.WriteNumber("fill", Math.Round(plan.Fill, 4));
        json.WriteFinite("loss_first", result.FirstLoss);
        json.WriteFinite("loss_last", result.LastLoss);
        json.WriteFinite("validation_loss", result.BestLoss);
        json.WriteNumber("best_step", result.BestStep);
        json.WriteBoolean("stopped_early", result.StoppedEarly);
        json.WriteFinite("tokens_per_second", Math.Round(result.TokensPerSecond, 1));
        json.WriteNumber("seconds", Math.Round(result.Seconds, 3));
        json.WriteString("precision", outcome.Precision.ToString().ToLowerInvariant());
        json.WriteNumber("threads", plan.Options.Threads);
        json.WriteNumber("peak_bytes", outcome.PeakBytes);
        if (outcome.PeakAnonymousBytes is { } anonymous)
        {
            json.WriteNumber("peak_anonymous_bytes", anonymous);
        }
        json.WriteNumber("memory_bytes", outcome.Memory.Total);
        json.WriteFinite("parity_error", outcome.Parity?.Error ?? double.NaN);
        json.WriteNumber("checkpoint_failures", result.CheckpointFailures);
    }

    private static void Print(PretrainOutcome outcome)
    {
        (TrainingPlan plan, TrainingResult result) = (outcome.Plan, outcome.Result);
        Write($"model        {outcome.Model}: {outcome.Parameters / 1e6:0.00} million weights, {outcome.Vocabulary} tokens");
        Write($"steps        {result.Steps}{(result.Skipped > 0 ? $" ({result.Skipped} skipped: gradient not finite)" : "")}{(result.StoppedEarly ? ", stopped early" : "")}, {outcome.Documents} documents, {plan.Epochs} epochs");
        Write($"loss         {result.FirstLoss:0.0000} at first, {result.LastLoss:0.0000} at last, nats a token");
        if (result.Validations.Count > 0)
        {
            Write($"validation   {result.Validations[0].Loss:0.0000} before, {result.BestLoss:0.0000} at best, after step {result.BestStep}");
        }
        Write($"tokens       {result.Tokens}, batches {plan.Fill:P1} full");
        Write($"time         {result.Seconds:0.00} s, {result.TokensPerSecond:0} tokens a second");
        Write($"memory       {ByteText.Of(outcome.Memory.Total)} beyond the fresh model's file, peak {ByteText.Of(outcome.PeakBytes)} with it");

        static void Write(FormattableString line) => Console.Out.WriteLine(FormattableString.Invariant(line));
    }
}
