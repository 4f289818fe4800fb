using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Reading;
using ContinualNative.Storage.Writing;

namespace ContinualNative.Storage;

/// <content>
/// Update cycles: adapters, cycles, promotions, data sets, evaluations, and what curation and rollout read. Writes complete when they are on disk.
/// JSON that is given is stored as it is and must hold no texts of requests: erasure does not reach it.
/// </content>
public sealed partial class TrafficStore
{
    // Requests whose texts are read at one state of the file: few, so that the log can be emptied in between.
    private const int TextPart = 256;

    /// <summary>Inserts an adapter or replaces all that is stored of it but its lineage. Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>) when there is no such cycle.</summary>
    public async Task SaveAdapterAsync(AdapterRecord adapter, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        MustBeAdapter(adapter.Id, orBase: false, nameof(adapter));
        if (!await _writer.DoAsync(session => CycleWriter.SaveAdapter(session, adapter), refuse: false, alone: false, cancellationToken))
        {
            throw NoCycle(adapter.Cycle!.Value);
        }
    }

    /// <summary>One adapter, or null. Of an adapter that only <see cref="RecordAdapterAsync"/> told of, <see cref="AdapterRecord.Model"/> is empty.</summary>
    public AdapterRecord? Adapter(string id) => _readers.Read(session => CycleReader.Adapter(session, id));

    /// <summary>All adapters, newest first.</summary>
    public IReadOnlyList<AdapterRecord> Adapters() => _readers.Read(CycleReader.Adapters);

    /// <summary>Sets what became of an adapter; false when it is unknown.</summary>
    public Task<bool> SetAdapterAsync(string id, AdapterStatus status, CancellationToken cancellationToken = default) =>
        _writer.DoAsync(session => CycleWriter.SetAdapter(session, id, status), refuse: false, alone: false, cancellationToken);

    /// <summary>Notes that an adapter's file is gone; its length and hash stay. false when the adapter is unknown.</summary>
    public Task<bool> ForgetAdapterFileAsync(string id, CancellationToken cancellationToken = default) =>
        _writer.DoAsync(session => CycleWriter.ForgetFile(session, id), refuse: false, alone: false, cancellationToken);

    /// <summary>Begins a cycle in <see cref="CycleState.Curating"/>. Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>) while another one runs, in whatever process.</summary>
    /// <param name="trigger">What set it off.</param>
    /// <param name="cause">The same for people.</param>
    /// <param name="champion">The champion, or <c>base</c>.</param>
    /// <param name="candidateOf">Names the adapter that the cycle of a number trains. Runs on the writer's thread, perhaps more than once.</param>
    /// <param name="cancellationToken">Ends the waiting; the cycle may have begun all the same.</param>
    public async Task<CycleRecord> BeginCycleAsync(CycleTrigger trigger, string cause, string champion, Func<long, string> candidateOf, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(cause);
        ArgumentNullException.ThrowIfNull(candidateOf);
        MustBeAdapter(champion, orBase: true, nameof(champion));
        return await _writer.DoAsync(session => CycleWriter.Begin(session, trigger, cause, champion, candidateOf), refuse: false, alone: false, cancellationToken)
            ?? throw new StoreException(StoreError.Conflict, "An update cycle runs already. Wait until it ends, or cancel it.");
    }

    /// <summary>
    /// Takes a cycle from one state to another and keeps what the step left, in one transaction. Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>)
    /// and changes nothing when it is not in <paramref name="from"/>.
    /// </summary>
    /// <param name="id">The cycle.</param>
    /// <param name="from">The state that it must be in; one that runs.</param>
    /// <param name="to">The state that it gets.</param>
    /// <param name="step">The step's name (letters, digits and <c>_</c>), or null: nothing is kept.</param>
    /// <param name="stepJson">What it left, as JSON; takes the place of what <see cref="CycleRecord.Detail"/> has under that name.</param>
    /// <param name="outcome">Why it ended; empty while it runs.</param>
    /// <param name="sequence">Requests up to here were there when it curated; null leaves what is there.</param>
    /// <param name="cancellationToken">Ends the waiting; the change may be done all the same.</param>
    public async Task<CycleRecord> AdvanceCycleAsync(
        long id, CycleState from, CycleState to, string? step, string? stepJson, string outcome = "", long? sequence = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(outcome);
        MustRun(from, nameof(from));
        if (step is null != stepJson is null)
        {
            throw new ArgumentException("A step and what it left come together.", nameof(stepJson));
        }
        if (step is not null)
        {
            MustBeStep(step, nameof(step));
            MustBeJson(stepJson!, nameof(stepJson));
        }
        CycleChange change = new(id, from, to, outcome, step, stepJson, sequence);
        (CycleRecord? cycle, string refused) = await _writer.DoAsync(
            session => CycleWriter.Advance(session, change) ? (CycleReader.Cycle(session.Session, id), "") : (null, CycleWriter.NotIn(session, id, from)),
            refuse: false,
            alone: false,
            cancellationToken);
        return cycle ?? throw new StoreException(StoreError.Conflict, refused);
    }

