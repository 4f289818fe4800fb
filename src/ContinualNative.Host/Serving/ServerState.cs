using System.Diagnostics.CodeAnalysis;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.Serving;

/// <summary>A loaded engine and what serving derives from it once.</summary>
internal sealed record ServedModel(InferenceEngine Engine, ChatPromptBuilder Prompts, string Fingerprint);

/// <summary>Loading, ready or draining; and the requests in flight. Thread-safe.</summary>
internal sealed class ServerState : IDisposable
{
    private readonly CancellationTokenSource _stopNow = new();
    private readonly TaskCompletionSource<ServedModel> _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ServedModel? _model;
    private volatile bool _draining;
    private int _inFlight;

    /// <summary>Share of the model loaded, 0 to 1.</summary>
    public float Progress { get; set; }

    public bool IsDraining => _draining;

    public bool IsReady => _model is not null && !_draining;

    /// <summary>Cancelled when running answers must end at once.</summary>
    public CancellationToken StopNow => _stopNow.Token;

    /// <summary>Run on the loaded model before the server is ready. Set before the server starts.</summary>
    public Func<ServedModel, CancellationToken, Task> BeforeReady { get; set; } = static (_, _) => Task.CompletedTask;

    /// <summary>Completes when the model has loaded; throws what kept it from loading.</summary>
    public Task<ServedModel> Ready => _ready.Task;

    /// <summary>Requests being answered.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    public bool TryGetModel([NotNullWhen(true)] out ServedModel? model) => (model = _model) is not null;

    /// <summary>The model; throws 503 while it loads.</summary>
    public ServedModel Model => _model ?? throw ApiException.Unavailable("loading", $"The model is loading ({Progress:P0}). Try again in a moment.");

    public void SetReady(ServedModel model)
    {
        _model = model;
        _ready.TrySetResult(model);
    }

    public void SetFailed(Exception failure)
    {
        _ready.TrySetException(failure);
        _ = _ready.Task.Exception; // observed: nobody has to wait for it
    }

    /// <summary>Counts a request in; false once the server drains.</summary>
    public bool TryEnter()
    {
        Interlocked.Increment(ref _inFlight);
        // Read after the increment: either the drain sees this request, or this request sees the drain.
        if (!_draining)
        {
            return true;
        }
        Exit();
        return false;
    }

    public void Exit()
    {
        if (Interlocked.Decrement(ref _inFlight) == 0 && _draining)
        {
            _idle.TrySetResult();
        }
    }

    /// <summary>Refuses new requests; completes when those in flight have been answered.</summary>
    public Task DrainAsync()
    {
        _draining = true;
        Interlocked.MemoryBarrier();
        if (InFlight == 0)
        {
            _idle.TrySetResult();
        }
        return _idle.Task;
    }

    /// <summary>Ends running answers.</summary>
    public void Stop() => _stopNow.Cancel();

    public void Dispose() => _stopNow.Dispose();
}
