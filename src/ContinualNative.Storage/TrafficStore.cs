using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using Microsoft.Extensions.Logging;

namespace ContinualNative.Storage;

/// <summary>
/// Requests, outcomes, labels, costs and calibrations in one SQLite file. All writes go through one thread, which commits them in batches in the order
/// in which they came; readers have connections of their own and never wait for it. All members are thread-safe.
/// </summary>
public sealed class TrafficStore : IAsyncDisposable
{
    /// <summary>Opens the file, makes or migrates it. Throws <see cref="StoreException"/>.</summary>
    public static TrafficStore Open(StoreOptions options, ILogger? logger = null, TimeProvider? time = null) => throw new NotImplementedException();

    /// <summary>Queues a request. Returns at once while there is room, else waits for some. It is committed before anything queued after it.</summary>
    public ValueTask RecordAsync(RequestRecord request, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Queues a cost.</summary>
    public ValueTask RecordAsync(LedgerEntry entry, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Queues a label, with its cost as a ledger entry of its kind (<see cref="LabelReason.Escalated"/>: escalation, others: teaching).</summary>
    public ValueTask RecordAsync(TeacherLabel label, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Stores an outcome; completes when it is on disk. Throws <see cref="StoreException"/> when it can't be stored now.</summary>
    public Task<OutcomeVerdict> AddOutcomeAsync(Outcome outcome, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Completes when everything queued before is on disk; throws <see cref="StoreException"/> when that failed.</summary>
    public Task FlushAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>One request with all that belongs to it, or null.</summary>
    public StoredRequest? Find(string requestId) => throw new NotImplementedException();

    /// <summary>Audited and otherwise labelled local answers of a task (of all when null), newest first; an adapter's only, when one is given.</summary>
    public IReadOnlyList<LabelledSample> Samples(string? task, string? adapter, int most) => throw new NotImplementedException();

    /// <summary>Requests after <paramref name="after"/> that have a local answer, texts, and no label; oldest first.</summary>
    public IReadOnlyList<UnlabelledRequest> Unlabelled(long after, int most) => throw new NotImplementedException();

    /// <summary>The newest labelled requests of a task with texts, newest first: for relabelling and for calibrating a new adapter.</summary>
    public IReadOnlyList<string> RecentLabelled(string task, int most) => throw new NotImplementedException();

    /// <summary>Embeddings of the newest labelled requests whose label may be trained on, or that were marked as learned, newest first.</summary>
    public IReadOnlyList<ReadOnlyMemory<float>> LearnedEmbeddings(int most) => throw new NotImplementedException();

    /// <summary>Marks a stored and labelled request as golden (or not): it stays when others expire, and is asked again of every new teacher. false when it has no label.</summary>
    public Task<bool> SetGoldenAsync(string requestId, bool golden, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Ids of a task's golden requests.</summary>
    public IReadOnlyList<string> Golden(string task) => throw new NotImplementedException();

    /// <summary>Names of the tasks that requests were stored for.</summary>
    public IReadOnlyList<string> Tasks() => throw new NotImplementedException();

    /// <summary>Teacher versions per endpoint in order of their first label.</summary>
    public IReadOnlyList<(string Endpoint, string Teacher, DateTimeOffset FirstSeen)> Teachers() => throw new NotImplementedException();

    /// <summary>What was spent on a kind on a day (UTC).</summary>
    public Money Spent(LedgerKind kind, DateOnly day) => throw new NotImplementedException();

    /// <summary>Daily totals of requests, from <paramref name="from"/> to <paramref name="to"/>, both included.</summary>
    public IReadOnlyList<TrafficTotals> Traffic(DateOnly from, DateOnly to) => throw new NotImplementedException();

    /// <summary>Daily totals of costs.</summary>
    public IReadOnlyList<LedgerTotals> Ledger(DateOnly from, DateOnly to) => throw new NotImplementedException();

    /// <summary>Stores a calibration (JSON) of a task; gives its id, 1 or more.</summary>
    public Task<long> SaveCalibrationAsync(string task, string adapter, string calibration, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>The newest calibration of every task.</summary>
    public IReadOnlyList<(long Id, string Task, string Adapter, DateTimeOffset At, string Calibration)> Calibrations() => throw new NotImplementedException();

    /// <summary>One calibration by its id, or null.</summary>
    public string? Calibration(long id) => throw new NotImplementedException();

    /// <summary>Notes that an adapter was trained, from which parent, on which requests.</summary>
    public Task RecordAdapterAsync(string adapter, string? parent, IReadOnlyCollection<string> requestIds, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Removes the texts of a user, or of a key, or of one request, from the file and its free pages. One of the three must be given.</summary>
    public Task<ErasureResult> EraseAsync(string? user, string? keyId, string? requestId, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Applies <see cref="StoreOptions.KeepFor"/> and <see cref="StoreOptions.KeepBytes"/>; gives how many requests lost their texts or were removed.</summary>
    public Task<long> ExpireAsync(CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>Copies a consistent state into a new file while writing goes on. Throws <see cref="StoreException"/> when the file exists.</summary>
    public Task BackUpAsync(string path, CancellationToken cancellationToken = default) => throw new NotImplementedException();

    /// <summary>SQLite's integrity and foreign-key checks; empty when all is well.</summary>
    public IReadOnlyList<string> Check() => throw new NotImplementedException();

    /// <summary>Figures of the moment; cheap.</summary>
    public StoreStatistics Statistics => throw new NotImplementedException();

    /// <summary>Writes what is queued and closes.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