    /// <summary>Sets what a running step has to tell (<paramref name="stepJson"/>, under its name in <see cref="CycleRecord.Detail"/>); false when the cycle does not run.</summary>
    public Task<bool> NoteCycleAsync(long id, string step, string stepJson, CancellationToken cancellationToken = default)
    {
        MustBeStep(step, nameof(step));
        MustBeJson(stepJson, nameof(stepJson));
        return _writer.DoAsync(session => CycleWriter.Note(session, id, step, stepJson), refuse: false, alone: false, cancellationToken);
    }

    /// <summary>One cycle, or null.</summary>
    public CycleRecord? Cycle(long id) => _readers.Read(session => CycleReader.Cycle(session, id));

    /// <summary>The cycle that runs, or null.</summary>
    public CycleRecord? ActiveCycle() => _readers.Read(CycleReader.Active);

    /// <summary>The newest cycles, newest first.</summary>
    public IReadOnlyList<CycleRecord> Cycles(int most) => _readers.Read(session => CycleReader.Cycles(session, most));

    /// <summary>
    /// Changes the champion, in one transaction: stores the promotion with its evidence, marks its adapter as <see cref="AdapterStatus.Champion"/> and the previous one as
    /// <see cref="AdapterStatus.Retired"/> (<see cref="AdapterStatus.RolledBack"/> by a rollback), and ends the cycle. An adapter that is not stored (one of a file that
    /// the server was started with) may be promoted; it has no status. Gives the promotion with its number.
    /// </summary>
    /// <remarks>
    /// Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>) and changes nothing when the cycle is not in <c>From</c>, or when it is to end as
    /// <see cref="CycleState.Promoted"/> and the adapter is not its candidate, or the last promotion made another champion than <see cref="PromotionRecord.Previous"/>.
    /// </remarks>
    /// <param name="promotion">The change; its number is not read.</param>
    /// <param name="cycle">The cycle that ends with it, the state that it must be in, the end that it gets, and why.</param>
    /// <param name="cancellationToken">Ends the waiting; the change may be done all the same.</param>
    public async Task<PromotionRecord> PromoteAsync(
        PromotionRecord promotion, (long Cycle, CycleState From, CycleState To, string Outcome)? cycle = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(promotion);
        MustBeAdapter(promotion.Adapter, orBase: true, nameof(promotion));
        MustBeAdapter(promotion.Previous, orBase: true, nameof(promotion));
        MustBeJson(promotion.Evidence, nameof(promotion));
        CycleChange? end = null;
        if (cycle is { } ending)
        {
            MustRun(ending.From, nameof(cycle));
            if (ending.To < CycleState.Promoted)
            {
                throw new ArgumentException($"{ending.To} is no end of a cycle.", nameof(cycle));
            }
            end = new CycleChange(ending.Cycle, ending.From, ending.To, ending.Outcome);
        }
        (long number, string? refused) = await _writer.DoAsync(session => CycleWriter.Promote(session, promotion, end), refuse: false, alone: false, cancellationToken);
        return refused is null ? promotion with { Number = number } : throw new StoreException(StoreError.Conflict, refused);
    }

    /// <summary>The change that made the present champion, or null when there was none yet.</summary>
    public PromotionRecord? LastPromotion() => Promotions(1) is [{ } last] ? last : null;

    /// <summary>The newest changes of champion, newest first.</summary>
    public IReadOnlyList<PromotionRecord> Promotions(int most) => _readers.Read(session => CycleReader.Promotions(session, most));

    /// <summary>Stores what a cycle trains on, in place of what it stored before. Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>) when there is no such cycle.</summary>
    public async Task SaveDatasetAsync(long cycle, string hash, string manifestJson, IReadOnlyList<CuratedExample> examples, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(hash);
        ArgumentNullException.ThrowIfNull(examples);
        MustBeJson(manifestJson, nameof(manifestJson));
        foreach (CuratedExample example in examples)
        {
            MustBeId(example.RequestId, nameof(examples));
            if (!(example.Weight > 0) || !double.IsFinite(example.Weight))
            {
                throw new ArgumentException($"The weight of an example is above 0, not {example.Weight}.", nameof(examples));
            }
        }
        byte[] encoded = DatasetCodec.Encode(examples);
        if (!await _writer.DoAsync(session => CycleWriter.SaveDataset(session, cycle, hash, manifestJson, encoded), refuse: false, alone: false, cancellationToken))
        {
            throw NoCycle(cycle);
        }
    }

    /// <summary>
    /// What a cycle trained on, or null. The requests may be erased or gone since; when all that the cycle knew were removed by size, the examples are gone too and
    /// the list is empty.
    /// </summary>
    public (string Hash, string Manifest, IReadOnlyList<CuratedExample> Examples)? Dataset(long cycle) => _readers.Read(session => CycleReader.Dataset(session, cycle));

