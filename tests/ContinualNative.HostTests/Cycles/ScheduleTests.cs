using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using ContinualNative.Core.Cycles;
using ContinualNative.HostTests.Signal;

namespace ContinualNative.HostTests.Cycles;

/// <summary>
/// A server that updates itself by the clock under load. 15 seconds; CONTINUAL_SCHEDULE_SECONDS names another time, in which the right answer changes now and then, so that there is
/// always something to learn. Prints how long parts of streams took while it trained and while it did not.
/// </summary>
[Collection(LongCycleCollection.Name)]
public sealed class ScheduleTests(CycleFixture fixture)
{
    // Questions of the load between two changes of the right answer: a minute or two.
    private const int Stable = 900;
    private const int Changes = 40;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Cycles_by_the_clock_fail_no_request_and_drop_no_stream()
    {
        bool set = double.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_SCHEDULE_SECONDS"), NumberStyles.Float, CultureInfo.InvariantCulture, out double asked);
        double seconds = set ? asked : 15;
        string data = await fixture.TaughtAsync();
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data, set ? """{"from_base_every":3}""" : """{"from_base_every":3,"epochs":3}""", "--schedule", "*/2 * * * * *", "--threads", "0");
            await using ChatLoad load = new(server.BaseAddress, set ? [.. Enumerable.Range(0, Changes).SelectMany(change => fixture.Questions(Stable, AnswerOf(change)))] : fixture.Questions(2000));
            ConcurrentQueue<(long At, bool Training)> phases = new();
            using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
            Task watching = WatchAsync(server, phases, stop.Token);
            ConcurrentQueue<(long At, double Milliseconds)> gaps = new();
            Task measuring = MeasureAsync(server, gaps, stop.Token);
            long begun = Stopwatch.GetTimestamp();
            // Time, and one cycle at least, however slow the machine is.
            await CycleCalls.UntilAsync(
                async () =>
                {
                    // What there is to learn: without new labels a cycle ends before it trains.
                    Reply taught = await server.PostAsync("/v1/chat/completions", CycleCalls.Chat(fixture.Questions(1, AnswerOf(set ? load.Asked / Stable : 0))[0], "\"route\":\"frontier\""));
                    Assert.Equal(200, taught.Status);
                    await Task.Delay(300, Cancelled);
                    return Stopwatch.GetElapsedTime(begun).TotalSeconds >= seconds && server.Signal.Store!.Cycles(2).Any(static c => !c.IsActive);
                },
                () => $"a cycle; {server.Cycles.Progress}",
                TimeSpan.FromSeconds(seconds + 300));
            await load.EndAsync();
            await stop.CancelAsync();
            await watching;
            await measuring;
            CycleCalls.CheckPromotions(server.Signal.Store!);
            IReadOnlyList<CycleRecord> cycles = server.Signal.Store!.Cycles(10_000);
            Assert.All(cycles, static c => Assert.Equal(CycleTrigger.Schedule, c.Trigger));
            Assert.DoesNotContain(cycles, static c => c.State == CycleState.Failed);
            Report(load, cycles, gaps, [.. phases]);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    private static string AnswerOf(int change) => change % 2 == 0 ? CycleFixture.Right : CycleFixture.Wrong;

    private static async Task WatchAsync(ContinualServer server, ConcurrentQueue<(long At, bool Training)> phases, CancellationToken cancellationToken)
    {
        try
        {
            bool? before = null;
            while (true)
            {
                bool training = server.Cycles.Progress is { State: CycleState.Training };
                if (training != before)
                {
                    phases.Enqueue((Stopwatch.GetTimestamp(), training));
                    before = training;
                }
                await Task.Delay(10, cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }
    }

    // One stream after the other, of a length that no adapter changes; its tokens come one by one, since it is nobody's to judge.
    private static async Task MeasureAsync(ContinualServer server, ConcurrentQueue<(long At, double Milliseconds)> gaps, CancellationToken cancellationToken)
    {
        using HttpClient client = new() { BaseAddress = server.BaseAddress };
        while (!cancellationToken.IsCancellationRequested)
        {
            using HttpRequestMessage request = new(HttpMethod.Post, "/v1/completions")
            {
                Content = new StringContent("""{"prompt":"one two","max_tokens":64,"ignore_eos":true,"route":"local","stream":true}""", Encoding.UTF8, "application/json"),
            };
            using HttpResponseMessage answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancelled);
            Assert.True(answer.IsSuccessStatusCode);
            using StreamReader reader = new(await answer.Content.ReadAsStreamAsync(Cancelled));
            long before = 0;
            string last = "";
            while (await reader.ReadLineAsync(Cancelled) is { } line)
            {
                if (line.Length == 0)
                {
                    continue;
                }
                last = line;
                long now = Stopwatch.GetTimestamp();
                if (before != 0)
                {
                    gaps.Enqueue((now, Stopwatch.GetElapsedTime(before, now).TotalMilliseconds));
                }
                before = now;
            }
            Assert.Equal("data: [DONE]", last);
            // Without a pause the processor is never idle, and training has only what is idle.
            await Task.Delay(250, Cancelled);
        }
    }

    private static void Report(ChatLoad load, IReadOnlyList<CycleRecord> cycles, IEnumerable<(long At, double Milliseconds)> times, (long At, bool Training)[] phases)
    {
        ILookup<bool, double> gaps = times.ToLookup(g => phases.LastOrDefault(p => p.At <= g.At).Training, static g => g.Milliseconds);
        double with = Percentile(gaps[true]), without = Percentile(gaps[false]);
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{cycles.Count} cycles ({string.Join(", ", cycles.GroupBy(static c => c.State).Select(static g => $"{g.Count()} {g.Key}"))}), {load.Answers} answers and {load.Streams} streams, none failed; "
            + $"p99 between tokens {with:0.0} ms while it trained ({gaps[true].Count()}), {without:0.0} ms else ({gaps[false].Count()}), ratio {with / without:0.00}"));
    }

    private static double Percentile(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : sorted[(int)(0.99 * (sorted.Length - 1))];
    }
}
