using System.Diagnostics;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Host.Benchmarking;

/// <summary>What to measure.</summary>
internal sealed record BenchOptions
{
    public required string Model { get; init; }

    /// <summary>A server that runs already; null: our own, beside the raw loop.</summary>
    public Uri? Url { get; init; }

    public string? Key { get; init; }

    public required IReadOnlyList<int> Concurrency { get; init; }

    public required int PromptTokens { get; init; }

    public required int AnswerTokens { get; init; }

    public required int Repeats { get; init; }

    public required int Threads { get; init; }

    public bool Prefix { get; init; }

    public bool Swap { get; init; }

    /// <summary>Serving and training at once, for each concurrency, in place of the server beside the raw loop; its model, streams, lengths, threads and repeats are those of this record.</summary>
    public SharingOptions? Sharing { get; init; }
}

/// <summary>Runs the measurements. Compared things run by turns in one run, and what counts is the median of their ratios.</summary>
internal sealed class Benchmark(BenchOptions options, Action<string> progress)
{
    private const int PrefixTokens = 400;
    private const int PrefixAnswer = 20;
    private const int PrefixRequests = 16;
    private const int PrefixTail = 8;

    private readonly Random _random = new(7);

    public async Task<BenchReport> RunAsync(CancellationToken cancellationToken)
    {
        List<ThroughputRow> throughput = [];
        PrefixRow? prefix = null;
        SwapRow? swap = null;
        List<SharingRow> sharing = [];
        if (options.Sharing is { } both)
        {
            foreach (int n in options.Concurrency)
            {
                sharing.Add(await new SharingRun(both with { Streams = n }, progress).RunAsync(cancellationToken));
            }
        }
        else if (options.Url is { } url)
        {
            using LoadClient client = new(url, options.Model, options.Key);
            foreach (int n in options.Concurrency)
            {
                throughput.Add(await ThroughputAsync(client, n, vocabulary: 256, raw: null, cancellationToken));
            }
        }
        else
        {
            // The vocabulary only: the raw loop's own copy of the weights comes and goes with each concurrency.
            progress($"loading {options.Model}");
            using LlamaModelHandle model = LlamaModelHandle.Load(options.Model);
            int vocabulary = model.Vocabulary.Size;
            int context = Math.Min(model.TrainedContext, Math.Max(512, options.PromptTokens + options.AnswerTokens));
            foreach (int n in options.Concurrency)
            {
                progress($"{n} concurrent: starting the server");
                await using ServerProcess server = await StartAsync(n, context, [], cancellationToken);
                using LoadClient client = new(server.Address, server.Model, null);
                using RawLoop raw = new(model, n, context, options.Threads, unified: true);
                throughput.Add(await ThroughputAsync(client, n, vocabulary, raw, cancellationToken));
            }
            if (options.Prefix)
            {
                prefix = await PrefixAsync(vocabulary, cancellationToken);
            }
            if (options.Swap)
            {
                swap = await SwapAsync(vocabulary, context, cancellationToken);
            }
        }
        return new BenchReport(Path.GetFileName(options.Model), MachineText(), options.Threads, options.PromptTokens, options.AnswerTokens, options.Repeats, throughput, prefix, swap, sharing);
    }

    private Task<ServerProcess> StartAsync(int parallel, int context, IEnumerable<string> more, CancellationToken cancellationToken) =>
        ServerProcess.StartAsync(
            ["--model", options.Model, "--parallel", $"{parallel}", "--ctx", $"{context}", "--threads", $"{options.Threads}", .. more], cancellationToken);

    private async Task<ThroughputRow> ThroughputAsync(LoadClient client, int n, int vocabulary, RawLoop? raw, CancellationToken cancellationToken)
    {
        List<double> server = [];
        List<double> plain = [];
        List<double> ratios = [];
        List<double> first = [];
        List<double> gaps = [];
        for (int repeat = -1; repeat < options.Repeats; repeat++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int[][] prompts = [.. Enumerable.Range(0, n).Select(_ => Tokens(vocabulary, options.PromptTokens))];
            double rawRate = raw is null ? 0 : n * options.AnswerTokens / raw.Run(prompts, options.AnswerTokens).TotalSeconds;
            long start = Stopwatch.GetTimestamp();
            StreamTiming[] timings = await Task.WhenAll(prompts.Select(p => client.StreamAsync(p, options.AnswerTokens, cancellationToken)));
            double rate = timings.Sum(static t => t.Tokens) / Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (repeat < 0)
            {
                // The first round compiles code and fills caches on both sides.
                continue;
            }
            server.Add(rate);
            first.AddRange(timings.Select(static t => t.FirstToken.TotalMilliseconds));
            gaps.AddRange(timings.SelectMany(static t => t.Gaps));
            if (raw is not null)
            {
                plain.Add(rawRate);
                ratios.Add(rate / rawRate);
            }
            progress(raw is null
                ? $"{n} concurrent, {repeat + 1} of {options.Repeats}: {rate:F1} tok/s"
                : $"{n} concurrent, {repeat + 1} of {options.Repeats}: server {rate:F1} tok/s, raw loop {rawRate:F1} tok/s, ratio {rate / rawRate:F3}");
        }
        return new ThroughputRow
        {
            Concurrency = n,
            Server = Figures.Median(server),
            Raw = raw is null ? null : Figures.Median(plain),
            Ratio = raw is null ? null : Figures.Median(ratios),
            FirstTokenMedianMs = Figures.Median(first),
            FirstTokenP99Ms = Figures.Quantile(first, 0.99),
            InterTokenMedianMs = Figures.Median(gaps),
            InterTokenP99Ms = Figures.Quantile(gaps, 0.99),
        };
    }

