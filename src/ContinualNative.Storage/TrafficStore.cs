using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Reading;
using ContinualNative.Storage.Schema;
using ContinualNative.Storage.Sqlite;
using ContinualNative.Storage.Writing;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ContinualNative.Storage;

/// <summary>
/// Requests, outcomes, labels, costs, calibrations and update cycles in one SQLite file. All writes go through one thread, which commits them in batches in the order
/// in which they came; readers have connections of their own and never wait for it. All members are thread-safe.
/// </summary>
/// <remarks>
/// Ids of requests are 24 hexadecimal digits in lower case; anything else is an <see cref="ArgumentException"/> where something is to be stored, and unknown where
/// it is looked for. Reading throws <see cref="StoreException"/>. Several processes may have the file open; each has a writer of its own, and they take turns.
/// </remarks>
public sealed partial class TrafficStore : IAsyncDisposable
{
    // Requests that are noted as one adapter's in one transaction: few, so that other writes get their turn.
    private const int LineagePart = 1024;

    private readonly StoreOptions _options;
    private readonly Writer _writer;
    private readonly ReadPool _readers;
    private readonly RequestReader _requests;
    private readonly SignalReader _signal;
    private readonly CurationReader _curation;
    private readonly NameCache _names = new();

    private TrafficStore(StoreOptions options, Writer writer, TextCodec texts)
    {
        _options = options;
        _writer = writer;
        _readers = new ReadPool(options);
        _requests = new RequestReader(_names, texts);
        _signal = new SignalReader(_names, texts);
        _curation = new CurationReader(_names, texts, _requests);
    }

    /// <summary>Opens the file, makes or migrates it. Throws <see cref="StoreException"/>.</summary>
    public static TrafficStore Open(StoreOptions options, ILogger? logger = null, TimeProvider? time = null)
    {
        Validate(options);
        options = options with { Path = Path.GetFullPath(options.Path) };
        TextCodec texts = new(options.Cipher, options.Path);
        DatabaseFile.Prepare(options.Path, options.BusyTimeout, Migrations.All);
        CipherCheck.Verify(options, texts);
        try
        {
            return new TrafficStore(options, new Writer(options, texts, time ?? TimeProvider.System, logger ?? NullLogger.Instance), texts);
        }
        catch (SqliteException e)
        {
            throw StoreErrors.Wrap(e, options.Path);
        }
    }

    /// <summary>Queues a request. Returns at once while there is room, else waits for some. It is committed before anything queued after it.</summary>
    public ValueTask RecordAsync(RequestRecord request, CancellationToken cancellationToken = default)
    {
        MustBeId(request.Id, nameof(request));
        return _writer.RecordAsync(new RecordWrite(session => RequestWriter.Insert(session, request)), cancellationToken);
    }

    /// <summary>Queues a cost.</summary>
    public ValueTask RecordAsync(LedgerEntry entry, CancellationToken cancellationToken = default)
    {
        if (entry.RequestId is not null)
        {
            MustBeId(entry.RequestId, nameof(entry));
        }
        return _writer.RecordAsync(new RecordWrite(session => LedgerWriter.Insert(session, entry)), cancellationToken);
    }

    /// <summary>Queues a label, with its cost as a ledger entry of its kind (<see cref="LabelReason.Escalated"/>: escalation, others: teaching).</summary>
    public ValueTask RecordAsync(TeacherLabel label, CancellationToken cancellationToken = default)
    {
        MustBeId(label.RequestId, nameof(label));
        return _writer.RecordAsync(new RecordWrite(session => LabelWriter.Insert(session, label)), cancellationToken);
    }

    /// <summary>Stores an outcome; completes when it is on disk. Throws <see cref="StoreException"/> when it can't be stored now.</summary>
    public Task<OutcomeVerdict> AddOutcomeAsync(Outcome outcome, CancellationToken cancellationToken = default) =>
        RequestId.IsValid(outcome.RequestId)
            ? _writer.DoAsync(session => OutcomeWriter.Insert(session, outcome), refuse: true, alone: false, cancellationToken)
            : Task.FromResult(OutcomeVerdict.UnknownRequest);

