using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Curation;

/// <summary>A truth, or why there is none: just one of the two is set.</summary>
/// <param name="Truth">The truth.</param>
/// <param name="Exclusion">Why there is none.</param>
public readonly record struct TruthFinding(Truth? Truth, CurationExclusion? Exclusion)
{
    internal static TruthFinding None(CurationExclusion reason) => new(null, reason);
}

/// <summary>
/// Finds the right answer to a request: the newest correction, else the newest teacher's label, else the own answer if its client accepted it.
/// </summary>
/// <remarks>
/// Decision: where a correction and a label differ, the correction counts if two keys agree on it, or if its key is trusted enough and has earned it by reports that were borne out
/// before (<see cref="KeyTrust.IsEstablished"/>). Otherwise the teacher's answer is trained on, and the request is not evaluated on: neither one unknown voice nor a
/// teacher that may not know a new policy yet decides what is measured. Contradicted reports are no truth. They keep a request out of training, but
/// not its label out of an evaluation.
/// </remarks>
public sealed class TruthFinder
{
    private readonly KeyTrust _trust;
    private readonly double _minimumTrust;
    private readonly DateTimeOffset _asOf;
    private readonly AnswerComparer _same;

    /// <summary>A finder.</summary>
    /// <param name="trust">What is known of the keys.</param>
    /// <param name="minimumTrust">The trust below which a key's reports are no truth.</param>
    /// <param name="asOf">Later reports and labels do not count.</param>
    /// <param name="same">Whether two answers say the same.</param>
    public TruthFinder(KeyTrust trust, double minimumTrust, DateTimeOffset asOf, AnswerComparer same)
    {
        ArgumentNullException.ThrowIfNull(trust);
        ArgumentNullException.ThrowIfNull(same);
        (_trust, _minimumTrust, _asOf, _same) = (trust, minimumTrust, asOf, same);
    }

    /// <summary>The truth to train on: of a teacher only where its terms allow it.</summary>
    public TruthFinding ForTraining(SignalRequest request)
    {
        Evidence evidence = Read(request);
        if (evidence.Contradicted)
        {
            return TruthFinding.None(CurationExclusion.Contradicted);
        }
        TruthFinding? correction = Corrected(request, evidence);
        if (correction is { } corrected && corrected.Exclusion != CurationExclusion.Disputed)
        {
            return corrected;
        }
        if (evidence.Labels.LastOrDefault(static l => l.TrainingAllowed) is { } label)
        {
            // A newer answer that must not be taught still says that the older one is out of date.
            return !_same(request.Key.Task, label.Answer!, evidence.Labels[^1].Answer!) ? TruthFinding.None(CurationExclusion.NotAllowed) : Labelled(request, evidence, label);
        }
        if (correction is { } disputed)
        {
            return disputed;
        }
        TruthFinding accepted = Accepted(request, evidence);
        return accepted.Truth is null && evidence.Labels.Count > 0 ? TruthFinding.None(CurationExclusion.NotAllowed) : accepted;
    }

    /// <summary>The truth to evaluate against: of any teacher.</summary>
    public TruthFinding ForEvaluation(SignalRequest request)
    {
        Evidence evidence = Read(request);
        if (!evidence.Contradicted && Corrected(request, evidence) is { } correction)
        {
            return correction;
        }
        return evidence.Labels.Count > 0 ? Labelled(request, evidence, evidence.Labels[^1])
            : evidence.Contradicted ? TruthFinding.None(CurationExclusion.Contradicted)
            : Accepted(request, evidence);
    }

    /// <summary>Why a request's truth is known.</summary>
    public EvaluationBasis BasisOf(SignalRequest request)
    {
        IReadOnlyList<TeacherLabel> labels = Read(request).Labels;
        return request.Audited && labels.Count > 0 ? EvaluationBasis.Audit
            : labels.Any(static l => l.Reason != LabelReason.Failure) ? EvaluationBasis.Chosen
            : EvaluationBasis.Judged;
    }

    /// <summary>The own answer to an old request, where nobody says that it is wrong and the router was sure of it; null otherwise.</summary>
    /// <param name="request">The request.</param>
    /// <param name="minimumPCorrect">How sure.</param>
    public Truth? Own(SignalRequest request, double minimumPCorrect)
    {
        Evidence evidence = Read(request);
        bool doubted = evidence.Labels.Any(static l => l.Correct == false) || evidence.Outcomes.Any(static o => o.Kind is OutcomeKind.Rejected or OutcomeKind.Corrected || o.Score < 0.5);
        return !doubted && request.Key.PCorrect is { } sure && sure >= minimumPCorrect && sure > 0 && !string.IsNullOrWhiteSpace(request.LocalAnswer)
            ? new Truth(request.LocalAnswer, ExampleSource.Own, request.Key.At, null, Math.Min(sure, 1), false)
            : null;
    }

