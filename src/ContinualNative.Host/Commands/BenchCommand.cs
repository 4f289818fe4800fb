using System.CommandLine;
using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Benchmarking;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;
using Spectre.Console;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual bench</c>: how fast the server is, beside llama.cpp with nothing in its way.</summary>
internal static class BenchCommand
{
    private const int Q4KM = 15;

    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public static Command Create()
    {
        Option<string?> model = new("--model") { Description = "The GGUF file, or with --url the model's name.", HelpName = "FILE" };
        Option<bool> synthetic = new("--synthetic") { Description = "Measure a model of Qwen2-0.5B's shape with random weights as Q4_K_M, written once to the cache folder (about 400 MB)." };
        Option<Uri?> url = new("--url") { Description = "Measure a server that runs already, without the raw loop.", HelpName = "URL" };
        Option<string?> key = new("--key-env") { Description = "Environment variable with that server's API key.", HelpName = "VAR" };
        Option<string> concurrency = new("--concurrency") { Description = "Concurrent streams, separated by commas.", DefaultValueFactory = static _ => "1,4,16" };
        Option<int> prompt = new("--prompt-tokens") { Description = "Tokens of each prompt.", DefaultValueFactory = static _ => 32 };
        Option<int> answer = new("--max-tokens") { Description = "Tokens of each answer.", DefaultValueFactory = static _ => 64 };
        Option<int> repeats = new("--repeats") { Description = "Counted rounds; the median is reported.", DefaultValueFactory = static _ => 5 };
        Option<int> threads = new("--threads") { Description = "Compute threads (default: one per physical core)." };
        Option<bool> prefix = new("--prefix") { Description = "Also measure 16 requests that share a 400-token prefix, with the prefix cache and without." };
        Option<bool> swap = new("--swap") { Description = "Also measure the longest gap in a running stream when an adapter is promoted." };
        Option<bool> train = new("--train") { Description = "Measure serving and training at once instead: each alone and both, by turns, in one process and on one copy of the weights." };
        Option<int> trainTokens = new("--train-tokens") { Description = "With --train: tokens of a training step.", DefaultValueFactory = static _ => 512 };
        Option<double> phase = new("--phase") { Description = "With --train: seconds of each of a round's three runs, at least.", DefaultValueFactory = static _ => 10 };
        Option<double> pause = new("--pause") { Description = "With --train: seconds between two answers of a stream.", DefaultValueFactory = static _ => 0 };
        Option<int?> device = new("--device") { Description = "With --train: the GPU that trains, counted from 0 (default: the CPU, at idle priority).", HelpName = "N" };
        Option<int> layers = new("--gpu-layers") { Description = "With --train: layers that serve on the GPU; -1: all." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new("bench", "Measure throughput, time to first token and inter-token latency of the server, beside a raw llama_decode loop in the same run.")
        {
            model, synthetic, url, key, concurrency, prompt, answer, repeats, threads, prefix, swap, train, trainTokens, phase, pause, device, layers, json,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            bool asJson = parsed.GetValue(json);
            IAnsiConsole errors = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
            try
            {
                if (!TryParse(parsed.GetValue(concurrency)!, out List<int> streams) || parsed.GetValue(prompt) < 1 || parsed.GetValue(answer) < 2 || parsed.GetValue(repeats) < 1)
                {
                    return Fail("--concurrency takes whole numbers from 1 to 128, --prompt-tokens and --repeats at least 1, --max-tokens at least 2.", ExitCodes.BadInput);
                }
                Option[] others = parsed.GetValue(train) ? [url, key, prefix, swap] : [trainTokens, phase, pause, device, layers];
                if (others.FirstOrDefault(o => parsed.GetResult(o) is { Implicit: false }) is { } unused)
                {
                    return Fail($"{unused.Name} means nothing {(parsed.GetValue(train) ? "with" : "without")} --train.", ExitCodes.BadInput);
                }
                if (parsed.GetValue(trainTokens) is < 2 or > 1_000_000 || parsed.GetValue(phase) is not (>= 0.1 and <= 3600) || parsed.GetValue(pause) is not (>= 0 and <= 60))
                {
                    return Fail("--train-tokens is from 2 to 1000000, --phase from 0.1 to 3600 and --pause from 0 to 60 seconds.", ExitCodes.BadInput);
                }
                string? path = parsed.GetValue(model);
                if (parsed.GetValue(synthetic))
                {
                    path = Synthesize(errors, cancellationToken);
                }
                if (path is null)
                {
                    return Fail("pass --model FILE.gguf, or --synthetic for a model with random weights.", ExitCodes.BadInput);
                }
                if (parsed.GetValue(url) is null && !File.Exists(path))
                {
                    return Fail($"there is no file '{path}'.", ExitCodes.BadInput);
                }
                int compute = parsed.GetValue(threads) is > 0 and var n ? n : Processor.PhysicalCores();
                BenchOptions options = new()
                {
                    Sharing = !parsed.GetValue(train) ? null : new SharingOptions
                    {
                        Model = Path.GetFullPath(path),
                        Streams = 0,
                        PromptTokens = parsed.GetValue(prompt),
                        AnswerTokens = parsed.GetValue(answer),
                        Pause = TimeSpan.FromSeconds(parsed.GetValue(pause)),
                        Repeats = parsed.GetValue(repeats),
                        Threads = compute,
                        Phase = TimeSpan.FromSeconds(parsed.GetValue(phase)),
                        TrainTokens = parsed.GetValue(trainTokens),
                        GpuLayers = parsed.GetValue(layers),
                        Device = parsed.GetValue(device),
                    },
                    Model = parsed.GetValue(url) is null ? Path.GetFullPath(path) : path,
                    Url = parsed.GetValue(url),
                    Key = parsed.GetValue(key) is { } variable ? Environment.GetEnvironmentVariable(variable) : null,
                    Concurrency = streams,
                    PromptTokens = parsed.GetValue(prompt),
                    AnswerTokens = parsed.GetValue(answer),
                    Repeats = parsed.GetValue(repeats),
                    Threads = compute,
                    Prefix = parsed.GetValue(prefix),
                    Swap = parsed.GetValue(swap),
                };
                BenchReport report = await new Benchmark(options, errors.WriteLine).RunAsync(cancellationToken);
                if (asJson)
                {
                    Console.WriteLine(JsonSerializer.Serialize(report, Json));
                }
                else
                {
                    Show(report);
                }
                return ExitCodes.Ok;
            }
            catch (OperationCanceledException)
            {
                return Fail("stopped.", ExitCodes.Failed);
            }
            catch (EngineException e)
            {
                return Fail(e.Message, ExitCodes.BadInput);
            }
            catch (TrainerException e)
            {
                return Fail(e.Message, e.Status == TrainerStatus.Argument ? ExitCodes.BadInput : ExitCodes.Failed);
            }
            catch (Exception e) when (e is HttpRequestException or InvalidOperationException or IOException or LlamaException or LlamaLibraryException)
            {
                return Fail(e.Message, ExitCodes.Failed);
            }
        });
        return command;
    }

