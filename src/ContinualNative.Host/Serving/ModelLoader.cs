using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Models;

namespace ContinualNative.Host.Serving;

/// <summary>Loads the model once the server listens, so that <c>/ready</c> can tell of it; drains before the server stops listening.</summary>
internal sealed partial class ModelLoader(ServeOptions options, ServerState state, ILoggerFactory loggers, IHostApplicationLifetime lifetime) : IHostedLifecycleService, IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly ILogger _logger = loggers.CreateLogger("ContinualNative.Host");
    private Task _loading = Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        _loading = Task.Run(LoadAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    /// <summary>Runs while the server still listens: new requests get 503, running ones may finish.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        Task idle = state.DrainAsync();
        if (!idle.IsCompleted)
        {
            Draining(_logger, state.InFlight, options.DrainTimeout.TotalSeconds);
        }
        try
        {
            using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, state.StopNow);
            limit.CancelAfter(options.DrainTimeout);
            await idle.WaitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            DrainEnded(_logger, state.InFlight);
            state.Stop();
            // What was told to stop still has its last words to say.
            await Task.WhenAny(idle, Task.Delay(TimeSpan.FromSeconds(2), CancellationToken.None));
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _loading;
        if (state.TryGetModel(out ServedModel? model))
        {
            await model.Engine.DisposeAsync();
        }
    }

    public void Dispose() => _stop.Dispose();

    private async Task LoadAsync()
    {
        InferenceEngine? engine = null;
        try
        {
            string? template = options.ChatTemplate is { } file ? await File.ReadAllTextAsync(file, _stop.Token) : null;
            Loading(_logger, options.Model);
            engine = await InferenceEngine.LoadAsync(options.ToEngine(), loggers, new LoadProgress(this), cancellationToken: _stop.Token);
            ServedModel served = new(engine, new ChatPromptBuilder(engine, template), FingerprintOf(engine.Model));
            Ready(_logger, engine.Model.Name, engine.Model.Description, engine.Options.Parallel, engine.Model.ContextLength);
            await state.BeforeReady(served, _stop.Token);
            state.SetReady(served);
        }
        catch (Exception e)
        {
            if (engine is not null)
            {
                await engine.DisposeAsync();
            }
            state.SetFailed(e);
            lifetime.StopApplication();
        }
    }

    /// <summary>Equal for equal weights and engine, as OpenAI's is for equal back ends.</summary>
    /// <param name="name">The model's name in requests.</param>
    /// <param name="architecture">As <see cref="ModelInfo.Architecture"/>.</param>
    /// <param name="description">As <see cref="ModelInfo.Description"/>.</param>
    /// <param name="parameters">Number of parameters.</param>
    /// <param name="bytes">Bytes of all tensors.</param>
    internal static string FingerprintOf(string name, string architecture, string description, long parameters, long bytes)
    {
        string identity = $"{name}|{architecture}|{description}|{parameters}|{bytes}|{typeof(ModelLoader).Assembly.GetName().Version}";
        return "fp_" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity)).AsSpan(0, 5));
    }

    private static string FingerprintOf(ModelInfo model) => FingerprintOf(model.Name, model.Architecture, model.Description, model.Parameters, model.Bytes);

    private sealed class LoadProgress(ModelLoader loader) : IProgress<float>
    {
        private long _told = Stopwatch.GetTimestamp();

        public void Report(float value)
        {
            loader.State.Progress = value;
            if (Stopwatch.GetElapsedTime(_told) > TimeSpan.FromSeconds(2))
            {
                _told = Stopwatch.GetTimestamp();
                LoadedSoFar(loader._logger, value);
            }
        }
    }

    private ServerState State => state;

    [LoggerMessage(1001, LogLevel.Information, "Loading {Path}")]
    private static partial void Loading(ILogger logger, string path);

    [LoggerMessage(1002, LogLevel.Information, "Loading: {Share:P0}")]
    private static partial void LoadedSoFar(ILogger logger, float share);

    [LoggerMessage(1003, LogLevel.Information, "Ready: {Name} ({Description}), {Parallel} answers at a time, context {Context} tokens")]
    private static partial void Ready(ILogger logger, string name, string description, int parallel, int context);

    [LoggerMessage(1004, LogLevel.Information, "Stopping: waiting up to {Seconds} s for {Requests} running requests (interrupt again to stop at once)")]
    private static partial void Draining(ILogger logger, int requests, double seconds);

    [LoggerMessage(1005, LogLevel.Warning, "Stopping {Requests} requests that still run")]
    private static partial void DrainEnded(ILogger logger, int requests);
}
