using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Demo;

/// <summary>The real server and the simulated frontier, both on free ports of the loopback address.</summary>
internal sealed class DemoServer : IAsyncDisposable
{
    /// <summary>Prices of the simulated frontier in dollars per million tokens, about those of large models.</summary>
    public static readonly TokenPrices Prices = new(3, 0.3m, 15);

    private readonly WebApplication _frontier;
    private readonly WebApplication _server;

    private DemoServer(WebApplication frontier, WebApplication server, DemoClock clock, SimulatedKnowledge knowledge, IReadOnlyDictionary<string, string> keys)
    {
        _frontier = frontier;
        _server = server;
        Clock = clock;
        Knowledge = knowledge;
        Clients = keys.ToDictionary(static k => k.Key, k => ClientOf(server, k.Value), StringComparer.Ordinal);
    }

    /// <summary>The two systems that ask: the shop's own, and a partner's.</summary>
    public const string Shop = "shop";

    public const string Partner = "partner";

    public DemoClock Clock { get; }

    public SimulatedKnowledge Knowledge { get; }

    public SimulatedModel Frontier => _frontier.Services.GetRequiredService<SimulatedModel>();

    public SignalHub Signal => _server.Services.GetRequiredService<SignalHub>();

    public CycleService Cycles => _server.Services.GetRequiredService<CycleService>();

    public ServedModel Model => _server.Services.GetRequiredService<ServerState>().Model;

    /// <summary>HTTP clients with their keys, by who asks.</summary>
    public IReadOnlyDictionary<string, HttpClient> Clients { get; }

    /// <summary>Starts both. Throws <see cref="SettingException"/> and what loading a model throws.</summary>
    public static async Task<DemoServer> StartAsync(DemoOptions options, IReadOnlyList<SimulatedRelease> releases, CancellationToken cancellationToken)
    {
        DemoClock clock = new();
        SimulatedKnowledge knowledge = new();
        WebApplication frontier = SimulatedFrontier.Build(new SimulatedFrontierOptions { Knowledge = knowledge, Releases = releases, Seed = options.Seed });
        await frontier.StartAsync(cancellationToken);
        WebApplication? server = null;
        try
        {
            ServeOptions serve = ServeOptionsOf(options, new Uri(ServerBuilder.AddressOf(frontier), "v1"));
            Dictionary<string, string> keys = new(StringComparer.Ordinal);
            ApiKeyStore store = new(options.Data);
            foreach (string who in (ReadOnlySpan<string>)[Shop, Partner])
            {
                keys[who] = store.Create(who, admin: who == Shop, null, null, RoutePreference.Auto, null).Key;
            }
            serve.Validate();
            server = ServerBuilder.Build(serve, ownsProcess: false, clock, options.Log is { } log ? logging => LogTo(logging, log) : null);
            // Stages that wait for traffic look for it as often as it comes here.
            server.Services.GetRequiredService<CycleService>().Interval = TimeSpan.FromMilliseconds(10);
            await server.StartAsync(cancellationToken);
            await server.Services.GetRequiredService<ServerState>().Ready.WaitAsync(cancellationToken);
            return new DemoServer(frontier, server, clock, knowledge, keys);
        }
        catch
        {
            if (server is not null)
            {
                await server.DisposeAsync();
            }
            await frontier.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (HttpClient client in Clients.Values)
        {
            client.Dispose();
        }
        await _server.StopAsync();
        await _server.DisposeAsync();
        await _frontier.StopAsync();
        await _frontier.DisposeAsync();
    }

    private static HttpClient ClientOf(WebApplication server, string key)
    {
        HttpClient client = new() { BaseAddress = ServerBuilder.AddressOf(server), Timeout = TimeSpan.FromMinutes(1) };
        client.DefaultRequestHeaders.Authorization = new("Bearer", key);
        return client;
    }

    private static void LogTo(ILoggingBuilder logging, TextWriter log) => logging.AddProvider(new TextLog(log)).AddFilter("Microsoft", LogLevel.Warning);

    // What somebody with a support desk would set, as flags and a policy file.
    private static ServeOptions ServeOptionsOf(DemoOptions options, Uri frontier)
    {
        string policy = Path.Combine(options.Data, "policy.json");
        bool taught = !options.Without.HasFlag(DemoAblation.NoTeaching);
        File.WriteAllText(policy, JsonSerializer.Serialize(
            new
            {
                tasks = new[] { new { name = "triage", measure = "exact" }, new { name = "policy", measure = "normalized" } },
                teaching = new { daily_labels = 7, strategy = options.Without.HasFlag(DemoAblation.RandomTeaching) ? "random" : "informed", labels_per_cluster = 8, few_labels = 60, head_start = 0.2 },
                curation = new { replay_ratio = options.Without.HasFlag(DemoAblation.NoReplay) ? 0 : 1.5, own_weight = 0.5, half_life = 28, slice_most = 12, evaluation_most = 80, golden_most = 80, pairs = false },
                update = new
                {
                    label_count = 0,
                    on_drift = false,
                    on_new_teacher = false,
                    minimum_examples = 20,
                    from_base_every = 0,
                    anchor = options.Without.HasFlag(DemoAblation.NoAnchor) ? 0 : 0.1,
                    epochs = 4,
                    learning_rate = 2e-3,
                    rank = 16,
                    threads = Processor.PhysicalCores(),
                    gate_labels = taught ? 40 : 0,
                    shadow_least = 10,
                    shadow_hours = 24 * 6,
                    canary_share = 0.3,
                    canary_requests = 12,
                    canary_hours = 24 * 2,
                    watch_requests = 150,
                    keep_adapters = 4,
                    // An adapter on a model this small costs more beside it than on a large one, and the processor is shared with the customers here.
                    gate = new { minimum_fresh = 20, most_fresh = 250, latency_limit = 4.0 },
                },
            },
            CycleJson.Options));
        return new ServeOptions
        {
            Model = options.Model,
            Name = "support-desk",
            Data = options.Data,
            Listen = "http://127.0.0.1:0",
            RequireKey = true,
            Parallel = 8,
            // A model of two million weights: a second thread would wait for the first most of the time.
            Threads = 1,
            Ctx = 256,
            Queue = 1024,
            FrontierUrl = frontier.ToString(),
            FrontierModel = "frontier",
            FrontierPriceIn = Prices.Prompt,
            FrontierPriceCached = Prices.CachedPrompt,
            FrontierPriceOut = Prices.Completion,
            FrontierTrainingAllowed = true,
            MaxEscalation = 0.14,
            TargetRisk = 0.08,
            EscalateBelow = 0.85,
            BudgetWindow = 150,
            Uncalibrated = Route.Local,
            Audit = 0.04,
            Holdout = 0.2,
            // The number of labels is what limits it.
            TeachPerDay = taught ? 0.02m : 0,
            // A small machine with two processors costs about as much.
            MachinePrice = 0.08m,
            NoRedaction = true,
            Policy = policy,
        };
    }

    private sealed class TextLog(TextWriter log) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (log)
            {
                log.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {logLevel} {formatter(state, exception)}{(exception is null ? "" : Environment.NewLine + exception)}");
            }
        }

        public void Dispose()
        {
        }
    }
}
