using System.Security.Cryptography;
using System.Text;
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
    private readonly TrafficStore _store;
    private readonly CurationOptions _options;
    private readonly Func<string, CancellationToken, Task<bool>>? _ask;
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);
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

    /// <summary>Requests of a window that were not given before, in the order of the sample, with the truth where it is known.</summary>
    public IReadOnlyList<SignalKey> Next(long after, long upTo, int most) =>
    [
        .. _store.WindowKeys(after, upTo, 100_000)
            .Where(k => !_seen.Contains(k.RequestId) && (k.Audited || (_ask is not null && Holdout.IsHoldout(k.RequestId, _options.HoldoutShare))))
            .OrderBy(static k => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes("gate\n" + k.RequestId))), StringComparer.Ordinal)
            .Take(most),
    ];

    /// <summary>Asks the teacher again about old requests, as far as the labels reach; gives those that have a new answer, with it as their truth.</summary>
    /// <param name="ids">The requests.</param>
    /// <param name="requests">The requests as they were evaluated.</param>
    /// <param name="cancellationToken">Stops between two questions.</param>
    public async Task<IReadOnlyList<EvaluationRequest>> AskAgainAsync(IReadOnlyList<string> ids, IReadOnlyList<EvaluationRequest> requests, CancellationToken cancellationToken)
    {
        if (_ask is null)
        {
            return [];
        }
        List<string> asked = [];
        foreach (string id in ids)
        {
            if (_againLeft <= 0)
            {
                break;
            }
            _againLeft--;
            if (!await _ask(id, cancellationToken))
            {
                break;
            }
            Asked++;
            asked.Add(id);
        }
        await _store.FlushAsync(cancellationToken);
        Dictionary<string, EvaluationRequest> byId = requests.ToDictionary(static r => r.RequestId, StringComparer.Ordinal);
        return [.. _store.SignalRequests(asked).Where(static r => EvaluationTruth.Of(r) is not null).Select(r => byId[r.Key.RequestId] with { Truth = EvaluationTruth.Of(r)! })];
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

    /// <summary>The requests of the sample that come next, with their texts.</summary>
    public IReadOnlyList<SignalRequest> Read(IReadOnlyList<SignalKey> keys) => _store.SignalRequests([.. keys.Select(static k => k.RequestId)]);

    /// <summary>Notes that a request was used: it is not given again.</summary>
    public void Use(string requestId) => _seen.Add(requestId);
}
