using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>
/// Makes the data of a cycle out of the requests that a <see cref="SignalPlan"/> chose. The result depends on the plan, the set of requests, the time and the options alone, in
/// whatever order the requests come. Thread-safe.
/// </summary>
/// <remarks>
/// In order: the right answer to each request and who says so (<see cref="TruthFinder"/>); answers that are out of date; prompts that are in training and evaluation
/// (<see cref="LeakCheck"/>); duplicates; the caps per key (<see cref="KeyCaps"/>) and of the set; replay, an even sample of the old slices and what an update is likely to break (<see cref="Rehearsal"/>); weights and preference pairs.
/// <para>
/// Policies change, so where the same question has several answers the newest that a teacher or a correction gives counts, and older ones are left out: of training, of replay, which
/// would teach the old policy again, and of every evaluation, which would hold the new one against the candidate. The same question means the same words up to typing errors
/// (<see cref="PromptText.AsksTheSame"/>). Near-duplicates with a different word and a different answer are both kept: there the word is what matters. Decision: one key's word
/// supersedes an answer that is evaluated on only if the key has proved right before, or said that answer itself. Otherwise anybody could empty the golden set by correcting it.
/// </para>
/// <para>
/// A weight is source × trust × age. Trust is that in the key on whose word the answer rests (for unjudged own answers: the estimated probability that they are right).
/// Age is 2^(−days ÷ half-life) since the answer was given, and never below 0.25. Decision: the floor, and that replay ages too. What is old is less certain to be right still; but
/// what an even sample chose to remember must not be forgotten by its weight.
/// </para>
/// <para>Decision: preference pairs are of fresh requests only. What an older adapter got wrong the champion mostly no longer says, and to learn not to say it is lost work.</para>
/// </remarks>
public sealed class Curator
{
    private const double AgeFloor = 0.25;

    private readonly CurationOptions _options;
    private readonly AnswerComparer _same;

    /// <summary>Throws <see cref="PolicyOptionException"/>.</summary>
    /// <param name="options">What to choose.</param>
    /// <param name="same">Whether two answers say the same; null: by <see cref="AgreementMeasure.Normalized"/>.</param>
    public Curator(CurationOptions options, AnswerComparer? same = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _same = same ?? (static (_, a, b) => Agreement.Score(AgreementMeasure.Normalized, a, b) == 1);
    }

    /// <summary>Curates.</summary>
    /// <param name="plan">What was chosen to be read.</param>
    /// <param name="requests">The planned requests as far as they are still there; others are left aside.</param>
    /// <param name="asOf">The time of the cut: labels and reports that came later do not count, so that a resumed cycle finds the same.</param>
    public CuratedSet Curate(SignalPlan plan, IEnumerable<SignalRequest> requests, DateTimeOffset asOf)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(requests);
        Dictionary<string, SignalRequest> read = new(StringComparer.Ordinal);
        foreach (SignalRequest request in requests)
        {
            read.TryAdd(request.Key.RequestId, request);
        }
        CurationPass pass = new(_options, _same, asOf);
        pass.Take(plan, read);
        PromptGroups groups = PromptGroups.Of(pass.Items, _options.NearDuplicate);
        pass.DropSuperseded(groups);
        pass.DropRefuted();
        LeakCheck.Apply(groups, _options.LeakLimit);
        pass.DropDuplicates(groups);
        pass.Cap();
        pass.DropReplay();
        return Result(pass, asOf);
    }

    private CuratedSet Result(CurationPass pass, DateTimeOffset asOf)
    {
        List<CurationItem> kept = [.. pass.Items.Where(static i => i.Exclusion is null)];
        kept.Sort(static (a, b) => SignalPlan.ByArrival(a.Request.Key, b.Request.Key));
        (CuratedExample Example, ExampleTexts Texts)[] train = [.. kept.Where(static i => !i.IsEvaluation).Select(item => Example(item, pass, asOf))];
        EvaluationRequest[] Suite(CurationRole role, EvaluationSuite suite) => [.. kept.Where(i => i.Role == role).Select(i => new EvaluationRequest(
            i.Id, SliceOf(i.Request), i.Request.Key.Task, i.Request.Prompt, i.Truth.Answer, suite, pass.Finder.BasisOf(i.Request)))];
        EvaluationRequest[] fresh = Suite(CurationRole.FreshHoldout, EvaluationSuite.Fresh);
        EvaluationRequest[] old = Suite(CurationRole.OldHoldout, EvaluationSuite.Old);
        EvaluationRequest[] golden = Suite(CurationRole.Golden, EvaluationSuite.Golden);
        return new CuratedSet
        {
            Train = train,
            FreshHoldout = fresh,
            OldHoldout = old,
            Golden = golden,
            Report = pass.Report(train, [.. kept.Where(static i => !i.IsEvaluation)], [.. fresh, .. old, .. golden]),
            Hash = CuratedSet.HashOf(train),
            EvaluationHash = CuratedSet.HashOf([.. fresh, .. old, .. golden]),
        };
    }

    private (CuratedExample Example, ExampleTexts Texts) Example(CurationItem item, CurationPass pass, DateTimeOffset asOf)
    {
        bool replay = item.Role == CurationRole.Replay;
        string? rejected = _options.Pairs && !replay && item.IsSaid ? pass.Finder.Rejected(item.Request, item.Truth) : null;
        double age = Math.Max(0, (asOf - item.Truth.At).TotalDays);
        double weight = SourceWeight(item.Truth.Source) * item.Truth.Trust * Math.Max(AgeFloor, Math.Pow(2, -age / _options.HalfLife));
        CuratedExample example = new()
        {
            RequestId = item.Id,
            Task = item.Request.Key.Task,
            Slice = SliceOf(item.Request),
            Source = item.Truth.Source,
            Replay = replay,
            Weight = weight,
            IsPair = rejected is not null,
        };
        return (example, new ExampleTexts(item.Request.Prompt, item.Truth.Answer, rejected));
    }

    private double SourceWeight(ExampleSource source) => source switch
    {
        ExampleSource.Teacher => _options.TeacherWeight,
        ExampleSource.Correction => _options.CorrectionWeight,
        ExampleSource.Accepted => _options.AcceptedWeight,
        ExampleSource.Own => _options.OwnWeight,
        _ => throw new ArgumentOutOfRangeException(nameof(source), source, null),
    };

    private static string SliceOf(SignalRequest request) => Slices.Of(request.Key.Task, request.Key.At);
}
