using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Curation;

/// <summary>What is known of an API key's reports.</summary>
/// <param name="KeyId">The key; empty: reports without one.</param>
/// <param name="Agreed">Reports that a teacher's label bore out.</param>
/// <param name="Checked">Reports that could be held against one, and contradictions: those of two keys count half for each.</param>
/// <param name="Trust">The estimated share of its reports that are right.</param>
public readonly record struct TrustFigure(string KeyId, double Agreed, double Checked, double Trust);

/// <summary>
/// How far the reports of an API key are believed: the share of them that teachers' labels bear out, wherever a local answer has both. Anyone may report
/// anything, but which requests a teacher answers is not for the client to choose: a key that sends false corrections or acceptances is caught by the
/// labels that it cannot see, and not by how many others disagree.
/// </summary>
/// <remarks>
/// The estimate is a posterior mean, (a + s m) ÷ (n + s) with a of n reports borne out, s = 4, and m = 0.8 for a key that is not known. Decision: it is taken for each calendar
/// week, with the key's overall share as m. A key that behaved for months and then was stolen is judged by what it does now, and what it said before still stands.
/// Decision: reports without a key count as those of one key. Whoever has no key can be anybody.
/// Reports about a frontier's answer are not checked: the label is that answer, and an honest client that only ever reports mistakes would always seem to be wrong.
/// </remarks>
public sealed class KeyTrust
{
    /// <summary>Trust in a key that nothing is known of.</summary>
    public const double Unknown = 0.8;

    // Checked reports as many as which what was assumed weighs.
    private const double Strength = 4;

    // From so many on a key's trust is its own, and not what is assumed of everyone.
    private const double Established = 3;

    private readonly Dictionary<string, (double Agreed, double Checked)> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Key, string Week), (double Agreed, double Checked)> _weeks = [];

    private readonly bool _believing;

    private KeyTrust(bool believing = false) => _believing = believing;

    /// <summary>Trust in everyone, for where nobody is to be doubted.</summary>
    public static KeyTrust Everyone { get; } = new(believing: true);

    /// <summary>Trust before anything was held against a label.</summary>
    public static KeyTrust Initial { get; } = new();

    /// <summary>All keys with checked reports, in their order.</summary>
    public IReadOnlyList<TrustFigure> Figures =>
        [.. _keys.OrderBy(static k => k.Key, StringComparer.Ordinal).Select(k => new TrustFigure(k.Key, k.Value.Agreed, k.Value.Checked, Overall(k.Key)))];

    /// <summary>Holds all reports against the labels.</summary>
    /// <param name="requests">Requests, each once.</param>
    /// <param name="asOf">Later reports and labels do not count.</param>
    /// <param name="same">Whether two answers to a task's request say the same.</param>
    public static KeyTrust From(IEnumerable<SignalRequest> requests, DateTimeOffset asOf, AnswerComparer same)
    {
        ArgumentNullException.ThrowIfNull(requests);
        ArgumentNullException.ThrowIfNull(same);
        KeyTrust trust = new();
        foreach (SignalRequest request in requests)
        {
            Outcome[] outcomes = [.. request.Outcomes.Where(o => o.At <= asOf)];
            if (Contradiction.In(outcomes))
            {
                string[] reporters = [.. outcomes.Select(static o => o.KeyId ?? "").Distinct(StringComparer.Ordinal)];
                foreach (string key in reporters)
                {
                    trust.Add(key, outcomes[^1].At, 0, reporters.Length == 1 ? 1 : 0.5);
                }
                continue;
            }
            TeacherLabel[] labels = [.. request.Labels.Where(l => l.At <= asOf && !string.IsNullOrWhiteSpace(l.Answer))];
            if (request.Route == Route.Local && labels.Length > 0)
            {
                trust.Check(request, outcomes, labels, same);
            }
        }
        return trust;
    }

    /// <summary>Trust in what a key reported at a time, 0 to 1.</summary>
    public double Of(string? keyId, DateTimeOffset at)
    {
        if (_believing)
        {
            return 1;
        }
        string key = keyId ?? "";
        (double agreed, double checkedReports) = _weeks.GetValueOrDefault((key, Slices.Of("", at)));
        return (agreed + Strength * Overall(key)) / (checkedReports + Strength);
    }

    /// <summary>Whether enough of a key's reports were checked for its trust to be its own.</summary>
    public bool IsEstablished(string? keyId) => _believing || _keys.GetValueOrDefault(keyId ?? "").Checked >= Established;

    private double Overall(string key)
    {
        (double agreed, double checkedReports) = _keys.GetValueOrDefault(key);
        return (agreed + Strength * Unknown) / (checkedReports + Strength);
    }

    private void Check(SignalRequest request, Outcome[] outcomes, TeacherLabel[] labels, AnswerComparer same)
    {
        foreach (Outcome outcome in outcomes)
        {
            // The nearest label in time: policies change, and a report is about the answer that was right then.
            TeacherLabel label = labels.MinBy(l => (l.At - outcome.At).Duration())!;
            bool? right = label.Correct ?? (request.LocalAnswer is null ? null : same(request.Key.Task, request.LocalAnswer, label.Answer!));
            bool? agrees = outcome.Kind switch
            {
                OutcomeKind.Accepted => right,
                OutcomeKind.Rejected => !right,
                OutcomeKind.Corrected when !string.IsNullOrWhiteSpace(outcome.Correction) => same(request.Key.Task, outcome.Correction, label.Answer!),
                _ => null,
            };
            if (agrees is { } agreed)
            {
                Add(outcome.KeyId ?? "", outcome.At, agreed ? 1 : 0, 1);
            }
        }
    }

    private void Add(string key, DateTimeOffset at, double agreed, double count)
    {
        (double Agreed, double Checked) all = _keys.GetValueOrDefault(key);
        _keys[key] = (all.Agreed + agreed, all.Checked + count);
        (double Agreed, double Checked) week = _weeks.GetValueOrDefault((key, Slices.Of("", at)));
        _weeks[(key, Slices.Of("", at))] = (week.Agreed + agreed, week.Checked + count);
    }
}
