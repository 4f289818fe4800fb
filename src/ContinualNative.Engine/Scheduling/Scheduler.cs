using System.Diagnostics;
using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using ContinualNative.Engine.Sampling;
using ContinualNative.Interop.Llama;
using Microsoft.Extensions.Logging;

namespace ContinualNative.Engine.Scheduling;

/// <summary>
/// The engine thread. It alone touches the context: each step it computes one batch per adapter version, made of the next token of every running
/// sequence and chunks of waiting prompts (continuous batching), and draws the next tokens. In steady state it allocates nothing.
/// </summary>
internal sealed partial class Scheduler : IDisposable
{
    // A shorter common prefix is cheaper to compute again than to wait for.
    private const int WorthWaiting = 32;

    // A shorter prefix is not worth a sequence id.
    private const int WorthKeeping = 8;

    // A copy from host memory that spares fewer tokens is not worth its cells.
    private const int WorthRestoring = 16;

    // llama.cpp saves sequences below n_seq_max only, so cells on their way to host memory pass under this id. It is never handed out.
    private const int ScratchId = 0;

    private readonly EngineOptions _options;
    private readonly LlamaContextHandle _context;
    private readonly Tokenizer _tokenizer;
    private readonly AdapterManager _adapters;
    private readonly EmbeddingRunner _embeddings;
    private readonly ILogger _logger;
    private readonly LlamaBatch _batch;
    private readonly SamplerScratch _scratch = new();
    private readonly TokenLogProb[] _top = new TokenLogProb[20];
    private readonly PrefixCache? _cache;
    private readonly Stack<int> _freeIds = new();
    private readonly List<Sequence> _running;
    private readonly int _maxOutputs;
    private readonly int _kvTokens;
    private readonly long _cacheLimit;
    private readonly long _hostLimit;
    private readonly Thread _thread;
    private readonly AutoResetEvent _wake = new(false);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Shared with submitting threads. Decision: a monitor and not a Lock, whose first contended wait allocates on the engine thread.
    private readonly object _gate = new();
    private readonly List<Sequence> _waiting = [];
    private readonly List<AdapterVersion> _retired = [];
    private bool _draining;
    private bool _stopping;

    private AdapterVersion _current;
    private long _step;

    // Totals, written by the engine thread (refused: by submitters, atomically).
    private long _promptTokens;
    private long _cachedTokens;
    private long _generatedTokens;
    private long _steps;
    private long _switches;
    private long _admitted;
    private long _finished;
    private long _cancelled;
    private long _refused;
    private long _restored;
    private long _hostBytes;
    private volatile int _queuedCount;
    private volatile int _runningCount;
    private volatile int _kvUsed;
    private volatile int _cachedPrefixes;

