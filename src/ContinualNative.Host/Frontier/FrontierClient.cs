using System.Runtime.CompilerServices;
using ContinualNative.Core.Economics;
using Polly.CircuitBreaker;

namespace ContinualNative.Host.Frontier;

/// <summary>
/// Asks frontier models, the preferred endpoint first. An endpoint that is down, left alone by its circuit breaker, rate-limited, full, over
/// budget, refuses its key or model, or is silent for too long is passed over for the next, as long as the caller has no part of an answer. Thread-safe.
/// </summary>
internal sealed partial class FrontierClient : IDisposable
{
    private readonly FrontierEndpoint[] _endpoints;
    private readonly FrontierOptions _options;
    private readonly ILogger<FrontierClient> _logger;

    /// <summary>Validates the options and reads the keys; throws <see cref="Serving.SettingException"/>.</summary>
    /// <param name="options">The endpoints, budgets and limits.</param>
    /// <param name="logger">Hears of endpoints that fail, never of prompts, answers or keys.</param>
    /// <param name="spend">The day's spending, primed from the ledger; by default one with the options' budgets that begins at nothing.</param>
    /// <param name="time">The clock; the system's by default.</param>
    /// <param name="environment">Looks up an environment variable; the process's by default.</param>
    public FrontierClient(FrontierOptions options, ILogger<FrontierClient> logger, SpendMeter? spend = null, TimeProvider? time = null, Func<string, string?>? environment = null)
    {
        options.Validate(environment);
        environment ??= Environment.GetEnvironmentVariable;
        time ??= TimeProvider.System;
        _options = options;
        _logger = logger;
        Spend = spend ?? CreateMeter(options, time);
        _endpoints = [.. options.Endpoints.Select(e => new FrontierEndpoint(e, options, e.KeyEnv is { } variable ? environment(variable)!.Trim() : null, Spend, time, c => Charged?.Invoke(c), CircuitChanged))];
    }

    /// <summary>Called for every charge, answers and failures alike, on the thread that it comes up on; it must be quick and not throw.</summary>
    public Action<FrontierCharge>? Charged { get; set; }

    /// <summary>The day's spending and its limits.</summary>
    public SpendMeter Spend { get; }

    /// <summary>Whether there is an endpoint at all.</summary>
    public bool IsConfigured => _endpoints.Length > 0;

    /// <summary>Prices of the preferred endpoint: what a request answered locally would have cost; null without one.</summary>
    public TokenPrices? Prices => IsConfigured ? _endpoints[0].Options.Prices : null;

    /// <summary>The model that the preferred endpoint is asked for; empty without one.</summary>
    public string Model => IsConfigured ? _endpoints[0].Options.Model : "";

    /// <summary>A meter with the options' budgets.</summary>
    public static SpendMeter CreateMeter(FrontierOptions options, TimeProvider? time = null)
    {
        Dictionary<LedgerKind, Money> limits = [];
        if (options.EscalationPerDay is { } escalation)
        {
            limits[LedgerKind.Escalation] = Money.FromDollars(escalation);
        }
        if (options.TeachingPerDay is { } teaching)
        {
            limits[LedgerKind.Teaching] = Money.FromDollars(teaching);
        }
        return new SpendMeter(limits, time);
    }

    /// <summary>How the endpoints do, in order of preference.</summary>
    public IReadOnlyList<FrontierHealth> Health() => [.. _endpoints.Select(static e => e.Health())];

    /// <summary>A whole answer. Throws <see cref="FrontierException"/>, or <see cref="OperationCanceledException"/> when the caller cancels.</summary>
    public async Task<FrontierAnswer> CompleteAsync(FrontierRequest request, FrontierPurpose purpose, CancellationToken cancellationToken)
    {
        FallOver trail = new(this);
        for (int i = 0; i < _endpoints.Length; i++)
        {
            try
            {
                return await _endpoints[i].CompleteAsync(request, purpose, SlotWait(i), cancellationToken);
            }
            catch (FrontierException e)
            {
                trail.PassOver(e);
            }
        }
        throw trail.Failure();
    }