    /// <summary>Completes when everything queued before is on disk; throws <see cref="StoreException"/> when that failed.</summary>
    public Task FlushAsync(CancellationToken cancellationToken = default) =>
        _writer.DoAsync(static _ => true, refuse: false, alone: false, cancellationToken);

    /// <summary>One request with all that belongs to it, or null.</summary>
    public StoredRequest? Find(string requestId) =>
        RequestId.IsValid(requestId) ? _readers.Read(session => _requests.Find(session, requestId), snapshot: true) : null;

    /// <summary>Audited and otherwise labelled local answers of a task (of all when null), newest first; an adapter's only, when one is given.</summary>
    public IReadOnlyList<LabelledSample> Samples(string? task, string? adapter, int most) =>
        _readers.Read(session => _signal.Samples(session, task, adapter, most));

    /// <summary>Requests after <paramref name="after"/> that have a local answer, texts, and no label; oldest first.</summary>
    public IReadOnlyList<UnlabelledRequest> Unlabelled(long after, int most) =>
        _readers.Read(session => _signal.Unlabelled(session, after, most));

    /// <summary>The newest labelled requests of a task with texts, newest first: for relabelling and for calibrating a new adapter.</summary>
    public IReadOnlyList<string> RecentLabelled(string task, int most) =>
        _readers.Read(session => SignalReader.RecentLabelled(session, task, most));

    /// <summary>
    /// Embeddings of the newest labelled requests that the model can answer, as far as is known: a local answer to it was right, or an adapter that is or was champion learned from it.
    /// </summary>
    public IReadOnlyList<ReadOnlyMemory<float>> KnownEmbeddings(int most) =>
        _readers.Read(session => _signal.KnownEmbeddings(session, most));

    /// <summary>
    /// Prompts of the newest requests, newest first, that were answered rightly or learned from by a champion, and of those that <paramref name="adapter"/> answered wrongly: as teachers say, and where none has spoken,
    /// as was last reported of a local answer, if the reports do not contradict each other.
    /// </summary>
    /// <param name="adapter">The adapter.</param>
    /// <param name="most">Prompts that teachers judged, and reported ones, at most each.</param>
    /// <param name="believed">Whether what an API key (null: none) reported at a time counts.</param>
    public IReadOnlyList<(string Prompt, bool Right)> JudgedPrompts(string adapter, int most, Func<string?, DateTimeOffset, bool> believed) =>
        _readers.Read(session => _signal.JudgedPrompts(session, adapter, most, believed));

    /// <summary>Marks a stored and labelled request as golden (or not): it stays when others expire, and is asked again of every new teacher. false when it has no label.</summary>
    public Task<bool> SetGoldenAsync(string requestId, bool golden, CancellationToken cancellationToken = default) =>
        RequestId.IsValid(requestId)
            ? _writer.DoAsync(session => MarkWriter.SetGolden(session, RequestId.ToBytes(requestId), golden), refuse: false, alone: false, cancellationToken)
            : Task.FromResult(false);

    /// <summary>Ids of a task's golden requests.</summary>
    public IReadOnlyList<string> Golden(string task) =>
        _readers.Read(session => SignalReader.Golden(session, task));

    /// <summary>Names of the tasks that requests were stored for.</summary>
    public IReadOnlyList<string> Tasks() => _readers.Read(ReportReader.Tasks);

    /// <summary>Teacher versions per endpoint in order of their first label.</summary>
    public IReadOnlyList<(string Endpoint, string Teacher, DateTimeOffset FirstSeen)> Teachers() => _readers.Read(ReportReader.Teachers);

    /// <summary>Ids of the requests that a teacher version of an endpoint has labelled.</summary>
    public HashSet<string> LabelledBy(string endpoint, string teacher) => _readers.Read(session => SignalReader.LabelledBy(session, endpoint, teacher));

    /// <summary>What was spent on a kind on a day (UTC).</summary>
    public Money Spent(LedgerKind kind, DateOnly day) => _readers.Read(session => ReportReader.Spent(session, kind, day));