    public Scheduler(
        EngineOptions options,
        LlamaContextHandle context,
        Tokenizer tokenizer,
        AdapterManager adapters,
        EmbeddingRunner embeddings,
        bool canCachePrefixes,
        int maxOutputs,
        ILogger logger)
    {
        _options = options;
        _context = context;
        _tokenizer = tokenizer;
        _adapters = adapters;
        _embeddings = embeddings;
        _logger = logger;
        _maxOutputs = maxOutputs;
        _kvTokens = context.KvTokens;
        _cache = options.PrefixCache && canCachePrefixes ? new PrefixCache() : null;
        _cacheLimit = (long)(options.PrefixCacheShare!.Value * _kvTokens);
        _hostLimit = _cache is null ? 0 : options.PrefixCacheMemory;
        _batch = new LlamaBatch(context.BatchTokens);
        _running = new List<Sequence>(options.Parallel);
        _current = adapters.Base;
        int firstId = _hostLimit > 0 ? ScratchId + 1 : 0;
        for (int id = _cache is null ? options.Parallel - 1 : LlamaContextHandle.SequenceIds - 1; id >= firstId; id--)
        {
            _freeIds.Push(id);
        }
        _thread = new Thread(Run) { Name = "engine", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Managed bytes that the engine thread has allocated so far, as of its last step.</summary>
    public long AllocatedBytes { get; private set; }

    public EngineStatistics Statistics
    {
        get
        {
            return new EngineStatistics
            {
                Queued = _queuedCount,
                Running = _runningCount,
                KvTokensUsed = _kvUsed,
                KvTokens = _kvTokens,
                CachedPrefixes = _cachedPrefixes,
                PrefixCacheBytes = Volatile.Read(ref _hostBytes),
                PrefixesRestored = Volatile.Read(ref _restored),
                PromptTokens = Volatile.Read(ref _promptTokens),
                CachedPromptTokens = Volatile.Read(ref _cachedTokens),
                GeneratedTokens = Volatile.Read(ref _generatedTokens),
                Steps = Volatile.Read(ref _steps),
                AdapterSwitches = Volatile.Read(ref _switches),
                Admitted = Volatile.Read(ref _admitted),
                Finished = Volatile.Read(ref _finished),
                Cancelled = Volatile.Read(ref _cancelled),
                Refused = Volatile.Read(ref _refused),
            };
        }
    }

    /// <summary>Queues a sequence; throws Overloaded or ShuttingDown.</summary>
    public void Submit(Sequence sequence)
    {
        lock (_gate)
        {
            if (_draining || _stopping)
            {
                throw new EngineException(EngineError.ShuttingDown, "The server is shutting down and takes no more requests.");
            }
            if (_waiting.Count >= _options.QueueCapacity)
            {
                Interlocked.Increment(ref _refused);
                throw new EngineException(EngineError.Overloaded, $"{_waiting.Count} requests are waiting already. Try again in a moment.");
            }
            _waiting.Add(sequence);
            _queuedCount = _waiting.Count;
            _admitted++;
        }
        _wake.Set();
    }

    public void Wake() => _wake.Set();

    /// <summary>Lets the engine thread free an adapter once nothing runs on it.</summary>
    public void Retire(AdapterVersion version)
    {
        lock (_gate)
        {
            _retired.Add(version);
        }
        _wake.Set();
    }

    /// <summary>Takes no more sequences; completes when those admitted and waiting have ended.</summary>
    public Task DrainAsync()
    {
        lock (_gate)
        {
            _draining = true;
        }
        _wake.Set();
        return _drained.Task;
    }

    /// <summary>Ends everything that runs; completes when the engine thread has ended.</summary>
    public Task StopAsync()
    {
        lock (_gate)
        {
            _draining = true;
            _stopping = true;
        }
        _wake.Set();
        return _stopped.Task;
    }

    public void Dispose()
    {
        // The wake event is left to its finalizer: whoever cancels or submits at this moment may still set it.
        _batch.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!Volatile.Read(ref _stopping))
            {
                EndCancelled();
                FreeRetired();
                Admit();
                bool embedded = _embeddings.RunOne();
                if (_running.Count == 0)
                {
                    if (!embedded && Idle())
                    {
                        _wake.WaitOne();
                        Gather();
                    }
                    continue;
                }
                StepAll();
                AllocatedBytes = GC.GetAllocatedBytesForCurrentThread();
            }
        }
        catch (Exception e)
        {
            // Nothing in the loop should throw; if it does, callers must not wait forever.
            LogEngineFailed(e);
        }
        finally
        {
            EndAll();
            _drained.TrySetResult();
            _stopped.TrySetResult();
        }
    }

    // Decision: an engine that was idle waits a millisecond before its first step, and again while more requests arrive in it. Requests that come together
    // then begin together, in one batch: without it, the first would be computed alone and the rest would lag a whole prompt behind it.
    private void Gather()
    {
        int seen = 0;
        for (int i = 0; i < 4 && _queuedCount > seen && _queuedCount < _options.Parallel; i++)
        {
            seen = _queuedCount;
            Thread.Sleep(1);
        }
    }

    // True when there is nothing to do until somebody sets _wake.
    private bool Idle()
    {
        lock (_gate)
        {
            if (_waiting.Count == 0 && _draining)
            {
                _drained.TrySetResult();
            }
            return _waiting.Count == 0 && !_stopping;
        }
    }

    private void StepAll()
    {
        _step++;
        for (int i = 0; i < _running.Count; i++)
        {
            AdapterVersion version = _running[i].Version!;
            if (version.LastStep == _step)
            {
                continue;
            }
            version.LastStep = _step;
            Step(version);
            // Sequences that ended are still in the list: removing them here would shift the ones not yet visited.
        }
        RemoveEnded();
    }

