using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>
/// The fresh requests that a gain is judged on: a random sample of the traffic, drawn by the requests' ids alone, that no adapter has learned from.
/// </summary>
/// <remarks>
/// Decision: labels that exist already are no sample to judge by. Most are of requests that the champion was unsure of, and there a candidate of the same quality wins
/// by regression to the mean. So the gate takes held-out and audited requests in an order that hashes decide, and stops anywhere: every beginning of that order is a random sample. Where both
/// models say the same, neither is better, whatever the truth: only where they differ is the teacher asked.
/// </remarks>
internal sealed class GateSample
{
    private const int MostRead = 100_000;

    private readonly TrafficStore _store;
    private readonly CurationOptions _options;
    private readonly Func<string, CancellationToken, Task<bool>>? _ask;
    // By the hash that decides their order.
    private readonly SortedDictionary<ulong, SignalKey> _window = [];
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);
    private long _after = -1;
    private long _readTo;
    private int _labelsLeft;
    private int _againLeft;

    /// <summary>Prepares a sample.</summary>
    /// <param name="store">The store.</param>
    /// <param name="options">Says which requests are held out.</param>
    /// <param name="labels">Most labels that may be asked for, and a third as many for old requests that are asked again.</param>
    /// <param name="ask">Asks the teacher about a request; false when it can't be asked now. null: there is no budget, and only audits are judged on.</param>
    public GateSample(TrafficStore store, CurationOptions options, int labels, Func<string, CancellationToken, Task<bool>>? ask)
    {
        _store = store;
        _options = options;
        _labelsLeft = labels;
        // Beside the others, so that a long search for a gain leaves some to defend it with.
        _againLeft = (labels + 2) / 3;
        _ask = ask;
    }

    /// <summary>Labels asked for.</summary>
    public int Asked { get; private set; }

    /// <summary>The next requests of the sample within a window, those that were used left out. A window may grow; what came before it is not read again.</summary>
    public IReadOnlyList<SignalRequest> Next(long after, long upTo, int most)
    {
        if (after != _after)
        {
            (_after, _readTo) = (after, after);
            _window.Clear();
        }
        if (upTo > _readTo)
        {
            foreach (SignalKey key in _store.WindowKeys(_readTo, upTo, MostRead).Where(k => k.Audited || (_ask is not null && Holdout.IsHoldout(k.RequestId, _options.HoldoutShare))))
            {
                _window[StableHash.Of("gate", key.RequestId)] = key;
            }
            _readTo = upTo;
        }
        while (true)
        {
            string[] ids = [.. _window.Values.Select(static k => k.RequestId).Where(id => !_seen.Contains(id)).Take(most)];
            IReadOnlyList<SignalRequest> requests = _store.SignalRequests(ids);
            // What was erased or has expired meanwhile is passed over.
            _seen.UnionWith(ids.Except(requests.Select(static r => r.Key.RequestId)));
            if (requests.Count > 0 || ids.Length == 0)
            {
                return requests;
            }
        }
    }

    /// <summary>Asks the teacher again about old requests, as far as the labels reach; gives what it says now, by request, where it has an answer.</summary>
    public async Task<IReadOnlyDictionary<string, string>> AskAgainAsync(IEnumerable<string> ids, CancellationToken cancellationToken)
    {
        List<string> asked = [];
        foreach (string id in _ask is null ? [] : ids)
        {
            if (_againLeft-- <= 0 || !await _ask!(id, cancellationToken))
            {
                break;
            }
            Asked++;
            asked.Add(id);
        }
        await _store.FlushAsync(cancellationToken);
        Dictionary<string, string> truths = new(StringComparer.Ordinal);
        foreach (SignalRequest request in _store.SignalRequests(asked))
        {
            if (EvaluationTruth.Of(request) is { } truth)
            {
                truths.Add(request.Key.RequestId, truth);
            }
        }
        return truths;
    }

    /// <summary>
    /// The truth of a request of the sample; asked of the teacher where it has no label, as far as the labels reach. Where it can't be had now, the sample ends before this request, since one
    /// that goes by what is easily known is no random one. A request that no teacher can answer has no truth, and is passed over.
    /// </summary>
    public async Task<(bool Ends, string? Truth)> TruthAsync(SignalRequest request, CancellationToken cancellationToken)
    {
        if (request.Labels.Any(static l => !string.IsNullOrWhiteSpace(l.Answer)))
        {
            return (false, EvaluationTruth.Of(request));
        }
        if (_ask is null || _labelsLeft <= 0)
        {
            return (true, null);
        }
        _labelsLeft--;
        if (!await _ask(request.Key.RequestId, cancellationToken))
        {
            return (true, null);
        }
        Asked++;
        await _store.FlushAsync(cancellationToken);
        return (false, _store.SignalRequests([request.Key.RequestId]) is [{ } labelled] ? EvaluationTruth.Of(labelled) : null);
    }

    /// <summary>Notes that a request was used: it is not given again.</summary>
    public void Use(string requestId) => _seen.Add(requestId);
}
