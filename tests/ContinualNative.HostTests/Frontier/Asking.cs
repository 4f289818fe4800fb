using System.Collections.Concurrent;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using Microsoft.Extensions.Logging;

namespace ContinualNative.HostTests.Frontier;

/// <summary>What the tests of the frontier client share.</summary>
internal static class Asking
{
    public static CancellationToken Token => TestContext.Current.CancellationToken;

    public static FrontierClient Client(params FrontierEndpointOptions[] endpoints) => Client(new FrontierOptions { Breaker = new FrontierBreakerOptions { MinimumCalls = 1000 } }, null, null, endpoints);

    public static FrontierClient Client(FrontierOptions options, MessageLog? log, TimeProvider? time, params FrontierEndpointOptions[] endpoints) => new(
        options with { Endpoints = endpoints, RetryDelay = TimeSpan.FromMilliseconds(1) },
        log ?? new MessageLog(),
        time: time,
        environment: static name => name == "THE_KEY" ? "sk-secret-key" : null);

    public static FrontierRequest Request(string prompt, string? system = null) => new()
    {
        Messages = system is null
            ? [new ChatMessage { Role = "user", Content = prompt }]
            : [new ChatMessage { Role = "system", Content = system }, new ChatMessage { Role = "user", Content = prompt }],
    };

    public static Task<FrontierAnswer> AskAsync(this FrontierClient client, string prompt, FrontierPurpose purpose = FrontierPurpose.Escalation) =>
        client.CompleteAsync(Request(prompt), purpose, Token);

    /// <summary>A whole answer, or a stream's totals.</summary>
    public static async Task<FrontierAnswer> AskAsync(this FrontierClient client, FrontierRequest request, bool stream)
    {
        if (!stream)
        {
            return await client.CompleteAsync(request, FrontierPurpose.Escalation, Token);
        }
        List<FrontierChunk> chunks = await client.CollectAsync(request);
        FrontierAnswer answer = chunks[^1].Answer!;
        Assert.Equal(answer.Text, string.Concat(chunks.Select(static c => c.Text)));
        Assert.Equal(answer.ToolCalls, chunks.SelectMany(static c => c.ToolCalls));
        Assert.All(chunks[..^1], static c => Assert.Null(c.Answer));
        return answer;
    }

    public static async Task<List<FrontierChunk>> CollectAsync(this FrontierClient client, FrontierRequest request)
    {
        List<FrontierChunk> chunks = [];
        await foreach (FrontierChunk chunk in client.StreamAsync(request, FrontierPurpose.Escalation, Token))
        {
            chunks.Add(chunk);
        }
        return chunks;
    }

    public static async Task<FrontierException> FailAsync(this FrontierClient client, FrontierErrorKind kind, bool stream = false, FrontierPurpose purpose = FrontierPurpose.Escalation)
    {
        FrontierException failure = await Assert.ThrowsAsync<FrontierException>(async () =>
        {
            if (stream)
            {
                await client.CollectAsync(Request("Question 1?"));
            }
            else
            {
                await client.AskAsync("Question 1?", purpose);
            }
        });
        Assert.True(kind == failure.Kind, failure.Message);
        return failure;
    }

    public static Money Dollars(decimal dollars) => Money.FromDollars(dollars);
}

/// <summary>Keeps every message that is logged.</summary>
internal sealed class MessageLog : ILogger<FrontierClient>
{
    public ConcurrentQueue<string> Messages { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Messages.Enqueue($"{eventId.Id} {formatter(state, exception)} {exception}");
}

/// <summary>The real clock with jumps: waits take real time, dates move when a test says so.</summary>
internal sealed class JumpingTime : TimeProvider
{
    private long _ticks;

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddTicks(Interlocked.Read(ref _ticks));

    public override long GetTimestamp() => base.GetTimestamp() + (Interlocked.Read(ref _ticks) * TimestampFrequency / TimeSpan.TicksPerSecond);

    public void Jump(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
}