    private void Step(AdapterVersion version)
    {
        Fill(version);
        if (_batch.Count == 0)
        {
            return;
        }
        try
        {
            if (_current != version)
            {
                _context.SetAdapter(version.Handle);
                _current = version;
                _switches++;
            }
            MakeRoom(_batch.Count);
            while (_context.Decode(_batch) == 1)
            {
                // Two prompts that were computed at the same time hold their common part twice, so the count above can be short.
                if (!SpillOldest())
                {
                    FailNewest(version);
                    return;
                }
            }
        }
        catch (LlamaException e)
        {
            LogDecodeFailed(e);
            FailBatch(e);
            return;
        }
        _steps++;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (sequence.InBatch > 0)
            {
                int count = sequence.InBatch;
                sequence.InBatch = 0;
                try
                {
                    Advance(sequence, count);
                }
                catch (LlamaException e)
                {
                    Fail(sequence, new EngineException(EngineError.Internal, e.Message, inner: e));
                }
            }
        }
    }

    private void Fill(AdapterVersion version)
    {
        _batch.Clear();
        int outputs = 0;
        bool decoding = false;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (sequence.Ended || sequence.Drawn == 0)
            {
                continue;
            }
            decoding = true;
            if (sequence.Version == version && _batch.Count < _batch.Capacity && outputs < _maxOutputs)
            {
                sequence.BatchStart = _batch.Add(sequence.Tokens[sequence.Count - 1], sequence.Count - 1, sequence.SequenceId, output: true);
                sequence.InBatch = 1;
                outputs++;
            }
        }
        int budget = Math.Min(_batch.Capacity - _batch.Count, decoding ? _options.PrefillChunk : _batch.Capacity);
        for (int i = 0; i < _running.Count && budget > 0; i++)
        {
            Sequence sequence = _running[i];
            if (sequence.Ended || sequence.Version != version || sequence.Drawn > 0 || MustWait(sequence))
            {
                continue;
            }
            int end = Math.Min(sequence.PrefillEnd, sequence.Computed + budget);
            int at = sequence.Computed;
            sequence.BatchStart = _batch.Count;
            for (; at < end; at++)
            {
                bool output = sequence.Score is null ? at == sequence.PromptLength - 1 : at >= sequence.Score.From - 1;
                if (output && outputs++ >= _maxOutputs)
                {
                    break;
                }
                _batch.Add(sequence.Tokens[at], at, sequence.SequenceId, output);
            }
            sequence.InBatch = at - sequence.Computed;
            budget -= sequence.InBatch;
            if (outputs >= _maxOutputs)
            {
                break;
            }
        }
    }

    // Takes over a prefix that another sequence is computing as soon as it is there.
    private bool MustWait(Sequence sequence)
    {
        if (sequence.WaitFor is not { } other)
        {
            return false;
        }
        if (other.Ended)
        {
            sequence.WaitFor = null;
            PrefixCache.Match match = TakeFromCells(sequence);
            TakeFromHost(sequence, match);
            return false;
        }
        if (other.Computed < sequence.WaitLength)
        {
            return true;
        }
        sequence.WaitFor = null;
        if (IsWhole(other.SequenceId))
        {
            if ((other.Entry?.Length ?? 0) < sequence.WaitLength)
            {
                Register(other, sequence.WaitLength);
            }
            Share(sequence, other.SequenceId, sequence.WaitLength);
        }
        return false;
    }

    private void Advance(Sequence sequence, int count)
    {
        int before = sequence.Computed;
        sequence.Computed += count;
        if (sequence.Score is { } score)
        {
            _promptTokens += count;
            AdvanceScore(sequence, score, before, count);
            return;
        }
        if (before < sequence.PromptLength)
        {
            _promptTokens += count;
            if (sequence.Computed < sequence.PromptLength)
            {
                return;
            }
            if (_cache is not null && sequence.PromptLength >= WorthKeeping && !_cache.Holds(sequence.Version!, sequence.Prompt))
            {
                Register(sequence, sequence.PromptLength);
            }
        }
        Draw(sequence, sequence.BatchStart + count - 1);
    }

    private void AdvanceScore(Sequence sequence, ScoreTarget score, int before, int count)
    {
        for (int at = Math.Max(before, score.From - 1); at < before + count; at++)
        {
            Span<float> row = _context.Logits(sequence.BatchStart + at - before);
            LogitStatistics statistics = LogitStatistics.Of(row);
            score.LogProbs[score.Done++] = row[sequence.Tokens[at + 1]] - statistics.LogSumExp;
        }
        if (sequence.Computed == sequence.PrefillEnd)
        {
            Finish(sequence, FinishReason.Stop);
        }
    }

    private void Draw(Sequence sequence, int index)
    {
        RunningAnswer answer = sequence.Answer!;
        Span<float> row = _context.Logits(index);
        LogitStatistics statistics = LogitStatistics.Of(row);
        float margin = 0;
        if (sequence.Drawn == 0)
        {
            _scratch.Top(row, statistics, _top.AsSpan(0, Math.Min(2, row.Length)));
            margin = MathF.Exp(_top[0].LogProb) - MathF.Exp(_top[1].LogProb);
        }
        Span<TokenLogProb> top = answer.TopLogProbs > 0 ? _top.AsSpan(0, answer.TopLogProbs) : default;
        if (!top.IsEmpty)
        {
            _scratch.Top(row, statistics, top);
        }
        int token = sequence.Sampler!.Next(row, statistics, _scratch, out float logProb);
        if (token < 0)
        {
            Fail(sequence, new EngineException(EngineError.InvalidRequest,
                "No token of the model's vocabulary can continue the answer: the grammar, the schema or the logit bias forbids them all."));
            return;
        }
        sequence.Tokens[sequence.Count++] = token;
        sequence.Note(logProb, statistics.Entropy, margin);
        if (sequence.Drawn == answer.EarlyTokens)
        {
            answer.MarkEarly(sequence.Confidence);
        }
        _generatedTokens++;
        if (sequence.FirstTokenAt == 0)
        {
            sequence.FirstTokenAt = Stopwatch.GetTimestamp();
        }
        bool end = _tokenizer.IsEnd(token);
        if (end && !sequence.IgnoreEnd)
        {
            Finish(sequence, FinishReason.Stop);
            return;
        }
        if (!end)
        {
            sequence.Sampler.Accept(token);
        }
        answer.PushToken(token, logProb, top);
        if (sequence.Assembler!.Append(_tokenizer.Bytes(token, sequence.ShowSpecial), answer))
        {
            Finish(sequence, FinishReason.Stop);
        }
        else if (sequence.Drawn >= sequence.MaxTokens)
        {
            Finish(sequence, FinishReason.Length);
        }
        else
        {
            answer.Publish();
        }
    }

    private void Admit()
    {
        while (_running.Count < _options.Parallel)
        {
            Sequence? sequence = null;
            lock (_gate)
            {
                if (_waiting.Count > 0)
                {
                    sequence = _waiting[0];
                    // Cells are promised for the longest answer possible; idle prefixes give way, running sequences don't.
                    int need = sequence.Tokens.Length;
                    foreach (Sequence other in _running)
                    {
                        need += other.Tokens.Length;
                    }
                    if (need > _kvTokens)
                    {
                        sequence = null;
                    }
                    else
                    {
                        _waiting.RemoveAt(0);
                        _queuedCount = _waiting.Count;
                    }
                }
            }
            if (sequence is null)
            {
                break;
            }
            Start(sequence);
        }
        // Only now: prompts that came together may all begin with a prefix that the first of them restored.
        Trim();
        UpdateGauges();
    }

    private void Start(Sequence sequence)
    {
        try
        {
            sequence.Version ??= _adapters.Acquire(sequence.AdapterName);
        }
        catch (EngineException e)
        {
            Fail(sequence, e);
            return;
        }
        if (_freeIds.Count == 0)
        {
            SpillOldest();
        }
        sequence.SequenceId = _freeIds.Pop();
        sequence.AdmittedAt = Stopwatch.GetTimestamp();
        if (_cache is not null)
        {
            PrefixCache.Match match = TakeFromCells(sequence);
            FindWorthWaiting(sequence);
            TakeFromHost(sequence, match);
        }
        _running.Add(sequence);
        sequence.Answer?.MarkAdmitted(sequence.Version.Id);
    }

    // The last token of a prompt is always computed: its logits draw the first token. A scored sequence needs them from its first target on.
    private static int MostShared(Sequence sequence) => sequence.ComputesAll ? 0 : sequence.Score is { } score ? score.From - 1 : sequence.PromptLength - 1;

    private PrefixCache.Match TakeFromCells(Sequence sequence)
    {
        PrefixCache.Match match = _cache!.Find(sequence.Version!, sequence.Prompt[..MostShared(sequence)]);
        if (match.ResidentLength > sequence.Computed && IsWhole(match.Resident!.SequenceId))
        {
            Share(sequence, match.Resident!.SequenceId, match.ResidentLength);
        }
        return match;
    }

    // What a running sequence holds, or will hold soon, is not worth a copy.
    private void TakeFromHost(Sequence sequence, PrefixCache.Match match)
    {
        int covered = sequence.WaitFor is null ? sequence.Computed : sequence.WaitLength;
        if (match.Spilled is { } spilled && match.SpilledLength >= covered + WorthRestoring && Restore(spilled))
        {
            sequence.WaitFor = null;
            Share(sequence, spilled.SequenceId, match.SpilledLength);
        }
    }

    // Where a model has a sliding window, llama.cpp gives cells that lie before a sequence's own window to whoever needs them.
    private bool IsWhole(int sequenceId) => _context.FirstPosition(sequenceId) == 0;

    private void Share(Sequence sequence, int source, int length)
    {
        if (sequence.Computed > 0)
        {
            _context.Remove(sequence.SequenceId);
        }
        _context.Share(source, sequence.SequenceId, length);
        _cachedTokens += length - sequence.Cached;
        sequence.Computed = length;
        sequence.Cached = length;
        Register(sequence, length);
    }

    // The cells of a prefix stay in use while a sequence that shares them runs, whatever becomes of the entry that they came from.
    private void Register(Sequence sequence, int length)
    {
        PrefixCache.Entry entry = _cache!.InsertRunning(sequence.Version!, sequence.Tokens.AsSpan(0, length), sequence.SequenceId);
        if (sequence.Entry is { } shorter)
        {
            _cache.Remove(shorter);
        }
        sequence.Entry = entry;
    }

    private void FindWorthWaiting(Sequence sequence)
    {
        ReadOnlySpan<int> prompt = sequence.Prompt[..MostShared(sequence)];
        int best = sequence.Computed + WorthWaiting;
        foreach (Sequence other in _running)
        {
            // Only a sequence that computes, and only one that doesn't itself wait: no chains, no cycles.
            if (other.Ended || other.Version != sequence.Version || other.Drawn > 0 || other.WaitFor is not null)
            {
                continue;
            }
            int common = Math.Min(prompt.CommonPrefixLength(other.Prompt), other.PrefillEnd);
            if (common >= best)
            {
                best = common + 1;
                sequence.WaitFor = other;
                sequence.WaitLength = common;
            }
        }
    }

    private void EndCancelled()
    {
        long now = Stopwatch.GetTimestamp();
        for (int i = 0; i < _running.Count; i++)
        {
            EndIfDue(_running[i], now);
        }
        RemoveEnded();
        List<Sequence>? due = null;
        lock (_gate)
        {
            for (int i = _waiting.Count - 1; i >= 0; i--)
            {
                Sequence sequence = _waiting[i];
                if (sequence.IsCancelled || now >= sequence.Deadline)
                {
                    (due ??= []).Add(sequence);
                    _waiting.RemoveAt(i);
                    _queuedCount = _waiting.Count;
                }
            }
        }
        if (due is not null)
        {
            foreach (Sequence sequence in due)
            {
                EndIfDue(sequence, now);
            }
        }
    }

    private void EndIfDue(Sequence sequence, long now)
    {
        if (sequence.Ended)
        {
            return;
        }
        if (sequence.IsCancelled)
        {
            Finish(sequence, FinishReason.Cancelled);
        }
        else if (now >= sequence.Deadline)
        {
            if (sequence.Drawn == 0)
            {
                Fail(sequence, new EngineException(EngineError.Timeout, "The request's time ran out before its first token. Allow more time, or send fewer requests at once."));
            }
            else
            {
                Finish(sequence, FinishReason.Timeout);
            }
        }
    }

    private void RemoveEnded()
    {
        int kept = 0;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (!sequence.Ended)
            {
                _running[kept++] = sequence;
            }
        }
        if (kept < _running.Count)
        {
            _running.RemoveRange(kept, _running.Count - kept);
        }
        UpdateGauges();
    }

    private void UpdateGauges()
    {
        _runningCount = _running.Count;
        _kvUsed = (int)UsedCells();
        _cachedPrefixes = _cache is null ? 0 : _cache.IdleCount + _cache.SpilledCount;
    }

    private long UsedCells()
    {
        long used = _cache?.Tokens ?? 0;
        for (int i = 0; i < _running.Count; i++)
        {
            if (!_running[i].Ended)
            {
                used += _running[i].PrivateCells;
            }
        }
        return used;
    }

    private void Finish(Sequence sequence, FinishReason reason)
    {
        if (reason is FinishReason.Cancelled)
        {
            _cancelled++;
        }
        else
        {
            _finished++;
        }
        Release(sequence, keep: true);
        if (sequence.Answer is { } answer)
        {
            if (sequence.Assembler!.Stopped is null)
            {
                sequence.Assembler.Complete(answer);
            }
            answer.End(sequence.Result(reason, Stopwatch.GetTimestamp()));
        }
        else if (reason == FinishReason.Cancelled)
        {
            sequence.Score!.Completion.TrySetCanceled();
        }
        else
        {
            sequence.Score!.Completion.TrySetResult(sequence.Score.LogProbs);
        }
    }

    private void Fail(Sequence sequence, EngineException error)
    {
        _finished++;
        Release(sequence, keep: false);
        sequence.Answer?.Fail(error);
        sequence.Score?.Completion.TrySetException(error);
    }

    private void Release(Sequence sequence, bool keep)
    {
        sequence.Ended = true;
        sequence.InBatch = 0;
        sequence.WaitFor = null;
        sequence.Sampler?.Dispose();
        if (sequence.SequenceId >= 0)
        {
            if (sequence.Entry is { } entry)
            {
                _cache!.Remove(entry);
                sequence.Entry = null;
            }
            if (!keep || _cache is null || sequence.Computed < WorthKeeping || !Keep(sequence))
            {
                Free(sequence.SequenceId);
            }
            sequence.SequenceId = -1;
        }
        sequence.Version?.Release();
    }

    // Leaves the sequence's cells to the prefix cache, with its id.
    private bool Keep(Sequence sequence)
    {
        if (_cache!.InsertIdle(sequence.Version!, sequence.Tokens.AsSpan(0, sequence.Computed), sequence.SequenceId) is not { } entry)
        {
            return false;
        }
        while (_cache.IdleAncestor(entry) is { } ancestor)
        {
            Evict(ancestor);
        }
        Trim();
        // Running sequences need ids whatever the cache holds.
        while (_freeIds.Count < _options.Parallel && SpillOldest())
        {
        }
        return true;
    }

    private void Trim()
    {
        while (_cache is not null && _cache.Tokens > _cacheLimit && SpillOldest())
        {
        }
    }

    private void Free(int sequenceId)
    {
        _context.Remove(sequenceId);
        _freeIds.Push(sequenceId);
    }

    private void Evict(PrefixCache.Entry entry)
    {
        _cache!.Remove(entry);
        DropCopy(entry);
        if (entry.IsResident)
        {
            Free(entry.SequenceId);
        }
    }

    private void DropCopy(PrefixCache.Entry entry)
    {
        if (entry.Copy is { } copy)
        {
            entry.Copy = null;
            Volatile.Write(ref _hostBytes, _hostBytes - copy.Bytes);
            copy.Dispose();
        }
    }

    // Frees the cells of the idle entry that was used longest ago. It stays in host memory, unless that has no room for it.
    private bool SpillOldest()
    {
        if (_cache?.Oldest() is not { } oldest)
        {
            return false;
        }
        if (oldest.Copy is null && !Save(oldest))
        {
            Evict(oldest);
        }
        else
        {
            Free(_cache.Spill(oldest));
        }
        return true;
    }

    private bool Save(PrefixCache.Entry entry)
    {
        if (_hostLimit == 0)
        {
            return false;
        }
        _context.Share(entry.SequenceId, ScratchId, entry.Length);
        try
        {
            long bytes = _context.StateBytes(ScratchId);
            if (bytes == 0 || bytes > _hostLimit)
            {
                return false;
            }
            while (_hostBytes + bytes > _hostLimit)
            {
                if (_cache!.OldestSpilled() is { } spilled)
                {
                    Evict(spilled);
                }
                else
                {
                    DropCopy(_cache.OldestCopied()!);
                }
            }
            entry.Copy = _context.SaveState(ScratchId, bytes);
            if (entry.Copy is null)
            {
                LogNotSaved(entry.Length, bytes);
                return false;
            }
            Volatile.Write(ref _hostBytes, _hostBytes + bytes);
            return true;
        }
        finally
        {
            _context.Remove(ScratchId);
        }
    }

    // Brings a spilled entry back to cells. False when there is no room for it, or the copy can't be used; then the prompt is computed.
    private bool Restore(PrefixCache.Entry entry)
    {
        while (_freeIds.Count == 0 || UsedCells() + entry.Length > _kvTokens)
        {
            if (!SpillOldest())
            {
                return false;
            }
        }
        if (entry.Copy is not { } copy)
        {
            // Those that made room took its place in host memory.
            return false;
        }
        int id = _freeIds.Pop();
        if (!_context.RestoreState(copy, id))
        {
            _freeIds.Push(id);
            Evict(entry);
            LogNotRestored(entry.Length);
            return false;
        }
        _cache!.Restore(entry, id);
        _restored++;
        return true;
    }

    private void MakeRoom(int tokens)
    {
        while (_cache is not null && UsedCells() + tokens > _kvTokens && SpillOldest())
        {
        }
    }

    private void FailNewest(AdapterVersion version)
    {
        for (int i = _running.Count - 1; i >= 0; i--)
        {
            Sequence sequence = _running[i];
            if (sequence.InBatch > 0)
            {
                ForgetBatch();
                Fail(sequence, new EngineException(EngineError.Overloaded, "The KV cache has no room for this request now. Try again in a moment, or raise --kv-tokens."));
                LogKvFull(version.Id);
                return;
            }
        }
    }

    private void FailBatch(LlamaException error)
    {
        for (int i = 0; i < _running.Count; i++)
        {
            if (_running[i].InBatch > 0)
            {
                Fail(_running[i], new EngineException(EngineError.Internal, error.Message, inner: error));
            }
        }
    }

    private void ForgetBatch()
    {
        for (int i = 0; i < _running.Count; i++)
        {
            _running[i].InBatch = 0;
        }
    }

    private void FreeRetired()
    {
        List<AdapterVersion>? free = null;
        lock (_gate)
        {
            for (int i = _retired.Count - 1; i >= 0; i--)
            {
                if (_retired[i].Running == 0)
                {
                    (free ??= []).Add(_retired[i]);
                    _retired.RemoveAt(i);
                }
            }
        }
        if (free is null)
        {
            return;
        }
        foreach (AdapterVersion version in free)
        {
            FreeAdapter(version);
        }
    }

    private void FreeAdapter(AdapterVersion version)
    {
        while (_cache?.IdleOf(version) is { } entry)
        {
            Evict(entry);
        }
        if (_current == version)
        {
            _context.SetAdapter(null);
            _current = _adapters.Base;
        }
        version.Handle?.Dispose();
        LogAdapterFreed(version.Id);
    }

    private void EndAll()
    {
        List<Sequence> waiting;
        List<AdapterVersion> retired;
        lock (_gate)
        {
            _draining = true;
            _stopping = true;
            waiting = [.. _waiting];
            _waiting.Clear();
            _queuedCount = 0;
            retired = [.. _retired];
            _retired.Clear();
        }
        EngineException error = new(EngineError.ShuttingDown, "The server is shutting down.");
        foreach (Sequence sequence in _running.Where(static s => !s.Ended).Concat(waiting).ToList())
        {
            Fail(sequence, error);
        }
        _running.Clear();
        _embeddings.FailAll(error);
        foreach (AdapterVersion version in retired.Concat(_adapters.RemoveAll()))
        {
            FreeAdapter(version);
        }
        while ((_cache?.Oldest() ?? _cache?.OldestSpilled()) is { } entry)
        {
            Evict(entry);
        }
        UpdateGauges();
    }

    [LoggerMessage(100, LogLevel.Critical, "The engine thread met an unexpected error and ends; all requests fail from now on")]
    private partial void LogEngineFailed(Exception exception);

    [LoggerMessage(101, LogLevel.Error, "llama.cpp failed to compute a batch; its requests fail")]
    private partial void LogDecodeFailed(Exception exception);

    [LoggerMessage(102, LogLevel.Warning, "The KV cache is full: a request under adapter {Adapter} was refused")]
    private partial void LogKvFull(string adapter);

    [LoggerMessage(104, LogLevel.Warning, "A cached prefix of {Tokens} tokens could not be copied to {Bytes} bytes of host memory and was dropped")]
    private partial void LogNotSaved(int tokens, long bytes);

    [LoggerMessage(105, LogLevel.Warning, "A cached prefix of {Tokens} tokens could not be brought back from host memory; it was dropped, and prompts that begin with it are computed")]
    private partial void LogNotRestored(int tokens);

    [LoggerMessage(103, LogLevel.Information, "Adapter {Adapter} is no longer in use and was freed")]
    private partial void LogAdapterFreed(string adapter);
}
