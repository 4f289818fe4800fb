using System.CommandLine;
using System.Diagnostics;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Host.Evaluation;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual eval</c>: loss and exact match on a data set, batched through the scheduler.</summary>
internal static class EvalCommand
{
    private const string Name = "eval";

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create()
    {
        Option<string> model = new("--model") { Description = "The GGUF model.", HelpName = "FILE", Required = true };
        Option<string> adapter = new("--adapter") { Description = "A GGUF LoRA adapter to evaluate on it.", HelpName = "FILE" };
        Option<string> data = new("--data") { Description = "The examples as JSONL: {\"messages\": [...]}, the last being the target, or {\"prompt\", \"completion\"}; optional \"weight\" and \"id\".", HelpName = "FILE", Required = true };
        Option<string> choices = new("--choices") { Description = "The only answers allowed, one a line.", HelpName = "FILE" };
        Option<int?> maxTokens = new("--max-tokens") { Description = "Most tokens of an answer; 0: the loss only (default: what the target needs and some more).", HelpName = "N" };
        Option<int> parallel = new("--parallel") { Description = "Sequences computed at the same time (default: 4).", HelpName = "N", DefaultValueFactory = static _ => 4 };
        Option<int> ctx = new("--ctx") { Description = "Longest example, in tokens (default: the model's own, at most 4096).", HelpName = "N" };
        Option<int> threads = new("--threads") { Description = "Threads that compute (default: one per physical core).", HelpName = "N" };
        Option<int> gpuLayers = new("--gpu-layers") { Description = "Layers to put on the GPU; -1: all (default: 0).", HelpName = "N" };
        Option<string> template = new("--chat-template") { Description = "A Jinja chat template to use instead of the model's own.", HelpName = "FILE" };
        Option<int?> limit = new("--limit") { Description = "Only the first N examples.", HelpName = "N" };
        Option<bool> skipLong = new("--skip-long") { Description = "Leave out examples that are longer than the context, and count them." };
        Option<string> predictions = new("--predictions") { Description = "Write every answer here as JSONL.", HelpName = "FILE" };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new(Name, "Loss and exact match of a model, with or without an adapter, on a data set. Answers are greedy (temperature 0).")
        {
            model, adapter, data, choices, maxTokens, parallel, ctx, threads, gpuLayers, template, limit, skipLong, predictions, json,
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(Name, () => RunAsync(
            new Request(
                new ServeOptions
                {
                    Model = parsed.GetValue(model)!,
                    Adapter = parsed.GetValue(adapter),
                    ChatTemplate = parsed.GetValue(template),
                    Parallel = parsed.GetValue(parallel),
                    Ctx = parsed.GetValue(ctx),
                    Threads = parsed.GetValue(threads),
                    GpuLayers = parsed.GetValue(gpuLayers),
                },
                parsed.GetValue(data)!,
                parsed.GetValue(choices),
                parsed.GetValue(maxTokens),
                parsed.GetValue(limit),
                parsed.GetValue(skipLong),
                parsed.GetValue(predictions),
                parsed.GetValue(json)),
            cancel)));
        return command;
    }

    private static async Task<int> RunAsync(Request request, CancellationToken cancellationToken)
    {
        // Everything that may be wrong is found before the model loads, or at least before it computes.
        ServeOptions options = request.Options;
        options.Validate();
        CheckLeast("max-tokens", request.MaxTokens, 0);
        CheckLeast("limit", request.Limit, 1);
        IReadOnlyList<Example> examples = ExampleReader.ReadFile(request.Data, request.Limit ?? int.MaxValue);
        ChoiceSet? choices = request.Choices is { } file ? ChoiceSet.Read(file) : null;
        CheckChoices(request, examples, choices);
        using PredictionFile? predictions = request.Predictions is { } path ? PredictionFile.Create(path) : null;
        string? template = options.ChatTemplate is { } jinja ? await File.ReadAllTextAsync(jinja, cancellationToken) : null;
        await using InferenceEngine engine = await CommandRun.LoadAsync(options, cancellationToken);
        if (!engine.Model.CanGenerate)
        {
            throw new EngineException(EngineError.InvalidRequest, $"'{options.Model}' ({engine.Model.Architecture}) makes embeddings only, so there is no loss to measure. Name a generating model.");
        }
        (List<EncodedExample> encoded, int skipped) = await EncodeAsync(request, engine, template, examples, cancellationToken);
        Stopwatch watch = Stopwatch.StartNew();
        Evaluator evaluator = new(engine, choices, request.MaxTokens);
        ExampleResult[] results = await ConsoleProgress.RunAsync(
            "evaluating", "examples", encoded.Count, progress => evaluator.RunAsync(encoded, progress, cancellationToken));
        double seconds = watch.Elapsed.TotalSeconds;
        EvaluationTotals totals = Evaluator.Total(results);
        predictions?.Write(results, Relaxed);
        if (request.Json)
        {
            CommandRun.WriteJson(json => WriteResult(json, request, totals, skipped, seconds));
        }
        else
        {
            Print(request, totals, skipped, seconds);
        }
        return ExitCodes.Ok;
    }