    /// <summary>The own answer that is known not to be wanted: rejected or corrected by a client that is believed, or wrong by the teacher; null where there is none, or it says the same as the truth.</summary>
    public string? Rejected(SignalRequest request, Truth truth)
    {
        ArgumentNullException.ThrowIfNull(truth);
        if (string.IsNullOrWhiteSpace(request.LocalAnswer) || _same(request.Key.Task, request.LocalAnswer, truth.Answer))
        {
            return null;
        }
        Evidence evidence = Read(request);
        bool byClient = request.Route == Route.Local &&
            evidence.Outcomes.Any(o => o.Kind is OutcomeKind.Rejected or OutcomeKind.Corrected && _trust.Of(o.KeyId, o.At) >= _minimumTrust);
        // Where the label came with no verdict, that it differs is the verdict.
        bool byTeacher = evidence.Labels.Count > 0 && !(evidence.Labels[^1].Correct ?? false);
        return byClient || byTeacher ? request.LocalAnswer : null;
    }

    private Evidence Read(SignalRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        Outcome[] outcomes = [.. request.Outcomes.Where(o => o.At <= _asOf)];
        // The store's flag counts only where it rests on nothing that came later: a resumed cycle must find what the first attempt found.
        bool contradicted = Contradiction.In(outcomes) || (request.Contradicted && outcomes.Length == request.Outcomes.Count);
        return new Evidence(outcomes, [.. request.Labels.Where(l => l.At <= _asOf && !string.IsNullOrWhiteSpace(l.Answer))], contradicted);
    }

    // Null: nobody corrected it, or only one who is not believed where a teacher says otherwise.
    private TruthFinding? Corrected(SignalRequest request, Evidence evidence)
    {
        Outcome[] corrections = [.. evidence.Outcomes.Where(static o => o.Kind == OutcomeKind.Corrected && !string.IsNullOrWhiteSpace(o.Correction))];
        if (corrections.Length == 0)
        {
            return null;
        }
        Outcome newest = corrections[^1];
        string task = request.Key.Task;
        bool Same(string answer) => _same(task, newest.Correction!, answer);
        Truth Of(string? reporter, double trust, bool strong) => new(newest.Correction!, ExampleSource.Correction, newest.At, reporter, trust, strong);

        TeacherLabel? label = evidence.Labels.Count > 0 ? evidence.Labels[^1] : null;
        if (label is not null && Same(label.Answer!))
        {
            return new TruthFinding(Of(null, 1, true), null);
        }
        double trust = _trust.Of(newest.KeyId, newest.At);
        if (newest.KeyId is not null && trust >= _minimumTrust && corrections.Any(o => o.KeyId is not null && o.KeyId != newest.KeyId && _trust.Of(o.KeyId, o.At) >= _minimumTrust && Same(o.Correction!)))
        {
            return new TruthFinding(Of(null, trust, true), null);
        }
        if (trust < _minimumTrust)
        {
            return label is null ? TruthFinding.None(CurationExclusion.Untrusted) : null;
        }
        bool established = _trust.IsEstablished(newest.KeyId);
        bool others = corrections.GroupBy(static o => o.KeyId ?? "", StringComparer.Ordinal).Any(g => g.Key != (newest.KeyId ?? "") && !Same(g.Last().Correction!));
        return (label is not null && !established) || others
            ? TruthFinding.None(CurationExclusion.Disputed)
            : new TruthFinding(Of(newest.KeyId ?? "", trust, established), null);
    }

    private TruthFinding Labelled(SignalRequest request, Evidence evidence, TeacherLabel label)
    {
        // What the client was sent was this answer, unless a teacher was asked again since.
        bool rejected = request.Route == Route.Frontier &&
            evidence.Outcomes.Any(o => o.Kind == OutcomeKind.Rejected && o.At >= label.At && _trust.Of(o.KeyId, o.At) >= _minimumTrust);
        return rejected ? TruthFinding.None(CurationExclusion.TeacherRejected) : new TruthFinding(new Truth(label.Answer!, ExampleSource.Teacher, label.At, null, 1, true), null);
    }

    private TruthFinding Accepted(SignalRequest request, Evidence evidence)
    {
        Outcome? newest = evidence.Outcomes.LastOrDefault(static o => o.Kind == OutcomeKind.Accepted);
        bool wrong = evidence.Labels.Count > 0 && evidence.Labels[^1].Correct == false;
        if (newest is null || wrong || newest.Score < 0.5 || request.Route != Route.Local || string.IsNullOrWhiteSpace(request.LocalAnswer))
        {
            return TruthFinding.None(CurationExclusion.NoTruth);
        }
        double trust = _trust.Of(newest.KeyId, newest.At);
        return trust < _minimumTrust
            ? TruthFinding.None(CurationExclusion.Untrusted)
            : new TruthFinding(new Truth(request.LocalAnswer, ExampleSource.Accepted, newest.At, newest.KeyId ?? "", trust, false), null);
    }

    private readonly record struct Evidence(IReadOnlyList<Outcome> Outcomes, IReadOnlyList<TeacherLabel> Labels, bool Contradicted);
}
