using System.Globalization;
using System.Net;
using Microsoft.Extensions.Http.Resilience;
using Polly;
using Polly.CircuitBreaker;
using Polly.Retry;

namespace ContinualNative.Host.Frontier;

/// <summary>The HTTP client of one endpoint: retries around a circuit breaker around the time limit of one attempt, then <see cref="GuardHandler"/> and the socket.</summary>
internal sealed class FrontierPipeline : IDisposable
{
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(5);

    private readonly CircuitBreakerStateProvider _circuit = new();
    private long _retries;

    public FrontierPipeline(FrontierEndpointOptions endpoint, FrontierOptions options, TimeProvider time, Action<CircuitState> circuitChanged)
    {
        ResiliencePipelineBuilder<HttpResponseMessage> builder = new() { Name = endpoint.Name, TimeProvider = time };
        if (endpoint.Retries > 0)
        {
            builder.AddRetry(new HttpRetryStrategyOptions
            {
                MaxRetryAttempts = endpoint.Retries,
                BackoffType = DelayBackoffType.Exponential,
                UseJitter = true,
                Delay = options.RetryDelay,
                ShouldRetryAfterHeader = false,
                ShouldHandle = args => ValueTask.FromResult(ShouldRetry(args, options.RetryAfterCap, time)),
                DelayGenerator = args => ValueTask.FromResult(RetryAfter(args.Outcome.Result, time)),
                OnRetry = _ =>
                {
                    Interlocked.Increment(ref _retries);
                    return ValueTask.CompletedTask;
                },
            });
        }
        builder.AddCircuitBreaker(new HttpCircuitBreakerStrategyOptions
        {
            FailureRatio = options.Breaker.FailureRatio,
            MinimumThroughput = options.Breaker.MinimumCalls,
            SamplingDuration = options.Breaker.Window,
            BreakDuration = options.Breaker.Break,
            StateProvider = _circuit,
            OnOpened = _ => Changed(CircuitState.Open),
            OnHalfOpened = _ => Changed(CircuitState.HalfOpen),
            OnClosed = _ => Changed(CircuitState.Closed),
        });
        builder.AddTimeout(new HttpTimeoutStrategyOptions
        {
            TimeoutGenerator = _ => ValueTask.FromResult(CallState.Current?.AttemptLimit() ?? endpoint.Timeout),
        });
        SocketsHttpHandler socket = new()
        {
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionLifetime = ConnectionLifetime,
            UseCookies = false,
        };
        GuardHandler guard = new(socket, sendsKey: endpoint.KeyEnv is not null, options.MaxAnswerBytes, time);
        Client = new HttpClient(new ResilienceHandler(builder.Build()) { InnerHandler = guard }) { Timeout = Timeout.InfiniteTimeSpan };

        ValueTask Changed(CircuitState state)
        {
            circuitChanged(state);
            return ValueTask.CompletedTask;
        }
    }

    public HttpClient Client { get; }

    public CircuitState Circuit => _circuit.CircuitState;

    public long Retries => Interlocked.Read(ref _retries);

    public void Dispose() => Client.Dispose();

    // Not after a time-out: the endpoint had its time, and the next one in line shall get the rest. Not after a failed TLS handshake either,
    // which fails the same way again.
    private static bool ShouldRetry(RetryPredicateArguments<HttpResponseMessage> args, TimeSpan cap, TimeProvider time)
    {
        if (args.Outcome.Exception is { } failure)
        {
            return failure is HttpRequestException { HttpRequestError: not HttpRequestError.SecureConnectionError };
        }
        if (args.Outcome.Result is not { } response || !IsTransient(response.StatusCode))
        {
            return false;
        }
        return RetryAfter(response, time) is not { } wait || (wait <= cap && wait < (CallState.Current?.Left ?? TimeSpan.MaxValue));
    }

    private static bool IsTransient(HttpStatusCode status) =>
        status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || ((int)status >= 500 && status is not (HttpStatusCode.NotImplemented or HttpStatusCode.HttpVersionNotSupported));

    /// <summary>What a response says of when to come again, by <c>Retry-After</c> (RFC 9110, 10.2.3) or the finer <c>retry-after-ms</c>; null when it does not.</summary>
    public static TimeSpan? RetryAfter(HttpResponseMessage? response, TimeProvider time)
    {
        if (response is null)
        {
            return null;
        }
        if (response.Headers.TryGetValues("retry-after-ms", out IEnumerable<string>? values)
            && double.TryParse(values.First(), NumberStyles.Float, CultureInfo.InvariantCulture, out double milliseconds) && milliseconds is >= 0 and < 1e10)
        {
            return TimeSpan.FromMilliseconds(milliseconds);
        }
        TimeSpan? wait = response.Headers.RetryAfter?.Delta ?? (response.Headers.RetryAfter?.Date is { } date ? date - time.GetUtcNow() : null);
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
    }
}
