using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ContinualNative.Engine.ChatClient;

/// <summary>
/// The engine of a host: loads when the host starts, or at the first use where nothing is hosted; drains and frees the model when the host stops.
/// </summary>
[SuppressMessage("Performance", "CA1812", Justification = "Made by dependency injection.")]
internal sealed partial class EngineService(IOptions<ContinualNativeOptions> options, ILoggerFactory? loggers = null, TimeProvider? time = null) : IHostedService, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stopping = new();
    private Task<InferenceEngine>? _engine;
    private bool _stopped;

    /// <summary>The engine, or null while it has not loaded.</summary>
    public InferenceEngine? Loaded => _engine is { IsCompletedSuccessfully: true } engine ? engine.Result : null;

    /// <summary>The name by which requests address the model.</summary>
    public string ModelName => options.Value.ModelName ?? Path.GetFileNameWithoutExtension(options.Value.ModelPath);

    public TimeProvider? Time => time;

    /// <summary>The engine, loaded if need be. The token gives up waiting, not loading.</summary>
    public ValueTask<InferenceEngine> GetAsync(CancellationToken cancellationToken)
    {
        Task<InferenceEngine> engine;
        lock (_gate)
        {
            if (_stopped)
            {
                throw new EngineException(EngineError.ShuttingDown, "The engine has stopped and takes no more requests.");
            }
            engine = _engine ??= InferenceEngine.LoadAsync(options.Value.ToEngineOptions(), loggers, time: time, cancellationToken: _stopping.Token);
        }
        return engine.IsCompletedSuccessfully ? new ValueTask<InferenceEngine>(engine.Result) : new ValueTask<InferenceEngine>(engine.WaitAsync(cancellationToken));
    }

    public async Task StartAsync(CancellationToken cancellationToken) => await GetAsync(cancellationToken);

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (Loaded is { } engine)
        {
            using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            limit.CancelAfter(options.Value.DrainTimeout);
            try
            {
                await engine.DrainAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                // What still runs is cancelled below.
            }
        }
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Task<InferenceEngine>? engine;
        lock (_gate)
        {
            _stopped = true;
            engine = _engine;
        }
        await _stopping.CancelAsync();
        if (engine is null)
        {
            return;
        }
        try
        {
            await (await engine).DisposeAsync();
        }
        catch (Exception) when (engine.IsFaulted || engine.IsCanceled)
        {
            // It never loaded; whoever waited for it has been told.
        }
    }
}
