using System.Diagnostics;
using System.Globalization;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Signal;

/// <summary>
/// Requests are stored by the thousand while the server answers: none is lost, and chats go on. 3,000 requests; CONTINUAL_STORE_ROWS names another number, and
/// what chats and the writer take is written to the test's output.
/// </summary>
public sealed class StoreLoadTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Chats_go_on_while_requests_are_stored_by_the_thousand()
    {
        int rows = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_STORE_ROWS"), CultureInfo.InvariantCulture, out int asked) ? asked : 3000;
        using ModelFiles files = new();
        await using ContinualServer server = await ContinualServer.StartAsync(files.Llama, "--parallel", "4", "--ctx", "256");
        TrafficStore store = server.Signal.Store!;
        List<double> alone = [];
        for (int i = 0; i < Math.Clamp(rows / 1000, 20, 400); i++)
        {
            alone.Add(await ChatAsync(server, i));
        }
        long begin = Stopwatch.GetTimestamp();
        Task writing = Task.Run(() => WriteAsync(store, rows), Cancelled);
        List<double> beside = [];
        while (!writing.IsCompleted)
        {
            beside.Add(await ChatAsync(server, beside.Count));
        }
        await writing;
        await store.FlushAsync(Cancelled);
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        Assert.Empty(store.Check());
        Assert.Equal(rows + alone.Count + beside.Count, store.Statistics.Requests);
        Assert.Equal(0, store.Statistics.Dropped);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{rows} requests stored in {seconds:0.0} s, {rows / seconds:0} a second; chats in ms, median and 99 %: alone {At(alone, 0.5):0.00} and {At(alone, 0.99):0.00} ({alone.Count}), beside {At(beside, 0.5):0.00} and {At(beside, 0.99):0.00} ({beside.Count})");
    }

    private static async Task<double> ChatAsync(ContinualServer server, int i)
    {
        long begin = Stopwatch.GetTimestamp();
        Reply reply = await server.AskAsync($"Where is order {i} that I paid for last Tuesday?");
        Assert.Equal(200, reply.Status);
        return Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
    }

    private static async Task WriteAsync(TrafficStore store, int rows)
    {
        const string Text = "My order has not arrived, and the tracking page shows nothing since Tuesday. What can I do about it, and whom can I call in the meantime?";
        float[] embedding = PromptEmbedder.Embed(Text);
        for (int i = 0; i < rows; i++)
        {
            await store.RecordAsync(
                new RequestRecord
                {
                    Id = $"{i:x8}{0xfeedbeef:x8}{i * 2654435761L % 4294967291L:x8}",
                    At = DateTimeOffset.UtcNow,
                    Kind = RequestKind.Chat,
                    Task = $"task-{i % 7}",
                    Model = "tiny",
                    Adapter = "base",
                    Decision = new RouteDecision { Route = Route.Local, Reason = RouteReason.Confident, PCorrect = 0.9, Threshold = 0.8, Features = new RoutingFeatures(-0.2f, -1f, 0.8f, 0.4f, 24, 60, 0.3f, false, false) },
                    PromptTokens = 60,
                    CompletionTokens = 24,
                    LocalTime = TimeSpan.FromMilliseconds(80),
                    Prompt = $$"""{"messages":[{"role":"user","content":"{{Text}} Order {{i}}."}]}""",
                    LocalAnswer = $"I am sorry that order {i} is late; I have asked the carrier, and you will hear from us by tomorrow.",
                    Embedding = embedding,
                },
                Cancelled);
        }
    }

    private static double At(List<double> values, double share) => values.Count == 0 ? double.NaN : values.Order().ElementAt(Math.Min(values.Count - 1, (int)(share * values.Count)));
}