    /// <summary>Daily totals of requests, from <paramref name="from"/> to <paramref name="to"/>, both included.</summary>
    public IReadOnlyList<TrafficTotals> Traffic(DateOnly from, DateOnly to) => _readers.Read(session => ReportReader.Traffic(session, from, to));

    /// <summary>Daily totals of costs.</summary>
    public IReadOnlyList<LedgerTotals> Ledger(DateOnly from, DateOnly to) => _readers.Read(session => ReportReader.Ledger(session, from, to));

    /// <summary>Audited requests of some days (UTC) that have a verdict, newest first; of a task only, when one is given.</summary>
    public IReadOnlyList<AuditedAnswer> Audits(DateOnly from, DateOnly to, string? task, int most) =>
        _readers.Read(session => AuditReader.Read(session, _names, from, to, task, most));

    /// <summary>Stores a calibration (JSON) of a task; gives its id, 1 or more.</summary>
    public Task<long> SaveCalibrationAsync(string task, string adapter, string calibration, CancellationToken cancellationToken = default) =>
        _writer.DoAsync(session => MarkWriter.SaveCalibration(session, task, adapter, calibration), refuse: false, alone: false, cancellationToken);

    /// <summary>The newest calibration of every task.</summary>
    public IReadOnlyList<(long Id, string Task, string Adapter, DateTimeOffset At, string Calibration)> Calibrations() =>
        _readers.Read(ReportReader.Calibrations);

    /// <summary>One calibration by its id, or null.</summary>
    public string? Calibration(long id) => _readers.Read(session => ReportReader.Calibration(session, id));

    /// <summary>Notes that an adapter was trained, from which parent, on which requests. What <see cref="SaveAdapterAsync"/> stored of it stays.</summary>
    public async Task RecordAdapterAsync(string adapter, string? parent, IReadOnlyCollection<string> requestIds, CancellationToken cancellationToken = default)
    {
        byte[][] ids = new byte[requestIds.Count][];
        int count = 0;
        foreach (string id in requestIds)
        {
            MustBeId(id, nameof(requestIds));
            ids[count++] = RequestId.ToBytes(id);
        }
        int from = 0;
        do
        {
            ReadOnlyMemory<byte[]> part = ids.AsMemory(from, Math.Min(LineagePart, ids.Length - from));
            await _writer.DoAsync(
                session =>
                {
                    MarkWriter.RecordAdapter(session, adapter, parent, part);
                    return true;
                },
                refuse: false,
                alone: false,
                cancellationToken);
            from += LineagePart;
        }
        while (from < ids.Length);
    }

    /// <summary>Removes the texts of a user, or of a key, or of one request, from the file and its free pages. One of the three must be given.</summary>
    public async Task<ErasureResult> EraseAsync(string? user, string? keyId, string? requestId, CancellationToken cancellationToken = default)
    {
        if ((user is null ? 0 : 1) + (keyId is null ? 0 : 1) + (requestId is null ? 0 : 1) != 1)
        {
            throw new ArgumentException("Give one of user, key and request.", nameof(user));
        }
        if (requestId is not null && !RequestId.IsValid(requestId))
        {
            return new ErasureResult(0, []);
        }
        ErasureTarget target = new(user, keyId, requestId is null ? null : RequestId.ToBytes(requestId));
        SortedSet<string> adapters = new(StringComparer.Ordinal);
        long requests = 0;
        ErasedPart part;
        do
        {
            part = await _writer.DoAsync(session => Eraser.Erase(session, target), refuse: false, alone: false, cancellationToken);
            requests += part.Requests;
            adapters.UnionWith(part.Adapters);
        }
        while (part.More);
        // The log holds the old pages until it is copied into the file and cut to nothing.
        bool emptied = await _writer.DoAsync(static session => session.EmptyLog(), refuse: false, alone: true, cancellationToken);
        return emptied
            ? new ErasureResult(requests, [.. adapters])
            : throw new StoreException(StoreError.Locked, $"The data are erased from '{_options.Path}', but its log still holds them, because another process is reading. Erase again in a moment.");
    }

