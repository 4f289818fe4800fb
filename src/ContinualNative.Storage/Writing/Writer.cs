using System.Collections.Concurrent;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;

namespace ContinualNative.Storage.Writing;

/// <summary>
/// The one thread that writes. Writes come in by a bounded queue and are committed in batches in the order in which they came. While the disk is full or the file
/// is held by somebody else, what is queued stays queued and is tried again with growing pauses; what somebody waits for fails at once; what finds no room is
/// dropped and counted. Serving never waits for a disk that does not work.
/// </summary>
internal sealed partial class Writer : IAsyncDisposable
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    // What the thread waits for, so that those who queue wake it only when it matters.
    private const int Busy = 0;
    private const int WantsAnything = 1;
    private const int WantsCompany = 2;

    private readonly StoreOptions _options;
    private readonly TextCodec _texts;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ConcurrentQueue<Write> _queue = new();
    private readonly SemaphoreSlim _room;
    private readonly AutoResetEvent _wake = new(false);
    private readonly ITimer _timer;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Write> _held = [];
    private CancellationTokenSource _giveUpWaiting = new();
    private volatile StoreException? _failure;
    private volatile bool _due;
    private volatile bool _closing;
    private volatile bool _over;
    private volatile int _mostPages;
    private WriterSession? _session;
    private int _wants;
    private int _queued;
    private long _dropped;
    private long _ignored;
    private long _commits;
    private long _requests;
    private long _outcomes;
    private long _labels;

    public Writer(StoreOptions options, TextCodec texts, TimeProvider time, ILogger logger)
    {
        _options = options;
        _texts = texts;
        _time = time;
        _logger = logger;
        _room = new SemaphoreSlim(options.QueueCapacity, options.QueueCapacity);
        _timer = time.CreateTimer(
            static state =>
            {
                Writer writer = (Writer)state!;
                writer._due = true;
                writer._wake.Set();
            },
            this,
            Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        _session = new WriterSession(options, texts, time);
        _requests = Stored("requests");
        _outcomes = Stored("outcomes");
        _labels = Stored("labels");
        new Thread(Run) { Name = "traffic store", IsBackground = true }.Start();
    }

    public int Queued => Volatile.Read(ref _queued);

    public long Dropped => Interlocked.Read(ref _dropped);

    public long Ignored => Interlocked.Read(ref _ignored);

    public long Commits => Interlocked.Read(ref _commits);

    public long Requests => Interlocked.Read(ref _requests);

    public long Outcomes => Interlocked.Read(ref _outcomes);

    public long Labels => Interlocked.Read(ref _labels);

    public StoreError? Failing => _failure?.Error;

    /// <summary>See <see cref="TrafficStore.MostPages"/>.</summary>
    public int MostPages
    {
        get => _mostPages;
        set => _mostPages = value;
    }

    /// <summary>Queues a record; waits for room while writing works, and drops it when there is none while it does not.</summary>
    public ValueTask RecordAsync(Write write, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_closing, typeof(TrafficStore));
        if (_room.Wait(0, CancellationToken.None))
        {
            Enqueue(write);
            return ValueTask.CompletedTask;
        }
        return RecordWhenThereIsRoomAsync(write, cancellationToken);
    }

    /// <summary>Queues something and completes when it is on disk. Fails at once while writing fails.</summary>
    /// <param name="apply">Does it, in the writer's transaction.</param>
    /// <param name="refuse">Whether a full queue is an error rather than waited for.</param>
    /// <param name="alone">Whether it runs outside of a transaction.</param>
    /// <param name="cancellationToken">Ends the waiting; the write itself may be done all the same.</param>
    public async Task<T> DoAsync<T>(Func<WriterSession, T> apply, bool refuse, bool alone, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_closing, typeof(TrafficStore));
        cancellationToken.ThrowIfCancellationRequested();
        ThrowIfFailing();
        if (!_room.Wait(0, CancellationToken.None))
        {
            if (refuse)
            {
                throw new StoreException(StoreError.Overloaded, $"The traffic store has {_options.QueueCapacity} writes waiting. Try again in a moment.");
            }
            await WaitForRoomAsync(cancellationToken);
            ThrowIfFailing();
        }
        AcknowledgedWrite<T> write = new(apply, alone);
        Enqueue(write);
        return await write.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Writes what is queued, once, and ends the thread.</summary>
    public ValueTask DisposeAsync()
    {
        _closing = true;
        _wake.Set();
        return new ValueTask(_ended.Task);
    }

    private async ValueTask RecordWhenThereIsRoomAsync(Write write, CancellationToken cancellationToken)
    {
        if (_failure is not null || !await WaitForRoomAsync(cancellationToken))
        {
            Interlocked.Increment(ref _dropped);
            return;
        }
        Enqueue(write);
    }

    // false when writing began to fail meanwhile.
    private async Task<bool> WaitForRoomAsync(CancellationToken cancellationToken)
    {
        CancellationToken failing = Volatile.Read(ref _giveUpWaiting).Token;
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(failing, cancellationToken);
        try
        {
            await _room.WaitAsync(either.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private void Enqueue(Write write)
    {
        int queued = Interlocked.Increment(ref _queued);
        _queue.Enqueue(write);
        // The thread says what it wants before it looks at the queue for the last time; the fence keeps this look after our entry.
        Interlocked.MemoryBarrier();
        int wants = Volatile.Read(ref _wants);
        if (wants == WantsAnything || (wants == WantsCompany && (write.Urgent || queued >= _options.BatchSize)))
        {
            _wake.Set();
        }
        if (_over)
        {
            // The thread has ended between the caller's look and its entry.
            FailTheRest();
        }
    }

    private void ThrowIfFailing()
    {
        if (_failure is { } failure)
        {
            throw new StoreException(failure.Error, failure.Message, failure);
        }
    }

    private void Run()
    {
        try
        {
            TimeSpan pause = FirstPause;
            while (Gather())
            {
                if (CommitHeld() is not { } failure)
                {
                    pause = FirstPause;
                    continue;
                }
                BeginToFail(failure);
                if (_closing)
                {
                    break;
                }
                Pause(pause);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
        catch (Exception e)
        {
            // Nothing is expected to come here. If it does, whoever waits is told, and later writes are refused or dropped.
            BeginToFail(StoreErrors.Wrap(e, _options.Path));
        }
        finally
        {
            End();
        }
    }

    // Takes a batch together. false when the store closes and nothing is left.
    private bool Gather()
    {
        Fill();
        while (_held.Count == 0)
        {
            if (_closing && _queue.IsEmpty)
            {
                return false;
            }
            Interlocked.Exchange(ref _wants, WantsAnything);
            if (_queue.IsEmpty && !_closing)
            {
                _wake.WaitOne();
            }
            Interlocked.Exchange(ref _wants, Busy);
            Fill();
        }
        if (_failure is null && _options.BatchDelay > TimeSpan.Zero)
        {
            WaitForCompany();
        }
        return true;
    }

    private void WaitForCompany()
    {
        if (IsReady())
        {
            return;
        }
        _due = false;
        _timer.Change(_options.BatchDelay, Timeout.InfiniteTimeSpan);
        while (!IsReady() && !_due)
        {
            Interlocked.Exchange(ref _wants, WantsCompany);
            Fill();
            if (!IsReady() && !_due)
            {
                _wake.WaitOne();
            }
            Interlocked.Exchange(ref _wants, Busy);
            Fill();
        }
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private bool IsReady() => _closing || _held.Count >= _options.BatchSize || _held[^1].Urgent || _held.Exists(static w => w.Urgent);

    private void Fill()
    {
        while (_held.Count < _options.BatchSize && _queue.TryDequeue(out Write? write))
        {
            _held.Add(write);
        }
    }

    // Commits all that is held, in parts; gives why it could not.
    private StoreException? CommitHeld()
    {
        while (_held.Count > 0)
        {
            try
            {
                _session ??= new WriterSession(_options, _texts, _time);
                _session.Limit(_mostPages);
                int alone = _held.FindIndex(static w => w.Alone);
                if (alone == 0)
                {
                    DoAlone(_session, _held[0]);
                    continue;
                }
                CommitPart(_session, Math.Min(_options.BatchSize, alone < 0 ? _held.Count : alone));
            }
            catch (Exception e)
            {
                Recover(e);
                return StoreErrors.Wrap(e, _options.Path);
            }
        }
        return null;
    }

    private void CommitPart(WriterSession session, int count)
    {
        session.Begin();
        for (int i = 0; i < count; i++)
        {
            try
            {
                _held[i].Apply(session);
            }
            catch (Exception e) when (!StoreErrors.IsEnvironmental(e))
            {
                // This one cannot be written, whatever the disk does: the others are, without it.
                session.RollBack();
                Discard(i, e);
                return;
            }
        }
        session.Commit();
        (long requests, long outcomes, long labels) = session.Added;
        Interlocked.Add(ref _requests, requests);
        Interlocked.Add(ref _outcomes, outcomes);
        Interlocked.Add(ref _labels, labels);
        Interlocked.Add(ref _ignored, session.Ignored);
        Interlocked.Increment(ref _commits);
        Succeed();
        for (int i = 0; i < count; i++)
        {
            _held[i].Committed();
        }
        Release(0, count);
    }

    private void DoAlone(WriterSession session, Write write)
    {
        try
        {
            write.Apply(session);
        }
        catch (Exception e) when (!StoreErrors.IsEnvironmental(e))
        {
            Discard(0, e);
            return;
        }
        Succeed();
        write.Committed();
        Release(0, 1);
    }

    private void Discard(int index, Exception e)
    {
        if (!_held[index].Fail(StoreErrors.Wrap(e, _options.Path)))
        {
            Interlocked.Increment(ref _dropped);
            Unwritable(_logger, e);
        }
        Release(index, 1);
    }

    private void Release(int from, int count)
    {
        _held.RemoveRange(from, count);
        Interlocked.Add(ref _queued, -count);
        _room.Release(count);
    }

    // A full disk or a lock leaves the connection sound. After anything else a new one is opened.
    private void Recover(Exception e)
    {
        try
        {
            _session?.RollBack();
        }
        catch (SqliteException)
        {
            _session?.Dispose();
            _session = null;
            return;
        }
        if (StoreErrors.Wrap(e, _options.Path).Error is not (StoreError.DiskFull or StoreError.Locked))
        {
            _session?.Dispose();
            _session = null;
        }
    }

    private void BeginToFail(StoreException failure)
    {
        bool first = _failure?.Error != failure.Error;
        _failure = failure;
        if (first)
        {
            Failed(_logger, failure.Message);
        }
        Volatile.Read(ref _giveUpWaiting).Cancel();
        FailWhoWaits();
    }

    private void Succeed()
    {
        if (_failure is null)
        {
            return;
        }
        Interlocked.Exchange(ref _giveUpWaiting, new CancellationTokenSource());
        _failure = null;
        Recovered(_logger, Dropped);
    }

    // Holds on to all that is queued: nobody's write may hang there until the next attempt.
    private void FailWhoWaits()
    {
        while (_queue.TryDequeue(out Write? write))
        {
            _held.Add(write);
        }
        StoreException failure = _failure!;
        int told = _held.RemoveAll(write => write.Urgent && write.Fail(new StoreException(failure.Error, failure.Message, failure)));
        if (told > 0)
        {
            Interlocked.Add(ref _queued, -told);
            _room.Release(told);
        }
    }

    private void Pause(TimeSpan pause)
    {
        _due = false;
        _timer.Change(pause, Timeout.InfiniteTimeSpan);
        while (!_due && !_closing)
        {
            Interlocked.Exchange(ref _wants, WantsAnything);
            FailWhoWaits();
            if (!_due && !_closing)
            {
                _wake.WaitOne();
            }
            Interlocked.Exchange(ref _wants, Busy);
            FailWhoWaits();
        }
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private void End()
    {
        _closing = true;
        _over = true;
        Interlocked.MemoryBarrier();
        foreach (Write write in _held)
        {
            GiveUp(write);
        }
        FailTheRest();
        if (Dropped > 0)
        {
            GivenUp(_logger, Dropped);
        }
        Volatile.Read(ref _giveUpWaiting).Cancel();
        _timer.Dispose();
        try
        {
            _session?.Dispose();
        }
        catch (SqliteException e)
        {
            Failed(_logger, StoreErrors.Wrap(e, _options.Path).Message);
        }
        _ended.TrySetResult();
    }

    private void FailTheRest()
    {
        while (_queue.TryDequeue(out Write? write))
        {
            GiveUp(write);
        }
    }

    private void GiveUp(Write write)
    {
        Exception closed = _failure is { } failure
            ? new StoreException(failure.Error, failure.Message, failure)
            : new ObjectDisposedException(nameof(TrafficStore));
        if (!write.Fail(closed))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    private long Stored(string counter) => _session!.Prepared("SELECT value FROM meta WHERE name = ?1").Bind(1, counter).Number() ?? 0;

    [LoggerMessage(6001, LogLevel.Error, "{Reason} Traffic is kept in memory and tried again; feedback is refused meanwhile.")]
    private static partial void Failed(ILogger logger, string reason);

    [LoggerMessage(6002, LogLevel.Information, "The traffic store can be written again; {Dropped} records were given up so far.")]
    private static partial void Recovered(ILogger logger, long dropped);

    [LoggerMessage(6003, LogLevel.Error, "A record could not be stored and was given up.")]
    private static partial void Unwritable(ILogger logger, Exception e);

    [LoggerMessage(6004, LogLevel.Error, "{Dropped} records were given up in all until the store closed.")]
    private static partial void GivenUp(ILogger logger, long dropped);
}
