using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual train</c>: a LoRA adapter for a quantized model, from a data set.</summary>
internal static class TrainCommand
{
    private const string Name = "train";

    private static readonly TrainingOptions Defaults = new();

    public static Command Create()
    {
        Option<string> model = new("--model") { Description = "The GGUF model to train on, of any quantization that is supported.", HelpName = "FILE", Required = true };
        Option<string> data = new("--data") { Description = "The examples as JSONL: {\"messages\": [...]}, the last being the answer, or {\"prompt\", \"completion\"}; optional \"weight\", \"id\", and \"rejected\" for preferences (DPO).", HelpName = "FILE", Required = true };
        Option<string> output = new("--out") { Description = "The adapter to write: a .gguf file, or with --peft a folder.", HelpName = "PATH", Required = true };
        Option<string> init = new("--init") { Description = "An adapter to begin with (.gguf, or a PEFT folder); it is also the reference of --anchor and DPO.", HelpName = "PATH" };
        Option<int> rank = new("--rank") { Description = "Rank of the adapter (default: 16).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Rank };
        Option<double> alpha = new("--alpha") { Description = "Its scale times the rank (default: 32).", HelpName = "X", DefaultValueFactory = static _ => Defaults.Alpha };
        Option<bool> rsLora = new("--rs-lora") { Description = "Scale by the root of the rank." };
        Option<string> targets = new("--targets") { Description = "Layers that get an adapter (default: q,k,v,o,gate,up,down; there is output too).", HelpName = "LIST" };
        Option<double> lr = new("--lr") { Description = "Learning rate (default: 2e-4).", HelpName = "X", DefaultValueFactory = static _ => Defaults.LearningRate };
        Option<double> bRateRatio = new("--b-rate-ratio") { Description = "Learning rate of B over that of A (default: 1).", HelpName = "X", DefaultValueFactory = static _ => Defaults.BRateRatio };
        Option<double> warmup = new("--warmup") { Description = "Share of the steps in which the learning rate grows from 0 (default: 0.05).", HelpName = "X", DefaultValueFactory = static _ => Defaults.Warmup };
        Option<double> finalRate = new("--final-rate") { Description = "Share of the learning rate at which its cosine ends (default: 0.1; 1: constant).", HelpName = "X", DefaultValueFactory = static _ => Defaults.FinalRate };
        Option<double> weightDecay = new("--weight-decay") { Description = "AdamW's weight decay (default: 0).", HelpName = "X" };
        Option<double> clip = new("--clip") { Description = "Largest norm of a step's gradient; 0: none (default: 1).", HelpName = "X", DefaultValueFactory = static _ => Defaults.Clip };
        Option<double> dropout = new("--dropout") { Description = "Share of the adapter's inputs that is dropped (default: 0).", HelpName = "X" };
        Option<int> epochs = new("--epochs") { Description = "How often the data is gone through (default: 3).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Epochs };
        Option<int> batchTokens = new("--batch-tokens") { Description = "Most tokens of a batch (default: 512).", HelpName = "N", DefaultValueFactory = static _ => Defaults.BatchTokens };
        Option<int?> seqLen = new("--seq-len") { Description = "Longest example in tokens; longer prompts lose their front (default: 256).", HelpName = "N" };
        Option<int> accumulate = new("--accumulate") { Description = "Batches to a step (default: 1).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Accumulate };
        Option<ulong> seed = new("--seed") { Description = "Equal seeds give equal adapters (default: 1).", HelpName = "N", DefaultValueFactory = static _ => Defaults.Seed };
        Option<string> precision = new("--precision") { Description = "auto, f32 or bf16 (default: auto, bf16 where the processor multiplies it).", HelpName = "KIND" };
        Option<string> device = new("--device") { Description = "cpu, or the number of an NVIDIA GPU (default: cpu).", HelpName = "WHICH" };
        Option<int> threads = new("--threads") { Description = "Threads that compute (default: one per physical core).", HelpName = "N" };
        Option<bool> lowPriority = new("--low-priority") { Description = "Compute only when nothing else wants the processor." };
        Option<string> memoryBudget = new("--memory-budget") { Description = "Most memory beyond the model's file, such as 1GiB (default: no limit).", HelpName = "SIZE" };
        Option<string> validation = new("--validation") { Description = "Examples to validate on; the best adapter on them is the one that is written.", HelpName = "FILE" };
        Option<double> validationShare = new("--validation-share") { Description = "Or this share of --data, split off by the seed.", HelpName = "X" };
        Option<int> validationEvery = new("--validation-every") { Description = "Steps between validations (default: one after each epoch).", HelpName = "N" };
        Option<int> patience = new("--patience") { Description = "Stop after N validations without a new best.", HelpName = "N" };
        Option<double> anchor = new("--anchor") { Description = "Factor of the divergence from the adapter begun with, or the bare model (default: 0).", HelpName = "X" };
        Option<double> dpoBeta = new("--dpo-beta") { Description = "DPO's beta, for data with \"rejected\" (default: 0.1).", HelpName = "X", DefaultValueFactory = static _ => Defaults.DpoBeta };
        Option<string> checkpoint = new("--checkpoint") { Description = "Folder of the checkpoints (default: beside the adapter); gone when training has ended.", HelpName = "DIR" };
        Option<double> checkpointEvery = new("--checkpoint-every") { Description = "Seconds between checkpoints (default: 300).", HelpName = "N", DefaultValueFactory = static _ => Defaults.CheckpointEvery.TotalSeconds };
        Option<bool> resume = new("--resume") { Description = "Go on from the checkpoint; the result is that of a run never interrupted." };
        Option<bool> noParity = new("--no-parity-check") { Description = "Don't compare the trainer with the engine before the first step." };
        Option<string> template = new("--chat-template") { Description = "A Jinja chat template to use instead of the model's own.", HelpName = "FILE" };
        Option<bool> peft = new("--peft") { Description = "Write a folder in PEFT's form (safetensors)." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new(Name, "Train a LoRA adapter on a quantized GGUF model. Loss is on the answers only. Interrupted, it leaves a checkpoint that --resume goes on from.")
        {
            model, data, output, init, rank, alpha, rsLora, targets, lr, bRateRatio, warmup, finalRate, weightDecay, clip, dropout, epochs, batchTokens, seqLen, accumulate, seed,
            precision, device, threads, lowPriority, memoryBudget, validation, validationShare, validationEvery, patience, anchor, dpoBeta, checkpoint, checkpointEvery, resume, noParity,
            template, peft, json,
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(Name, () => RunAsync(
            new TrainRequest
            {
                Model = parsed.GetValue(model)!,
                Data = parsed.GetValue(data)!,
                Out = parsed.GetValue(output)!,
                Initial = parsed.GetValue(init),
                Validation = parsed.GetValue(validation),
                ChatTemplate = parsed.GetValue(template),
                Checkpoint = parsed.GetValue(checkpoint),
                SequenceLength = parsed.GetValue(seqLen),
                Resume = parsed.GetValue(resume),
                Peft = parsed.GetValue(peft),
                ParityCheck = !parsed.GetValue(noParity),
                Options = new TrainingOptions
                {
                    // The length is chosen when the model is known; until then it must not contradict a small batch.
                    SequenceLength = parsed.GetValue(seqLen) ?? Math.Clamp(parsed.GetValue(batchTokens), 2, Defaults.SequenceLength),
                    BatchTokens = parsed.GetValue(batchTokens),
                    Epochs = parsed.GetValue(epochs),
                    Accumulate = parsed.GetValue(accumulate),
                    Seed = parsed.GetValue(seed),
                    Rank = parsed.GetValue(rank),
                    Alpha = parsed.GetValue(alpha),
                    RsLora = parsed.GetValue(rsLora),
                    Targets = TargetsOf(parsed.GetValue(targets)),
                    LearningRate = parsed.GetValue(lr),
                    BRateRatio = parsed.GetValue(bRateRatio),
                    Warmup = parsed.GetValue(warmup),
                    FinalRate = parsed.GetValue(finalRate),
                    Dropout = parsed.GetValue(dropout),
                    WeightDecay = parsed.GetValue(weightDecay),
                    Clip = parsed.GetValue(clip),
                    Precision = PrecisionOf(parsed.GetValue(precision)),
                    Device = DeviceOf(parsed.GetValue(device)),
                    Threads = parsed.GetValue(threads),
                    LowPriority = parsed.GetValue(lowPriority),
                    MemoryBudget = parsed.GetValue(memoryBudget) is { } size ? ByteSize.Parse("memory-budget", size) : 0,
                    ValidationShare = parsed.GetValue(validationShare),
                    ValidationEvery = parsed.GetValue(validationEvery),
                    Patience = parsed.GetValue(patience),
                    Anchor = parsed.GetValue(anchor),
                    DpoBeta = parsed.GetValue(dpoBeta),
                    CheckpointEvery = Seconds(parsed.GetValue(checkpointEvery)),
                },
            },
            parsed.GetValue(json),
            cancel)));
        return command;
    }

    /// <summary>The set that a list names; null: the seven of a layer.</summary>
    internal static LoraTargets TargetsOf(string? list)
    {
        if (list is null)
        {
            return Defaults.Targets;
        }
        LoraTargets targets = LoraTargets.None;
        foreach (string name in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            targets |= name.ToLowerInvariant() switch
            {
                "q" => LoraTargets.Q,
                "k" => LoraTargets.K,
                "v" => LoraTargets.V,
                "o" => LoraTargets.O,
                "gate" => LoraTargets.Gate,
                "up" => LoraTargets.Up,
                "down" => LoraTargets.Down,
                "output" => LoraTargets.Output,
                "all" => LoraTargets.All,
                _ => throw new SettingException("targets", $"there is no layer '{name}'; there are q, k, v, o, gate, up, down and output"),
            };
        }
        return targets;
    }

    internal static TrainingPrecision? PrecisionOf(string? name) => name?.ToLowerInvariant() switch
    {
        null or "auto" => null,
        "f32" => TrainingPrecision.F32,
        "bf16" => TrainingPrecision.Bf16,
        _ => throw new SettingException("precision", $"'{name}' is none of auto, f32 and bf16"),
    };

    /// <summary>The GPU that a name means; null: the CPU.</summary>
    internal static int? DeviceOf(string? name) =>
        name is null || name.Equals("cpu", StringComparison.OrdinalIgnoreCase) ? null
        : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : throw new SettingException("device", $"'{name}' is neither cpu nor the number of a GPU, such as 0");

    internal static TimeSpan Seconds(double seconds) =>
        seconds is >= 0 and <= 1e7 ? TimeSpan.FromSeconds(seconds) : throw new SettingException("checkpoint-every", string.Create(CultureInfo.InvariantCulture, $"{seconds} does not lie between 0 and 1E+07"));

    private static async Task<int> RunAsync(TrainRequest request, bool json, CancellationToken cancellationToken)
    {
        TrainOutcome outcome;
        try
        {
            outcome = await new TrainJob(request).RunAsync(cancellationToken);
        }
        catch (TrainingInterruptedException e)
        {
            return CommandRun.Fail(Name, $"{e.Message} Go on with: continual {string.Join(' ', Arguments().Select(Quoted))}", ExitCodes.Failed);
        }
        if (outcome.Result.CheckpointFailure is { } failure)
        {
            Console.Error.WriteLine($"warning: {outcome.Result.CheckpointFailures} checkpoints could not be written. {failure}");
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

    internal static string[] Arguments()
    {
        string[] arguments = Environment.GetCommandLineArgs()[1..];
        return arguments.Contains("--resume") ? arguments : [.. arguments, "--resume"];
    }

    internal static string Quoted(string argument) =>
        argument.Length > 0 && argument.All(static c => char.IsLetterOrDigit(c) || "-_./,=:+@%".Contains(c)) ? argument : $"'{argument.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    private static void Write(Utf8JsonWriter json, TrainRequest request, TrainOutcome outcome)
    {
        (TrainingPlan plan, TrainingResult result) = (outcome.Plan, outcome.Result);
        json.WriteString("adapter", outcome.Adapter);
        json.WriteString("model", request.Model);
        json.WriteString("init", request.Initial);
        json.WriteString("objective", plan.IsDpo ? "dpo" : plan.Options.Anchor > 0 ? "anchored" : "likelihood");
        json.WriteNumber("steps", result.Steps);
        json.WriteNumber("skipped", result.Skipped);
        json.WriteNumber("epochs", plan.Options.Epochs);
        json.WriteNumber("examples", plan.Train.Count);
        json.WriteNumber("validation_examples", plan.Validation.Count);
        json.WriteNumber("prompts_cut", (plan.Counts + plan.ValidationCounts).PromptsCut);
        json.WriteNumber("answers_cut", (plan.Counts + plan.ValidationCounts).AnswersCut);
        json.WriteNumber("dropped", (plan.Counts + plan.ValidationCounts).Dropped);
        json.WriteNumber("tokens", result.Tokens);
        json.WriteNumber("answer_tokens", result.Targets);
        json.WriteNumber("fill", Math.Round(plan.Fill, 4));
        json.WriteFinite("loss_first", result.FirstLoss);
        json.WriteFinite("loss_last", result.LastLoss);
        json.WriteFinite("validation_loss", result.BestLoss);
        json.WriteNumber("best_step", result.BestStep);
        json.WriteBoolean("stopped_early", result.StoppedEarly);
        json.WriteStartArray("validations");
        foreach (ValidationPoint point in result.Validations)
        {
            json.WriteStartObject();
            json.WriteNumber("step", point.Step);
            json.WriteFinite("loss", point.Loss);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteFinite("tokens_per_second", Math.Round(result.TokensPerSecond, 1));
        json.WriteNumber("seconds", Math.Round(result.Seconds, 3));
        json.WriteString("precision", outcome.Precision.ToString().ToLowerInvariant());
        json.WriteString("device", plan.Options.Device is { } device ? device.ToString(CultureInfo.InvariantCulture) : "cpu");
        json.WriteNumber("threads", plan.Options.Threads);
        json.WriteNumber("peak_bytes", outcome.PeakBytes);
        if (outcome.PeakAnonymousBytes is { } anonymous)
        {
            json.WriteNumber("peak_anonymous_bytes", anonymous);
        }
        json.WriteStartObject("memory");
        json.WriteNumber("total", outcome.Memory.Total);
        json.WriteNumber("parameters", outcome.Memory.Parameters);
        json.WriteNumber("activations", outcome.Memory.Activations);
        json.WriteNumber("logits", outcome.Memory.Logits);
        json.WriteNumber("scratch", outcome.Memory.Scratch);
        json.WriteNumber("stored_layers", outcome.Memory.StoredLayers);
        json.WriteNumber("logit_rows", outcome.Memory.LogitRows);
        json.WriteEndObject();
        if (outcome.Parity is { } parity)
        {
            json.WriteStartObject("parity");
            json.WriteNumber("tokens", parity.Tokens);
            json.WriteFinite("error", parity.Error);
            json.WriteFinite("largest", parity.Largest);
            json.WriteFinite("tolerance", parity.Tolerance);
            json.WriteEndObject();
        }
        else
        {
            json.WriteNull("parity");
        }
        json.WriteNumber("checkpoint_failures", result.CheckpointFailures);
    }

    private static void Print(TrainOutcome outcome)
    {
        (TrainingPlan plan, TrainingResult result) = (outcome.Plan, outcome.Result);
        string unit = plan.IsDpo ? "a pair" : "a token";
        Write($"adapter      {outcome.Adapter}");
        Write($"steps        {result.Steps}{(result.Skipped > 0 ? $" ({result.Skipped} skipped: gradient not finite)" : "")}{(result.StoppedEarly ? ", stopped early" : "")}, {plan.Train.Count} examples, {plan.Options.Epochs} epochs");
        Write($"loss         {result.FirstLoss:0.0000} at first, {result.LastLoss:0.0000} at last, nats {unit}");
        if (result.Validations.Count > 0)
        {
            Write($"validation   {result.Validations[0].Loss:0.0000} before, {result.BestLoss:0.0000} at best, after step {result.BestStep}");
            if (result.BestStep == 0)
            {
                Write($"             training made it worse: the adapter written is the one begun with");
            }
        }
        Write($"tokens       {result.Tokens} ({result.Targets} of answers), batches {plan.Fill:P1} full");
        Write($"time         {result.Seconds:0.00} s, {result.TokensPerSecond:0} tokens a second");
        Write($"memory       {ByteText.Of(outcome.Memory.Total)} beyond the model's file, peak {ByteText.Of(outcome.PeakBytes)} with it");

        static void Write(FormattableString line) => Console.Out.WriteLine(FormattableString.Invariant(line));
    }
}
