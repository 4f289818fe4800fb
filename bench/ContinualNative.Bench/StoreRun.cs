using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Bench;

/// <summary>
/// The traffic store: throughput of its writer, size of a request, what it adds to a request and to a report of feedback, and times of its queries.
/// <c>store [--rows N[,N...]] [--folder DIR] [--seconds S] [--multiply] [--json]</c>: fills to each count in turn and measures there. A folder with a store is filled further;
/// with <c>--multiply</c> by copies of what is there, which is as large and as scattered, and made in a fraction of the time.
/// </summary>
internal static class StoreRun
{
    // Requests between two waits for the disk; two such parts are under way at a time.
    private const int Part = 4096;

    private static readonly int[] Rates = [100, 1000, 4000];

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static async Task<int> RunAsync(string[] args)
    {
        if (Arguments.Parse(args) is not { } arguments)
        {
            Console.Error.WriteLine("store [--rows N[,N...]] [--folder DIR] [--seconds S] [--multiply] [--json]");
            return 2;
        }
        bool temporary = arguments.Folder is null;
        string folder = arguments.Folder ?? Directory.CreateTempSubdirectory("continual-store-bench-").FullName;
        StoreOptions options = new() { Path = Path.Combine(folder, "traffic.db"), QueueCapacity = 8 * Part, OutcomesPerKeyAndHour = int.MaxValue };
        List<StageResult> stages = [];
        try
        {
            foreach (long rows in arguments.Rows)
            {
                stages.Add(await StageAsync(options, rows, arguments));
                if (!arguments.Json)
                {
                    Print(stages[^1]);
                }
            }
        }
        finally
        {
            if (temporary)
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        if (arguments.Json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(stages, Indented));
        }
        return 0;
    }

    private static async Task<StageResult> StageAsync(StoreOptions options, long rows, Arguments arguments)
    {
        double seconds = arguments.Seconds;
        FillResult fill = arguments.Multiply && File.Exists(options.Path) ? Multiply(options, rows) : await FillAsync(options, rows);
        // Closed, so that the log is in the file.
        long bytes = new FileInfo(options.Path).Length;
        await using TrafficStore store = TrafficStore.Open(options);
        long stored = store.Statistics.Requests;
        string[] ids = SomeIds(options, stored);
        List<Latency> latencies = [];
        StoreTraffic traffic = new();
        long next = stored;
        foreach (int rate in Rates)
        {
            (Latency added, Latency idle) = await RecordAtRateAsync(store, traffic, next, rate, seconds);
            latencies.Add(added);
            latencies.Add(idle);
            next += (long)(rate * seconds);
            await store.FlushAsync();
        }
        latencies.Add(await ReportAsync(store, ids, 1, 300));
        latencies.Add(await ReportAsync(store, ids, 16, 2000));
        List<Latency> queries = Query(options, store, stored, ids);
        return new StageResult(stored, fill.Added, fill.Seconds, fill.Added / Math.Max(fill.Seconds, 1e-9), bytes, (double)bytes / stored, store.Statistics.Commits, latencies, queries);
    }

    private static async Task<FillResult> FillAsync(StoreOptions options, long rows)
    {
        await using TrafficStore store = TrafficStore.Open(options);
        StoreTraffic traffic = new();
        long first = store.Statistics.Requests;
        Stopwatch watch = Stopwatch.StartNew();
        Task before = Task.CompletedTask;
        TimeSpan told = TimeSpan.Zero;
        for (long from = first; from < rows; from += Part)
        {
            long to = Math.Min(from + Part, rows);
            List<Task> waiting = new(Part);
            for (long number = from; number < to; number++)
            {
                await store.RecordAsync(traffic.Request(number));
                await store.RecordAsync(StoreTraffic.Cost(number));
                if (StoreTraffic.HasOutcome(number))
                {
                    waiting.Add(store.AddOutcomeAsync(StoreTraffic.Outcome(number)));
                }
                if (StoreTraffic.HasLabel(number))
                {
                    await store.RecordAsync(traffic.Label(number));
                }
            }
            await before;
            before = Task.WhenAll(waiting);
            if (watch.Elapsed - told > TimeSpan.FromSeconds(5))
            {
                told = watch.Elapsed;
                double rate = (to - first) / told.TotalSeconds;
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{to:N0} of {rows:N0} requests, {rate:N0} a second, {TimeSpan.FromSeconds((rows - to) / rate):h\\:mm\\:ss} left"));
            }
        }
        await before;
        await store.FlushAsync();
        foreach (int task in Enumerable.Range(0, first < rows ? StoreTraffic.Tasks : 0))
        {
            await store.SaveCalibrationAsync(StoreTraffic.TaskName(task), StoreTraffic.AdapterName(rows - 1), """{"weights":[0.1,0.2,0.3],"threshold":0.5}""");
        }
        return new FillResult(Math.Max(rows - first, 0), watch.Elapsed.TotalSeconds);
    }