    /// <summary>
    /// Stores an evaluation of an adapter within a cycle (0: outside of any), in place of an earlier one of that kind: a step that is taken up again leaves one.
    /// Throws <see cref="StoreException"/> (<see cref="StoreError.Conflict"/>) when there is no such cycle.
    /// </summary>
    public async Task SaveEvaluationAsync(long cycle, string adapter, string kind, DateTimeOffset at, string json, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(kind);
        MustBeAdapter(adapter, orBase: true, nameof(adapter));
        MustBeJson(json, nameof(json));
        long? of = cycle == 0 ? null : cycle;
        if (!await _writer.DoAsync(session => CycleWriter.SaveEvaluation(session, of, adapter, kind, at.ToUnixTimeMilliseconds(), json), refuse: false, alone: false, cancellationToken))
        {
            throw NoCycle(cycle);
        }
    }

    /// <summary>Evaluations of an adapter, oldest first.</summary>
    public IReadOnlyList<StoredEvaluation> Evaluations(string adapter) => _readers.Read(session => CycleReader.Evaluations(session, adapter));

    /// <summary>
    /// Chat requests after <paramref name="after"/> and up to <paramref name="upTo"/> whose texts are there and that have a label or an outcome (golden ones have
    /// a label), oldest first. Reads no texts, and no requests without signal.
    /// </summary>
    public IReadOnlyList<SignalKey> SignalKeys(long after, long upTo, int most) => _readers.Read(session => _curation.SignalKeys(session, after, upTo, most));

    /// <summary>
    /// Chat requests after <paramref name="after"/> and up to <paramref name="upTo"/> whose client got the local answer, with texts, without any label or bad outcome
    /// (rejected, corrected, a score below one half), and with an estimate of at least <paramref name="minimumPCorrect"/>; oldest first.
    /// </summary>
    public IReadOnlyList<SignalKey> OwnKeys(long after, long upTo, double minimumPCorrect, int most) =>
        _readers.Read(session => _curation.OwnKeys(session, after, upTo, minimumPCorrect, most));

    /// <summary>
    /// All chat requests after <paramref name="after"/> and up to <paramref name="upTo"/> whose texts are there and whose client left it to the server who answers, with signal
    /// or without; oldest first.
    /// </summary>
    public IReadOnlyList<SignalKey> WindowKeys(long after, long upTo, int most) => _readers.Read(session => _curation.WindowKeys(session, after, upTo, most));

    /// <summary>Requests with texts, in the order of their ids; those that are erased, expired or gone are left out. Parts of them are read at different states of the file.</summary>
    public IReadOnlyList<SignalRequest> SignalRequests(IReadOnlyCollection<string> ids)
    {
        string[] all = [.. ids];
        List<SignalRequest> found = new(all.Length);
        for (int from = 0; from < all.Length; from += TextPart)
        {
            ArraySegment<string> part = new(all, from, Math.Min(TextPart, all.Length - from));
            _readers.Read(
                session =>
                {
                    _curation.SignalRequests(session, part, found);
                    return true;
                },
                snapshot: true);
        }
        return found;
    }

    /// <summary>The position of the newest request, 0 before the first; it never falls, whatever is removed.</summary>
    public long LastSequence() => _readers.Read(CurationReader.LastSequence);

    /// <summary>
    /// How local answers fared that clients got, after a position, in the order of the requests: those with an outcome, or with a label that has a verdict.
    /// </summary>
    /// <remarks>
    /// This is what is known now. Outcomes come late and may change: a request can get its first one long after later requests got theirs. So whoever tests
    /// reads again from where the test begins, rather than going on from the last position that was read; positions are for pages of one reading.
    /// </remarks>
    public IReadOnlyList<LiveOutcome> LiveOutcomes(long after, int most) => _readers.Read(session => _curation.LiveOutcomes(session, after, most), snapshot: true);

    private static StoreException NoCycle(long cycle) => new(StoreError.Conflict, $"There is no cycle {cycle}.");

    private static void MustBeAdapter(string id, bool orBase, string parameter)
    {
        if (!ModelAddress.IsValidAdapterId(id) && !(orBase && id == ModelAddress.Base))
        {
            throw new ArgumentException($"'{id}' cannot name an adapter.", parameter);
        }
    }

    private static void MustRun(CycleState state, string parameter)
    {
        if (state >= CycleState.Promoted)
        {
            throw new ArgumentException($"A cycle that is {state} has ended.", parameter);
        }
    }

    private static void MustBeStep(string step, string parameter)
    {
        if (step is not { Length: > 0 } || !step.All(static c => char.IsAsciiLetterOrDigit(c) || c == '_'))
        {
            throw new ArgumentException($"'{step}' cannot name a step: letters, digits and _.", parameter);
        }
    }

    private static void MustBeJson(string json, string parameter)
    {
        ArgumentNullException.ThrowIfNull(json, parameter);
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"It is no JSON: {e.Message}", parameter, e);
        }
    }
}
