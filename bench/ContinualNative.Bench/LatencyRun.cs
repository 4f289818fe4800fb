using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;

namespace ContinualNative.Bench;

/// <summary>
/// <c>latency URL_A URL_B [--requests N]</c>: the same chats to two servers by turns, one at a time; what B's requests take beyond A's. Start A with
/// <c>--record off</c> and B with everything on, both on the same model, and look at the difference of medians and of 99th percentiles.
/// </summary>
internal static class LatencyRun
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length < 2)
        {
            await Console.Error.WriteLineAsync("usage: latency URL_A URL_B [--requests N]");
            return 2;
        }
        int requests = args.Length == 4 && args[2] == "--requests" ? int.Parse(args[3], CultureInfo.InvariantCulture) : 2000;
        HttpClient[] servers = [.. args[..2].Select(static url => new HttpClient { BaseAddress = new Uri(url) })];
        List<double>[] times = [[], []];
        long started = Stopwatch.GetTimestamp();
        long told = started;
        for (int i = -50; i < requests; i++)
        {
            string text = $"Order {i} for anna.{i}@example.com has not arrived, and the tracking page shows nothing since Tuesday. What can I do about it, and whom can I call?";
            // By turns, and who goes first by turns too: what comes second finds warmer caches.
            foreach (int which in (ReadOnlySpan<int>)(i % 2 == 0 ? [0, 1] : [1, 0]))
            {
                long begin = Stopwatch.GetTimestamp();
                using HttpResponseMessage answer = servers[which].PostAsJsonAsync("/v1/chat/completions", new { messages = new[] { new { role = "user", content = text } }, max_tokens = 2, temperature = 0 }).GetAwaiter().GetResult();
                answer.EnsureSuccessStatusCode();
                answer.Content.ReadAsStringAsync().GetAwaiter().GetResult();
                if (i >= 0)
                {
                    times[which].Add(Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
                }
            }
            if (Stopwatch.GetElapsedTime(told).TotalSeconds > 2 && i > 0)
            {
                told = Stopwatch.GetTimestamp();
                double rate = i / Stopwatch.GetElapsedTime(started).TotalSeconds;
                await Console.Error.WriteLineAsync($"{i} of {requests}, {rate:0} a second, {(requests - i) / rate:0} s left");
            }
        }
        Console.WriteLine("| ms | median | 90 % | 99 % |");
        Console.WriteLine("|---|---|---|---|");
        double[][] sorted = [.. times.Select(static t => t.Order().ToArray())];
        for (int which = 0; which < 2; which++)
        {
            Console.WriteLine($"| {(which == 0 ? "A" : "B")} | {At(sorted[which], 0.5):0.000} | {At(sorted[which], 0.9):0.000} | {At(sorted[which], 0.99):0.000} |");
        }
        Console.WriteLine($"| B − A | {At(sorted[1], 0.5) - At(sorted[0], 0.5):0.000} | {At(sorted[1], 0.9) - At(sorted[0], 0.9):0.000} | {At(sorted[1], 0.99) - At(sorted[0], 0.99):0.000} |");
        double[] pairs = [.. times[0].Zip(times[1], static (a, b) => b - a).Order()];
        Console.WriteLine($"| of pairs | {At(pairs, 0.5):0.000} | {At(pairs, 0.9):0.000} | {At(pairs, 0.99):0.000} |");
        return 0;
    }

    private static double At(double[] sorted, double share) => sorted[Math.Min(sorted.Length - 1, (int)(share * sorted.Length))];
}