    private static FillResult Multiply(StoreOptions options, long rows)
    {
        Stopwatch watch = Stopwatch.StartNew();
        long added = StoreCopies.Fill(options.Path, rows);
        return new FillResult(added, watch.Elapsed.TotalSeconds);
    }

    private static string[] SomeIds(StoreOptions options, long stored)
    {
        Random random = new(2);
        using Session session = Session.Open(options.Path, TimeSpan.FromSeconds(5), readOnly: true, cacheKibibytes: 1024);
        string[] ids = new string[4000];
        for (int i = 0; i < ids.Length; i++)
        {
            using Statement.Rows row = session.Prepared("SELECT id FROM requests WHERE seq = ?1").Bind(1, random.NextInt64(1, stored + 1)).Open();
            ids[i] = row.Next() ? Convert.ToHexStringLower(row.Blob(0)) : throw new InvalidOperationException("The store has gaps.");
        }
        return ids;
    }

    // Requests come at even distances; the time of the call is taken, and, by turns, that of a call that does nothing: what the machine itself adds.
    private static async Task<(Latency Added, Latency Idle)> RecordAtRateAsync(TrafficStore store, StoreTraffic traffic, long first, int rate, double seconds)
    {
        int count = (int)(rate * seconds);
        double[] added = new double[count];
        double[] idle = new double[count];
        RequestRecord request = traffic.Request(first);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < count; i++)
        {
            long due = start + (long)(i * (double)Stopwatch.Frequency / rate);
            while (Stopwatch.GetTimestamp() < due)
            {
                Thread.Sleep(0);
            }
            long a = Stopwatch.GetTimestamp();
            await NothingAsync();
            long b = Stopwatch.GetTimestamp();
            await store.RecordAsync(request);
            long c = Stopwatch.GetTimestamp();
            idle[i] = Stopwatch.GetElapsedTime(a, b).TotalMilliseconds;
            added[i] = Stopwatch.GetElapsedTime(b, c).TotalMilliseconds;
            request = traffic.Request(first + i + 1);
        }
        return (Latency.Of($"RecordAsync at {rate}/s", added), Latency.Of($"nothing at {rate}/s", idle));
    }

    private static ValueTask NothingAsync() => ValueTask.CompletedTask;

    private static async Task<Latency> ReportAsync(TrafficStore store, string[] ids, int atOnce, int count)
    {
        double[] times = new double[count];
        int next = -1;
        await Task.WhenAll(Enumerable.Range(0, atOnce).Select(_ => Task.Run(async () =>
        {
            for (int i = Interlocked.Increment(ref next); i < count; i = Interlocked.Increment(ref next))
            {
                // A source of its own makes each a new report.
                Outcome outcome = StoreTraffic.Outcome(i) with { RequestId = ids[Random.Shared.Next(ids.Length)], Source = Guid.NewGuid().ToString("N") };
                long start = Stopwatch.GetTimestamp();
                await store.AddOutcomeAsync(outcome);
                times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
        })));
        return Latency.Of($"AddOutcomeAsync, {atOnce} at once", times);
    }

    private static List<Latency> Query(StoreOptions options, TrafficStore store, long stored, string[] ids)
    {
        Random random = new(1);
        DateOnly last = StoreTraffic.DayOf(stored - 1);
        string adapter = store.Samples(null, null, 1)[0].Adapter;
        using Session session = Session.Open(options.Path, TimeSpan.FromSeconds(5), readOnly: true, cacheKibibytes: 16 * 1024);
        return
        [
            Measure("Find", 2000, () => store.Find(ids[random.Next(ids.Length)])),
            Measure("look-up of AddOutcome", 2000, () => LookUp(session, ids[random.Next(ids.Length)])),
            Measure("reports of a key and hour", 2000, () => session.Prepared("SELECT reports FROM feedback_hours WHERE key = ?1 AND hour = ?2").Bind(1, random.Next(50)).Bind(2, random.Next(500_000)).Number()),
            Measure("Samples(task, adapter, 2000)", 300, () => store.Samples(StoreTraffic.TaskName(random.Next(StoreTraffic.Tasks)), adapter, 2000)),
            Measure("Samples(task, any, 2000)", 300, () => store.Samples(StoreTraffic.TaskName(random.Next(StoreTraffic.Tasks)), null, 2000)),
            Measure("Samples(any, any, 2000)", 300, () => store.Samples(null, null, 2000)),
            Measure("Unlabelled(after, 64)", 500, () => store.Unlabelled(random.NextInt64(stored - 200), 64)),
            Measure("Unlabelled(after, 256)", 500, () => store.Unlabelled(random.NextInt64(stored - 400), 256)),
            Measure("RecentLabelled(task, 256)", 500, () => store.RecentLabelled(StoreTraffic.TaskName(random.Next(StoreTraffic.Tasks)), 256)),
            Measure("KnownEmbeddings(256)", 300, () => store.KnownEmbeddings(256)),
            Measure("KnownEmbeddings(2000)", 100, () => store.KnownEmbeddings(2000)),
            Measure("SignalKeys(all, 2000)", 100, () => store.SignalKeys(random.NextInt64(stored / 2), stored, 2000)),
            Measure("OwnKeys(0.5, 2000)", 100, () => store.OwnKeys(random.NextInt64(stored / 2), stored, 0.5, 2000)),
            Measure("SignalRequests(256)", 50, () => store.SignalRequests([.. Enumerable.Range(0, 256).Select(_ => ids[random.Next(ids.Length)])])),
            Measure("LiveOutcomes(2000)", 100, () => store.LiveOutcomes(random.NextInt64(stored / 2), 2000)),
            Measure("LastSequence", 1000, () => store.LastSequence()),
            Measure("Spent", 1000, () => store.Spent(LedgerKind.Teaching, last)),
            Measure("Calibrations", 1000, () => store.Calibrations()),
            Measure("Tasks", 500, () => store.Tasks()),
            Measure("Traffic(30 days)", 200, () => store.Traffic(last.AddDays(-29), last)),
            Measure("Ledger(30 days)", 200, () => store.Ledger(last.AddDays(-29), last)),
        ];
    }

    private static long LookUp(Session session, string id)
    {
        long request = session.Prepared("SELECT seq FROM requests WHERE id = ?1").Bind(1, Convert.FromHexString(id)).Number() ?? 0;
        return session.Prepared("SELECT count(*) FROM outcomes WHERE request = ?1").Bind(1, request).Number() ?? 0;
    }

    private static Latency Measure(string name, int count, Func<object?> query)
    {
        for (int i = 0; i < 20; i++)
        {
            query();
        }
        double[] times = new double[count];
        for (int i = 0; i < count; i++)
        {
            long start = Stopwatch.GetTimestamp();
            query();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        return Latency.Of(name, times);
    }

    private static void Print(StageResult result)
    {
        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.Requests:N0} requests, {result.Bytes / 1e6:N1} MB: {result.BytesPerRequest:N0} bytes a request with its costs, outcomes and labels"));
        if (result.Filled > 0)
        {
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"filled {result.Filled:N0} in {result.FillSeconds:N1} s: {result.RequestsPerSecond:N0} requests a second"));
        }
        foreach (List<Latency> list in (List<Latency>[])[result.Latencies, result.Queries])
        {
            Console.Out.WriteLine();
            Console.Out.WriteLine("| ms | median | p99 | max | of |");
            Console.Out.WriteLine("|---|---|---|---|---|");
            foreach (Latency l in list)
            {
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {l.Name} | {l.Median:0.0000} | {l.P99:0.0000} | {l.Max:0.000} | {l.Count} |"));
            }
        }
        Console.Out.WriteLine();
    }

    private sealed record Arguments(IReadOnlyList<long> Rows, string? Folder, double Seconds, bool Json, bool Multiply)
    {
        public static Arguments? Parse(string[] args)
        {
            Arguments arguments = new([1_000_000], null, 5, false, false);
            for (int i = 0; i < args.Length; i++)
            {
                string? value = i + 1 < args.Length ? args[i + 1] : null;
                switch (args[i])
                {
                    case "--json":
                        arguments = arguments with { Json = true };
                        continue;
                    case "--multiply":
                        arguments = arguments with { Multiply = true };
                        continue;
                    case "--rows" when value is not null && value.Split(',') is { } counts && counts.All(c => long.TryParse(c, CultureInfo.InvariantCulture, out long n) && n >= 1000):
                        arguments = arguments with { Rows = [.. counts.Select(c => long.Parse(c, CultureInfo.InvariantCulture))] };
                        break;
                    case "--folder" when value is not null:
                        arguments = arguments with { Folder = value };
                        break;
                    case "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out double seconds) && seconds > 0:
                        arguments = arguments with { Seconds = seconds };
                        break;
                    default:
                        return null;
                }
                i++;
            }
            return arguments;
        }
    }

    private sealed record FillResult(long Added, double Seconds);

    private sealed record StageResult(long Requests, long Filled, double FillSeconds, double RequestsPerSecond, long Bytes, double BytesPerRequest, long Commits, List<Latency> Latencies, List<Latency> Queries);

    /// <summary>Times in milliseconds.</summary>
    private sealed record Latency(string Name, double Median, double P99, double Max, int Count)
    {
        public static Latency Of(string name, double[] times)
        {
            Array.Sort(times);
            return new Latency(name, times[times.Length / 2], times[(int)(times.Length * 0.99)], times[^1], times.Length);
        }
    }
}