    private async Task<PrefixRow> PrefixAsync(int vocabulary, CancellationToken cancellationToken)
    {
        int context = PrefixTokens + PrefixTail + PrefixAnswer;
        progress("shared prefix: starting two servers");
        await using ServerProcess cached = await StartAsync(PrefixRequests, context, [], cancellationToken);
        await using ServerProcess plain = await StartAsync(PrefixRequests, context, ["--no-prefix-cache"], cancellationToken);
        using LoadClient cachedClient = new(cached.Address, cached.Model, null);
        using LoadClient plainClient = new(plain.Address, plain.Model, null);
        List<double> with = [];
        List<double> without = [];
        List<double> speedups = [];
        int cachedTokens = 0;
        for (int repeat = 0; repeat < options.Repeats; repeat++)
        {
            // A prefix that neither server has seen, so that the one with a cache computes it, too: once.
            int[] prefix = Tokens(vocabulary, PrefixTokens);
            int[][] prompts = [.. Enumerable.Range(0, PrefixRequests).Select(_ => (int[])[.. prefix, .. Tokens(vocabulary, PrefixTail)])];
            (double a, cachedTokens) = await TimeAsync(cachedClient, prompts, cancellationToken);
            (double b, _) = await TimeAsync(plainClient, prompts, cancellationToken);
            with.Add(a);
            without.Add(b);
            speedups.Add(b / a);
            progress($"shared prefix, {repeat + 1} of {options.Repeats}: {a:F2} s with the cache, {b:F2} s without, {b / a:F1} ×");
        }
        return new PrefixRow(PrefixRequests, PrefixTokens, PrefixAnswer, Figures.Median(with), Figures.Median(without), Figures.Median(speedups), cachedTokens);

        static async Task<(double Seconds, int Cached)> TimeAsync(LoadClient client, int[][] prompts, CancellationToken cancellationToken)
        {
            long start = Stopwatch.GetTimestamp();
            StreamTiming[] timings = await Task.WhenAll(prompts.Select(p => client.StreamAsync(p, PrefixAnswer, cancellationToken)));
            return (Stopwatch.GetElapsedTime(start).TotalSeconds, timings.Sum(static t => t.CachedTokens));
        }
    }

    private async Task<SwapRow> SwapAsync(int vocabulary, int context, CancellationToken cancellationToken)
    {
        progress("adapter swap: starting the server");
        string adapter = Path.Combine(Path.GetTempPath(), $"continual-bench-{Environment.ProcessId}.gguf");
        try
        {
            SyntheticAdapter.Write(adapter, GgufFile.Read(options.Model));
            await using ServerProcess server = await StartAsync(2, context, [], cancellationToken);
            using LoadClient client = new(server.Address, server.Model, null);
            long start = Stopwatch.GetTimestamp();
            await client.PostAsync("admin/adapters", $$"""{"id":"swap","path":{{System.Text.Json.JsonSerializer.Serialize(adapter)}}}""", cancellationToken);
            double load = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            List<double> baseline = [];
            List<double> swapped = [];
            List<double> ratios = [];
            List<double> firsts = [];
            for (int repeat = -1; repeat < options.Repeats; repeat++)
            {
                await client.PostAsync("admin/adapters/base/promote", null, cancellationToken);
                (double same, _) = await GapAsync(client, vocabulary, promote: false, cancellationToken);
                (double other, double first) = await GapAsync(client, vocabulary, promote: true, cancellationToken);
                if (repeat >= 0)
                {
                    baseline.Add(same);
                    swapped.Add(other);
                    ratios.Add(other / same);
                    firsts.Add(first);
                    progress($"adapter swap, {repeat + 1} of {options.Repeats}: longest gap {other:F0} ms with a swap, {same:F0} ms without");
                }
            }
            return new SwapRow(Figures.Median(baseline), Figures.Median(swapped), Figures.Median(ratios), load, Figures.Median(firsts));
        }
        finally
        {
            File.Delete(adapter);
        }
    }

    // One stream runs; when it is under way, another request starts, under a just promoted adapter or the same one.
    private async Task<(double Gap, double FirstToken)> GapAsync(LoadClient client, int vocabulary, bool promote, CancellationToken cancellationToken)
    {
        TaskCompletionSource running = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<StreamTiming> stream = client.StreamAsync(Tokens(vocabulary, options.PromptTokens), options.AnswerTokens, cancellationToken, onFirstToken: () => running.TrySetResult());
        await Task.WhenAny(running.Task, stream);
        if (promote)
        {
            await client.PostAsync("admin/adapters/swap/promote", null, cancellationToken);
        }
        StreamTiming second = await client.StreamAsync(Tokens(vocabulary, options.PromptTokens), Math.Max(1, options.AnswerTokens / 4), cancellationToken);
        StreamTiming first = await stream;
        return (first.Gaps.Max(), second.FirstToken.TotalMilliseconds);
    }

    private int[] Tokens(int vocabulary, int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = _random.Next(vocabulary / 4, vocabulary / 2);
        }
        return tokens;
    }

    private static string MachineText()
    {
        LlamaDevice? device = LlamaLibrary.Devices() is { Count: > 0 } devices ? devices[0] : null;
        return $"{device?.Description.Trim() ?? "unknown processor"}, {Environment.ProcessorCount} logical processors, {System.Runtime.InteropServices.RuntimeInformation.OSDescription}, llama.cpp {LlamaLibrary.Version}";
    }
}
