using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Curation;

public sealed class TruthFinderTests
{
    private static readonly DateTimeOffset Later = Signal.Start.AddYears(1);

    // "honest" was borne out ten times, "liar" never.
    private static readonly SignalRequest[] History =
    [
        .. Enumerable.Range(100, 10).Select(static i => Signal.Request(i, $"h{i}", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "yes", "honest")),
        .. Enumerable.Range(200, 10).Select(static i => Signal.Request(i, $"l{i}", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "never", "liar")),
    ];

    [Fact]
    public void A_correction_comes_before_a_label_and_a_label_before_an_accepted_answer()
    {
        SignalRequest accepted = Signal.Request(1, "q", "local").Reported(OutcomeKind.Accepted, key: "honest");
        Assert.Equal(("local", ExampleSource.Accepted), Training(accepted));
        Assert.Equal(("teacher", ExampleSource.Teacher), Training(accepted.Labelled("teacher", false)));
        Assert.Equal(("newer", ExampleSource.Teacher), Training(accepted.Labelled("teacher", false).Labelled("newer", false, hours: 5)));
        SignalRequest corrected = Signal.Request(1, "q", "local").Labelled("teacher", false).Reported(OutcomeKind.Corrected, "client", "honest");
        Assert.Equal(("client", ExampleSource.Correction), Training(corrected));
        Assert.Equal(("client", ExampleSource.Correction), Evaluation(corrected));
        Assert.Equal(CurationExclusion.NoTruth, Finder().ForTraining(Signal.Request(1, "q", "local").Reported(OutcomeKind.Rejected)).Exclusion);
        Assert.Equal(CurationExclusion.NoTruth, Finder().ForTraining(Signal.Request(1, "q", "local").Reported(OutcomeKind.Accepted, score: 0.2)).Exclusion);
    }

    [Fact]
    public void One_unknown_voice_does_not_overrule_the_teacher_but_two_do()
    {
        SignalRequest request = Signal.Request(1, "q", "local").Labelled("teacher", false).Reported(OutcomeKind.Corrected, "client", "stranger");
        Assert.Equal(("teacher", ExampleSource.Teacher), Training(request));
        Assert.Equal(CurationExclusion.Disputed, Finder().ForEvaluation(request).Exclusion);
        request = request.Reported(OutcomeKind.Corrected, "Client.", "second");
        Assert.Equal(("Client.", ExampleSource.Correction), Training(request));
        Assert.Equal(("Client.", ExampleSource.Correction), Evaluation(request));
        Assert.True(Finder().ForTraining(request).Truth is { Reporter: null, Strong: true });
    }

    [Fact]
    public void Who_is_not_trusted_teaches_nothing()
    {
        SignalRequest corrected = Signal.Request(201, "q", "local").Reported(OutcomeKind.Corrected, "lie", "liar");
        Assert.Equal(CurationExclusion.Untrusted, Finder().ForTraining(corrected).Exclusion);
        Assert.Equal(CurationExclusion.Untrusted, Finder().ForTraining(Signal.Request(201, "q", "local").Reported(OutcomeKind.Accepted, key: "liar")).Exclusion);
        Assert.Equal(("teacher", ExampleSource.Teacher), Training(corrected.Labelled("teacher", false)));
        Assert.Equal(("teacher", ExampleSource.Teacher), Evaluation(corrected.Labelled("teacher", false)));
        // Nor does it make two voices of one.
        SignalRequest pair = corrected.Labelled("teacher", false).Reported(OutcomeKind.Corrected, "lie", "stranger");
        Assert.Equal(("teacher", ExampleSource.Teacher), Training(pair));
    }

    [Fact]
    public void Trust_is_in_the_truth_until_somebody_else_says_so_too()
    {
        SignalRequest request = Signal.Request(1, "q", "local").Reported(OutcomeKind.Corrected, "client", "stranger");
        Assert.True(Finder().ForTraining(request).Truth is { Reporter: "stranger", Trust: KeyTrust.Unknown, Strong: false });
        Assert.True(Finder().ForTraining(request.Labelled("client", false)).Truth is { Reporter: null, Trust: 1, Strong: true, Source: ExampleSource.Correction });
        Assert.Equal(CurationExclusion.Disputed, Finder().ForTraining(request.Reported(OutcomeKind.Corrected, "other", "second")).Exclusion);
        Assert.Equal(("other", ExampleSource.Correction), Training(request.Reported(OutcomeKind.Corrected, "other", "stranger")));
    }

    [Fact]
    public void Contradicted_requests_are_not_trained_on_and_keep_their_label_for_evaluation()
    {
        SignalRequest request = Signal.Request(1, "q", "local").Labelled("teacher", false).Reported(OutcomeKind.Accepted).Reported(OutcomeKind.Corrected, "client", "honest");
        Assert.Equal(CurationExclusion.Contradicted, Finder().ForTraining(request).Exclusion);
        Assert.Equal(("teacher", ExampleSource.Teacher), Evaluation(request));
        Assert.Equal(CurationExclusion.Contradicted, Finder().ForTraining(Signal.Request(1, "q", "local").Labelled("teacher") with { Contradicted = true }).Exclusion);
    }