    /// <summary>
    /// An answer as it comes: texts, then whole tool calls, at the end one chunk with the totals. Throws as <see cref="CompleteAsync"/>, and
    /// <see cref="FrontierErrorKind.CutOff"/> when it breaks off after the first chunk. Leaving the loop early ends the call.
    /// </summary>
    public async IAsyncEnumerable<FrontierChunk> StreamAsync(FrontierRequest request, FrontierPurpose purpose, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using FrontierStream stream = await OpenAsync(request, purpose, cancellationToken);
        while (true)
        {
            FrontierChunk? chunk;
            try
            {
                chunk = await stream.NextAsync();
            }
            catch (FrontierException e)
            {
                EndpointFailed(_logger, e.Endpoint, e.Kind, e.Message);
                throw;
            }
            if (chunk is null)
            {
                yield break;
            }
            yield return chunk;
        }
    }

    public void Dispose()
    {
        foreach (FrontierEndpoint endpoint in _endpoints)
        {
            endpoint.Dispose();
        }
    }

    private async Task<FrontierStream> OpenAsync(FrontierRequest request, FrontierPurpose purpose, CancellationToken cancellationToken)
    {
        FallOver trail = new(this);
        for (int i = 0; i < _endpoints.Length; i++)
        {
            try
            {
                return await _endpoints[i].OpenAsync(request, purpose, SlotWait(i), cancellationToken);
            }
            catch (FrontierException e)
            {
                trail.PassOver(e);
            }
        }
        throw trail.Failure();
    }

    private TimeSpan SlotWait(int endpoint) => endpoint == _endpoints.Length - 1 ? _options.SlotWait : TimeSpan.Zero;

    private void CircuitChanged(string endpoint, CircuitState state)
    {
        if (state == CircuitState.Open)
        {
            CircuitOpened(_logger, endpoint, _options.Breaker.Break.TotalSeconds);
        }
        else if (state == CircuitState.Closed)
        {
            CircuitClosed(_logger, endpoint);
        }
    }

    [LoggerMessage(1300, LogLevel.Warning, "{Endpoint} ({Kind}): {Reason}")]
    private static partial void EndpointFailed(ILogger logger, string endpoint, FrontierErrorKind kind, string reason);

    [LoggerMessage(1301, LogLevel.Debug, "{Endpoint} ({Kind}): {Reason}")]
    private static partial void EndpointPassedOver(ILogger logger, string endpoint, FrontierErrorKind kind, string reason);

    [LoggerMessage(1302, LogLevel.Warning, "The frontier endpoint {Endpoint} failed too often; no call goes there for {Seconds} s")]
    private static partial void CircuitOpened(ILogger logger, string endpoint, double seconds);

    [LoggerMessage(1303, LogLevel.Information, "The frontier endpoint {Endpoint} answers again")]
    private static partial void CircuitClosed(ILogger logger, string endpoint);

    /// <summary>The endpoints that one request was refused by.</summary>
    private sealed class FallOver(FrontierClient client)
    {
        private readonly List<FrontierException> _failures = [];

        /// <summary>Notes a failure; throws it on when no other endpoint could do better.</summary>
        public void PassOver(FrontierException failure)
        {
            if (failure.Kind is FrontierErrorKind.OverBudget or FrontierErrorKind.Busy)
            {
                EndpointPassedOver(client._logger, failure.Endpoint, failure.Kind, failure.Message);
            }
            else
            {
                EndpointFailed(client._logger, failure.Endpoint, failure.Kind, failure.Message);
            }
            _failures.Add(failure);
            if (!failure.MayFallOver)
            {
                throw failure;
            }
        }

        public FrontierException Failure()
        {
            if (_failures.Count == 0)
            {
                return new FrontierException(FrontierErrorKind.NotConfigured, "", "No frontier endpoint is configured. Name one with --frontier-url and --frontier-model.");
            }
            if (_failures.Count == 1)
            {
                return _failures[0];
            }
            // What was tried says more than what was not.
            FrontierException main = _failures.LastOrDefault(static f => f.Kind is not (FrontierErrorKind.OverBudget or FrontierErrorKind.Busy))
                ?? _failures.LastOrDefault(static f => f.Kind == FrontierErrorKind.Busy)
                ?? _failures[^1];
            Money cost = _failures.Aggregate(Money.Zero, static (sum, f) => sum + f.Cost);
            return new FrontierException(main.Kind, main.Endpoint, string.Join(" ", _failures.Select(static f => f.Message)), cost);
        }
    }
}