    private static async Task<(List<EncodedExample> Encoded, int Skipped)> EncodeAsync(Request request, InferenceEngine engine, string? template, IReadOnlyList<Example> examples, CancellationToken cancellationToken)
    {
        ExampleEncoder encoder = new(engine.Text, new ChatPromptBuilder(engine, template), request.Data);
        EncodedExample[] all = await ConsoleProgress.RunAsync("reading", "examples", examples.Count, progress =>
            Task.Run(() => encoder.EncodeAll(examples, encoder.Encode, progress, cancellationToken), cancellationToken));
        List<EncodedExample> encoded = new(all.Length);
        int context = engine.Model.ContextLength;
        int skipped = 0;
        foreach (EncodedExample one in all)
        {
            // Generation needs room for one more token than the prompt.
            int tokens = Math.Max(one.Text.Length, one.Prompt.Length + 1);
            if (tokens <= context)
            {
                encoded.Add(one);
            }
            else if (request.SkipLong)
            {
                skipped++;
            }
            else
            {
                throw new ExampleFormatException(request.Data, one.Example.Line, $"it has {tokens} tokens and the context holds {context}; raise --ctx (the model was trained for {engine.Model.TrainedContext}), or pass --skip-long to leave such examples out");
            }
        }
        return encoded.Count > 0 ? (encoded, skipped) : throw new ExampleFormatException(request.Data, 0, $"every example is longer than the context of {context} tokens; raise --ctx");
    }

    private static void CheckChoices(Request request, IReadOnlyList<Example> examples, ChoiceSet? choices)
    {
        if (choices is not null && examples.FirstOrDefault(e => !choices.Holds(e.Target)) is { } stray)
        {
            throw new ExampleFormatException(request.Data, stray.Line, $"the target is none of the choices in {request.Choices}; add it there, or correct the line");
        }
    }

    private static void CheckLeast(string option, int? value, int least)
    {
        if (value < least)
        {
            throw new SettingException(option, $"{value} is less than {least}");
        }
    }

    private static void WriteResult(Utf8JsonWriter json, Request request, EvaluationTotals totals, int skipped, double seconds)
    {
        json.WriteNumber("examples", totals.Examples);
        json.WriteNumber("skipped", skipped);
        json.WriteFinite("exact_match", request.MaxTokens == 0 ? double.NaN : totals.ExactMatch);
        json.WriteFinite("loss", totals.Loss);
        json.WriteFinite("perplexity", totals.Perplexity);
        json.WriteNumber("tokens", totals.Tokens);
        json.WriteNumber("prompt_tokens", totals.PromptTokens);
        json.WriteNumber("generated_tokens", totals.GeneratedTokens);
        json.WriteNumber("seconds", Math.Round(seconds, 3));
        json.WriteFinite("tokens_per_second", Math.Round(Throughput(totals, seconds), 1));
        json.WriteString("model", request.Options.Model);
        json.WriteString("adapter", request.Options.Adapter);
    }

    private static void Print(Request request, EvaluationTotals totals, int skipped, double seconds)
    {
        Console.Out.WriteLine($"examples     {totals.Examples}{(skipped > 0 ? $" ({skipped} longer than the context left out)" : "")}");
        if (request.MaxTokens != 0)
        {
            Console.Out.WriteLine($"exact match  {totals.ExactMatch:0.0000} ({totals.ExactMatches} of {totals.Examples})");
        }
        Console.Out.WriteLine($"loss         {totals.Loss:0.000000} nats a token");
        Console.Out.WriteLine($"perplexity   {totals.Perplexity:0.0000}");
        Console.Out.WriteLine($"tokens       {totals.Tokens} scored, {totals.PromptTokens} of prompts, {totals.GeneratedTokens} generated");
        Console.Out.WriteLine($"time         {seconds:0.00} s, {Throughput(totals, seconds):0} tokens a second");
    }

    // All tokens that went through the model, or would have without the prefix cache.
    private static double Throughput(EvaluationTotals totals, double seconds) => (totals.Tokens + totals.PromptTokens + totals.GeneratedTokens) / Math.Max(seconds, 1e-6);

    private sealed record Request(ServeOptions Options, string Data, string? Choices, int? MaxTokens, int? Limit, bool SkipLong, string? Predictions, bool Json);
}
