using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading.Tasks.Sources;
using ContinualNative.Core.Routing;

namespace ContinualNative.Engine.Generation;

/// <summary>
/// One running answer: the engine thread writes, one consumer reads. Dispose it to stop early; the sequence is freed at the engine's
/// next step. Tokens that come while the consumer is busy are handed over together, so a slow consumer never holds up the engine.
/// </summary>
public sealed class RunningAnswer : IDisposable, IThreadPoolWorkItem, IValueTaskSource
{
    private readonly TaskCompletionSource<GenerationResult> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _admitted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Confidence>? _early;
    private readonly Action<RunningAnswer> _onCancel;
    private readonly int _topLogProbs;

    // Decision: a spin lock. It is held for a few instructions only, by two threads at most, and a lock that can block allocates when it first does,
    // which the engine thread must not. The reader swaps buffers under it and reads outside.
    private SpinLock _gate = new(enableThreadOwnerTracking: false);
    private ManualResetValueTaskSourceCore<bool> _signal;
    private CancellationTokenRegistration _registration;
    private Buffer _written;
    private Buffer _read;
    private bool _waiting;
    private bool _woken;
    private bool _ended;
    private int _readers;
    private volatile bool _cancelled;

    internal RunningAnswer(int topLogProbs, Action<RunningAnswer> onCancel, int earlyTokens = 0)
    {
        EarlyTokens = earlyTokens;
        if (earlyTokens > 0)
        {
            _early = new TaskCompletionSource<Confidence>(TaskCreationOptions.RunContinuationsAsynchronously);
            _early.Task.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
        _topLogProbs = topLogProbs;
        _onCancel = onCancel;
        _written = new Buffer(topLogProbs);
        _read = new Buffer(topLogProbs);
        // Faults are reported by whoever reads; unobserved ones are no news.
        _completion.Task.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _admitted.Task.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Completes with the end of the answer; throws <see cref="EngineException"/> when the engine failed.</summary>
    public Task<GenerationResult> Completion => _completion.Task;

    /// <summary>
    /// Completes when the answer has been admitted and its adapter is fixed: the adapter's id, or <c>base</c>. Throws
    /// <see cref="EngineException"/> when it ended before that.
    /// </summary>
    public Task<string> Admitted => _admitted.Task;

    /// <summary>
    /// Completes when <see cref="GenerationRequest.EarlyTokens"/> tokens have been chosen, or the answer has ended before: how sure the model is of them. What has
    /// been generated waits for its reader meanwhile. Throws <see cref="EngineException"/> when the engine failed. Asked for only where the request did.
    /// </summary>
    public Task<Confidence> Early => _early?.Task ?? throw new InvalidOperationException("The request did not ask for an early confidence.");

    internal int EarlyTokens { get; }

    internal bool IsCancelled => _cancelled;

    internal bool WantsLogProbs => _topLogProbs >= 0;

    internal int TopLogProbs => _topLogProbs;

    /// <summary>
    /// The chunks, as they become final. Ends normally for every finish reason but <see cref="FinishReason.Error"/> and a
    /// <see cref="FinishReason.Timeout"/> before the first token, which throw. One reader; cancelling it stops the answer.
    /// </summary>
    public async IAsyncEnumerable<GenerationChunk> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _readers, 1) != 0)
        {
            throw new InvalidOperationException("The answer is being read already.");
        }
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static answer => ((RunningAnswer)answer!).Cancel(), this);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            bool ended = Take(out GenerationChunk? chunk);
            if (chunk is not null)
            {
                yield return chunk;
            }
            else if (ended)
            {
                break;
            }
            else
            {
                await WaitAsync();
            }
        }
        cancellationToken.ThrowIfCancellationRequested();
        if (_completion.Task.IsFaulted)
        {
            await _completion.Task;
        }
    }

    /// <summary>Stops the answer if it still runs.</summary>
    public void Dispose()
    {
        _registration.Dispose();
        Cancel();
    }

    /// <summary>Wakes the reader; called by the thread pool only.</summary>
    void IThreadPoolWorkItem.Execute() => _signal.SetResult(true);

    /// <inheritdoc/>
    void IValueTaskSource.GetResult(short token) => _signal.GetResult(token);

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _signal.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _signal.OnCompleted(continuation, state, token, flags);

    internal void CancelWith(CancellationToken cancellationToken) =>
        _registration = cancellationToken.UnsafeRegister(static answer => ((RunningAnswer)answer!).Cancel(), this);

    internal void MarkAdmitted(string adapter) => _admitted.TrySetResult(adapter);

    /// <summary>Adds final text. Engine thread only; wakes nobody until <see cref="Publish"/>.</summary>
    internal void PushText(ReadOnlySpan<byte> utf8)
    {
        Enter();
        _written.Add(utf8);
        _gate.Exit();
    }

    /// <summary>Adds a chosen token. Engine thread only.</summary>
    internal void PushToken(int token, float logProb, ReadOnlySpan<TokenLogProb> top)
    {
        Enter();
        _written.Add(token, logProb, top);
        _gate.Exit();
    }

    /// <summary>Wakes the reader if it waits for something.</summary>
    internal void Publish()
    {
        Enter();
        bool wake = _waiting && !_woken && (!_written.IsEmpty || _ended);
        _woken |= wake;
        _gate.Exit();
        if (wake)
        {
            // The reader's code runs on the pool, never on the engine thread; the work item is this object, so nothing is allocated.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    internal void MarkEarly(Confidence confidence) => _early?.TrySetResult(confidence);

    internal void End(GenerationResult result)
    {
        _early?.TrySetResult(result.Confidence);
        _admitted.TrySetException(new EngineException(EngineError.Timeout, "The request ended before it was admitted."));
        _completion.TrySetResult(result);
        EndReading();
    }

    internal void Fail(EngineException error)
    {
        _admitted.TrySetException(error);
        _early?.TrySetException(error);
        _completion.TrySetException(error);
        EndReading();
    }

    private void EndReading()
    {
        _registration.Unregister();
        Enter();
        _ended = true;
        _gate.Exit();
        Publish();
    }

    private void Cancel()
    {
        if (!_cancelled && !_completion.Task.IsCompleted)
        {
            _cancelled = true;
            _onCancel(this);
        }
    }

    private bool Take(out GenerationChunk? chunk)
    {
        Enter();
        bool any = !_written.IsEmpty;
        bool ended = _ended;
        if (any)
        {
            (_written, _read) = (_read, _written);
        }
        _gate.Exit();
        if (any)
        {
            chunk = _read.Take();
            return ended;
        }
        chunk = null;
        if (ended)
        {
            _written.Free();
            _read.Free();
        }
        return ended;
    }

    private ValueTask WaitAsync()
    {
        Enter();
        bool ready = !_written.IsEmpty || _ended;
        if (!ready)
        {
            _signal.Reset();
            _waiting = true;
            _woken = false;
        }
        _gate.Exit();
        return ready ? ValueTask.CompletedTask : new ValueTask(this, _signal.Version);
    }

    private void Enter()
    {
        bool taken = false;
        _gate.Enter(ref taken);
    }

    /// <summary>What has come since the reader last looked.</summary>
    private sealed class Buffer(int topLogProbs)
    {
        private byte[] _text = ArrayPool<byte>.Shared.Rent(512);
        private int _textLength;
        private int _tokenCount;
        private int[] _tokens = topLogProbs < 0 ? [] : new int[16];
        private float[] _logProbs = topLogProbs < 0 ? [] : new float[16];
        private TokenLogProb[] _top = topLogProbs <= 0 ? [] : new TokenLogProb[16 * topLogProbs];
        private int _logged;

        public bool IsEmpty => _textLength == 0 && _tokenCount == 0;

        public void Add(ReadOnlySpan<byte> utf8)
        {
            if (_textLength + utf8.Length > _text.Length)
            {
                byte[] larger = ArrayPool<byte>.Shared.Rent((_textLength + utf8.Length) * 2);
                _text.AsSpan(0, _textLength).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(_text, clearArray: true);
                _text = larger;
            }
            utf8.CopyTo(_text.AsSpan(_textLength));
            _textLength += utf8.Length;
        }

        public void Add(int token, float logProb, ReadOnlySpan<TokenLogProb> top)
        {
            _tokenCount++;
            if (topLogProbs < 0)
            {
                return;
            }
            if (_logged == _tokens.Length)
            {
                Array.Resize(ref _tokens, _logged * 2);
                Array.Resize(ref _logProbs, _logged * 2);
                Array.Resize(ref _top, _logged * 2 * topLogProbs);
            }
            _tokens[_logged] = token;
            _logProbs[_logged] = logProb;
            top.CopyTo(_top.AsSpan(_logged * topLogProbs, topLogProbs));
            _logged++;
        }

        public GenerationChunk Take()
        {
            TokenInfo[] infos = _logged == 0 ? [] : new TokenInfo[_logged];
            for (int i = 0; i < infos.Length; i++)
            {
                infos[i] = new TokenInfo(_tokens[i], _logProbs[i], topLogProbs <= 0 ? [] : _top.AsSpan(i * topLogProbs, topLogProbs).ToArray());
            }
            GenerationChunk chunk = new(Encoding.UTF8.GetString(_text, 0, _textLength), _tokenCount, infos);
            _textLength = 0;
            _tokenCount = 0;
            _logged = 0;
            return chunk;
        }

        public void Free()
        {
            if (_text.Length > 0)
            {
                // User text goes back to the pool cleared.
                ArrayPool<byte>.Shared.Return(_text, clearArray: true);
                _text = [];
            }
        }
    }
}