    [Fact]
    public void Labels_that_must_not_be_taught_are_only_evaluated_with()
    {
        SignalRequest request = Signal.Request(1, "q", "local").Labelled("teacher", false, allowed: false);
        Assert.Equal(CurationExclusion.NotAllowed, Finder().ForTraining(request).Exclusion);
        Assert.Equal(("teacher", ExampleSource.Teacher), Evaluation(request));
        SignalRequest both = Signal.Request(1, "q", "local").Labelled("old", false).Labelled("new", false, allowed: false, hours: 5);
        Assert.Equal(CurationExclusion.NotAllowed, Finder().ForTraining(both).Exclusion);
        Assert.Equal(("new", ExampleSource.Teacher), Evaluation(both));
        SignalRequest accepted = Signal.Request(1, "q", "local").Labelled("local", true, allowed: false).Reported(OutcomeKind.Accepted);
        Assert.Equal(("local", ExampleSource.Accepted), Training(accepted));
    }

    [Fact]
    public void A_rejected_teacher_is_not_believed_until_asked_again()
    {
        SignalRequest request = Signal.Request(1, "q", route: Route.Frontier).Labelled("teacher").Reported(OutcomeKind.Rejected, key: "honest");
        Assert.Equal(CurationExclusion.TeacherRejected, Finder().ForTraining(request).Exclusion);
        Assert.Equal(("better", ExampleSource.Teacher), Training(request.Labelled("better", hours: 5)));
        SignalRequest lied = Signal.Request(201, "q", route: Route.Frontier).Labelled("teacher").Reported(OutcomeKind.Rejected, key: "liar");
        Assert.Equal(("teacher", ExampleSource.Teacher), Training(lied));
    }

    [Fact]
    public void What_came_after_the_cut_does_not_count()
    {
        SignalRequest request = Signal.Request(1, "q", "local").Labelled("teacher", false).Labelled("later", false, hours: 50).Reported(OutcomeKind.Accepted, hours: 60).Reported(OutcomeKind.Rejected, hours: 61)
            with
        { Contradicted = true };
        TruthFinder finder = new(KeyTrust.From(History, Later, Same), 0.5, request.Key.At.AddHours(10), Same);
        Assert.Equal("teacher", finder.ForTraining(request).Truth?.Answer);
    }

    [Fact]
    public void Own_answers_are_kept_where_the_router_was_sure_and_nobody_doubts_them()
    {
        SignalRequest sure = Signal.Request(1, "q", "local").Sure(0.95);
        Assert.True(Finder().Own(sure, 0.9) is { Answer: "local", Source: ExampleSource.Own, Trust: 0.95 });
        Assert.Null(Finder().Own(sure.Sure(0.8), 0.9));
        Assert.Null(Finder().Own(sure.Labelled("teacher", false, allowed: false), 0.9));
        Assert.Null(Finder().Own(sure.Reported(OutcomeKind.Rejected, key: "liar"), 0.9));
        Assert.Null(Finder().Own(Signal.Request(1, "q", "local"), 0));
    }

    [Fact]
    public void A_rejected_answer_is_one_that_somebody_believed_says_is_wrong()
    {
        Truth truth = new("right", ExampleSource.Teacher, Signal.Start, null, 1, true);
        Assert.Equal("wrong", Finder().Rejected(Signal.Request(1, "q", "wrong").Labelled("right", false), truth));
        Assert.Equal("wrong", Finder().Rejected(Signal.Request(1, "q", "wrong").Reported(OutcomeKind.Rejected), truth));
        Assert.Null(Finder().Rejected(Signal.Request(1, "q", "Right.").Labelled("right", false), truth));
        Assert.Null(Finder().Rejected(Signal.Request(1, "q", "in other words").Labelled("right", true), truth));
        Assert.Null(Finder().Rejected(Signal.Request(201, "q", "wrong").Reported(OutcomeKind.Rejected, key: "liar"), truth));
        Assert.Null(Finder().Rejected(Signal.Request(1, "q", "unseen", route: Route.Frontier).Reported(OutcomeKind.Rejected), truth));
        Assert.Null(Finder().Rejected(Signal.Request(1, "q").Labelled("right"), truth));
    }

    private static TruthFinder Finder() => new(KeyTrust.From(History, Later, Same), 0.5, Later, Same);

    private static (string?, ExampleSource?) Training(SignalRequest request)
    {
        Truth? truth = Finder().ForTraining(request).Truth;
        return (truth?.Answer, truth?.Source);
    }

    private static (string?, ExampleSource?) Evaluation(SignalRequest request)
    {
        Truth? truth = Finder().ForEvaluation(request).Truth;
        return (truth?.Answer, truth?.Source);
    }

    private static bool Same(string task, string a, string b) => Agreement.Score(AgreementMeasure.Normalized, a, b) == 1;
}