    /// <summary>Applies <see cref="StoreOptions.KeepFor"/> and <see cref="StoreOptions.KeepBytes"/>; gives how many requests lost their texts or were removed.</summary>
    public async Task<long> ExpireAsync(CancellationToken cancellationToken = default)
    {
        long expired = 0;
        if (_options.KeepFor is { } keepFor)
        {
            expired += await InPartsAsync(session => Expirer.ByAge(session, keepFor), alone: false, cancellationToken);
        }
        if (_options.KeepBytes is { } keepBytes)
        {
            expired += await InPartsAsync(session => Expirer.BySize(session, keepBytes), alone: false, cancellationToken);
        }
        await InPartsAsync(
            static session =>
            {
                Expirer.Sweep(session);
                return (0, false);
            },
            alone: false,
            cancellationToken);
        if (_options.KeepBytes is not null)
        {
            await InPartsAsync(static session => (0, Expirer.Shrink(session)), alone: true, cancellationToken);
        }
        return expired;
    }

    /// <summary>Copies a consistent state into a new file while writing goes on. Throws <see cref="StoreException"/> when the file exists.</summary>
    public Task BackUpAsync(string path, CancellationToken cancellationToken = default) =>
        Task.Run(() => Backup.Run(_options, Path.GetFullPath(path), cancellationToken), cancellationToken);

    /// <summary>SQLite's integrity and foreign-key checks; empty when all is well.</summary>
    public IReadOnlyList<string> Check() => _readers.Read(ReportReader.Check);

    /// <summary>Figures of the moment; cheap.</summary>
    public StoreStatistics Statistics => new()
    {
        Requests = _writer.Requests,
        Outcomes = _writer.Outcomes,
        Labels = _writer.Labels,
        Queued = _writer.Queued,
        Dropped = _writer.Dropped,
        Ignored = _writer.Ignored,
        Commits = _writer.Commits,
        Bytes = Length(_options.Path) + Length(_options.Path + "-wal"),
        Failing = _writer.Failing,
    };

    /// <summary>Keys that sent more feedback than their caps allow.</summary>
    public IReadOnlyList<FlaggedKey> FlaggedKeys() => _readers.Read(ReportReader.FlaggedKeys);

    /// <summary>Pages that the file may have, so that tests can fill the disk and make room again; 0: what SQLite allows.</summary>
    internal int MostPages
    {
        get => _writer.MostPages;
        set => _writer.MostPages = value;
    }

    /// <summary>Writes what is queued and closes.</summary>
    public async ValueTask DisposeAsync()
    {
        await _writer.DisposeAsync();
        _readers.Dispose();
    }

    private async Task<long> InPartsAsync(Func<WriterSession, (long Done, bool More)> part, bool alone, CancellationToken cancellationToken)
    {
        long done = 0;
        (long Done, bool More) result;
        do
        {
            result = await _writer.DoAsync(part, refuse: false, alone, cancellationToken);
            done += result.Done;
        }
        while (result.More);
        return done;
    }

    private static void Validate(StoreOptions options)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(options.Path, nameof(StoreOptions.Path));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.QueueCapacity, 1, nameof(StoreOptions.QueueCapacity));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1, nameof(StoreOptions.BatchSize));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchDelay, TimeSpan.Zero, nameof(StoreOptions.BatchDelay));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BusyTimeout, TimeSpan.Zero, nameof(StoreOptions.BusyTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.KeepFor ?? TimeSpan.Zero, TimeSpan.Zero, nameof(StoreOptions.KeepFor));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.KeepBytes ?? 0, 0, nameof(StoreOptions.KeepBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.OutcomesPerKeyAndHour, 1, nameof(StoreOptions.OutcomesPerKeyAndHour));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.OutcomesPerRequest, 1, nameof(StoreOptions.OutcomesPerRequest));
        if (options.Cipher is { KeyVersion: 0 })
        {
            throw new ArgumentException("Key version 0 means plain text: number keys from 1.", nameof(options));
        }
    }

    private static void MustBeId(string id, string parameter)
    {
        if (!RequestId.IsValid(id))
        {
            throw new ArgumentException("A request's id is 24 hexadecimal digits in lower case.", parameter);
        }
    }

    private static long Length(string path)
    {
        FileInfo file = new(path);
        return file.Exists ? file.Length : 0;
    }
}