    private static bool TryParse(string text, out List<int> streams)
    {
        streams = [];
        foreach (string part in text.Split(','))
        {
            if (!int.TryParse(part.Trim(), out int n) || n is < 1 or > 128)
            {
                return false;
            }
            streams.Add(n);
        }
        return streams.Count > 0;
    }

    private static string Synthesize(IAnsiConsole errors, CancellationToken cancellationToken)
    {
        string folder = Path.Combine(Path.GetTempPath(), "continual-bench");
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, "synthetic-qwen2-0.5b-q4_k_m.gguf");
        if (!File.Exists(path))
        {
            errors.WriteLine($"writing {path} (once, about half a minute)");
            string full = path + ".f16.tmp";
            try
            {
                SyntheticModel.Write(full, SyntheticShape.Qwen2_0_5B, cancellationToken: cancellationToken);
                LlamaModelHandle.Quantize(full, path + ".tmp", Q4KM);
                File.Move(path + ".tmp", path, overwrite: true);
            }
            finally
            {
                File.Delete(full);
                File.Delete(path + ".tmp");
            }
        }
        return path;
    }

    private static void Show(BenchReport report)
    {
        Table table = new() { Title = new TableTitle(Markup.Escape($"{report.Model}: {report.PromptTokens} prompt and {report.AnswerTokens} answer tokens, {report.Threads} threads, median of {report.Repeats}")) };
        foreach (string column in (ReadOnlySpan<string>)["streams", "server tok/s", "raw loop tok/s", "server ÷ raw", "first token ms (p99)", "inter-token ms (p99)"])
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        foreach (ThroughputRow row in report.Throughput)
        {
            table.AddRow(
                $"{row.Concurrency}",
                $"{row.Server:F1}",
                row.Raw is { } raw ? $"{raw:F1}" : "–",
                row.Ratio is { } ratio ? $"{ratio:F3}" : "–",
                $"{row.FirstTokenMedianMs:F0} ({row.FirstTokenP99Ms:F0})",
                $"{row.InterTokenMedianMs:F1} ({row.InterTokenP99Ms:F1})");
        }
        if (report.Throughput.Count > 0)
        {
            AnsiConsole.Write(table);
        }
        foreach (SharingRow row in report.Sharing)
        {
            AnsiConsole.Write(SharingTable(report, row));
            AnsiConsole.WriteLine($"A layer of a step takes {row.LayerForwardMs:F1} ms there and {row.LayerBackwardMs:F1} ms back; the longest slice took {row.LongestSliceMs:F1} ms.");
        }
        if (report.Prefix is { } p)
        {
            AnsiConsole.WriteLine($"Shared prefix: {p.Requests} requests with {p.PrefixTokens} common tokens, {p.AnswerTokens}-token answers: {p.WithCacheSeconds:F2} s with the prefix cache, {p.WithoutCacheSeconds:F2} s without: {p.Speedup:F1} times as fast.");
        }
        if (report.Swap is { } s)
        {
            AnsiConsole.WriteLine($"Adapter swap: longest gap in a running stream {s.SwapGapMs:F0} ms with a swap, {s.BaselineGapMs:F0} ms without ({s.Ratio:F2}); loading {s.LoadMs:F0} ms; first token under the new adapter after {s.FirstTokenAfterPromoteMs:F0} ms.");
        }
        AnsiConsole.WriteLine(report.Machine);
    }

    private static Table SharingTable(BenchReport report, SharingRow row)
    {
        string streams = $"{row.Streams} {(row.Streams == 1 ? "stream" : "streams")}";
        Table table = new() { Title = new TableTitle(Markup.Escape($"{report.Model}: {streams}, training steps of {row.TrainTokens} tokens on {row.Device ?? $"{report.Threads} threads"}, {report.Repeats} rounds")) };
        foreach (string column in (ReadOnlySpan<string>)["", "alone", "both", "both ÷ alone"])
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        table.AddRow("served, tok/s", $"{row.ServingAlone:F1}", $"{row.ServingBoth:F1}", $"{row.ServingRatio:F2}");
        table.AddRow("between tokens, ms", $"{row.InterTokenMedianAloneMs:F1}", $"{row.InterTokenMedianBothMs:F1}", "");
        table.AddRow("the same, 99 %", $"{row.InterTokenP99AloneMs:F1}", $"{row.InterTokenP99BothMs:F1}", $"{row.InterTokenP99Ratio:F2}");
        table.AddRow("trained, tok/s", $"{row.TrainingAlone:F1}", $"{row.TrainingBoth:F1}", $"{row.TrainingRatio:F2}");
        return table;
    }

    private static int Fail(string message, int exit)
    {
        Console.Error.WriteLine($"continual bench: {message}");
        return exit;
    }
}
