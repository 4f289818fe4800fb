using System.Collections.Concurrent;
using System.Text;

namespace ContinualNative.HostTests.Cycles;

/// <summary>
/// Clients that ask one question after the other until they are stopped, every second one as a stream. What they got is kept: failures, dropped streams, and which
/// adapter answered whom.
/// </summary>
internal sealed class ChatLoad : IAsyncDisposable
{
    private readonly HttpClient _client;
    private readonly string[] _questions;
    private readonly TimeSpan _pause;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _workers;
    private int _next = -1;
    private int _answers;
    private int _streams;

    public ChatLoad(Uri server, string[] questions, int workers = 2, TimeSpan? pause = null)
    {
        _client = new HttpClient { BaseAddress = server, Timeout = TimeSpan.FromMinutes(2) };
        _questions = questions;
        _pause = pause ?? TimeSpan.FromMilliseconds(50);
        _workers = Task.WhenAll(Enumerable.Range(0, workers).Select(worker => Task.Run(() => WorkAsync(worker))));
    }

    /// <summary>What went wrong, in words.</summary>
    public ConcurrentQueue<string> Failures { get; } = new();

    /// <summary>By user, the adapters that answered, in order.</summary>
    public ConcurrentDictionary<string, List<string>> Adapters { get; } = new(StringComparer.Ordinal);

    /// <summary>Questions begun.</summary>
    public int Asked => Volatile.Read(ref _next) + 1;

    public int Answers => Volatile.Read(ref _answers);

    public int Streams => Volatile.Read(ref _streams);

    /// <summary>Ends when every client has got its last answer; fails if one request did.</summary>
    public async Task EndAsync()
    {
        await _stop.CancelAsync();
        await _workers;
        Assert.Empty(Failures);
        Assert.True(Answers > 0 && Streams > 0, $"{Answers} answers, {Streams} streams");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _workers;
        _client.Dispose();
        _stop.Dispose();
    }

    private async Task WorkAsync(int worker)
    {
        for (int i = 0; !_stop.IsCancellationRequested; i++)
        {
            // A few users each, never two requests of one user at once: so their order is known.
            string user = $"user {worker}-{i / 2 % 6}";
            string question = _questions[Interlocked.Increment(ref _next) % _questions.Length];
            try
            {
                await AskAsync(user, question, stream: i % 2 == 1);
            }
            catch (Exception e)
            {
                Failures.Enqueue(e.Message);
            }
            try
            {
                await Task.Delay(_pause, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                // The last one.
            }
        }
    }

    private async Task AskAsync(string user, string question, bool stream)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/chat/completions")
        {
            Content = new StringContent(CycleCalls.Chat(question, $"\"user\":\"{user}\",\"stream\":{(stream ? "true" : "false")}"), Encoding.UTF8, "application/json"),
        };
        using HttpResponseMessage answer = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        if (!answer.IsSuccessStatusCode)
        {
            Failures.Enqueue($"{(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
            return;
        }
        Adapters.GetOrAdd(user, static _ => []).Add(string.Concat(answer.Headers.GetValues("x-continual-adapter")));
        if (!stream)
        {
            await answer.Content.ReadAsStringAsync();
            Interlocked.Increment(ref _answers);
            return;
        }
        using StreamReader reader = new(await answer.Content.ReadAsStreamAsync());
        string last = "";
        while (await reader.ReadLineAsync() is { } line)
        {
            last = line.Length > 0 ? line : last;
        }
        if (last != "data: [DONE]")
        {
            Failures.Enqueue($"A stream ended with '{last}'.");
        }
        Interlocked.Increment(ref _streams);
    }
}
