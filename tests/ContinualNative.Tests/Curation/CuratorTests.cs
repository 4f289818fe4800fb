using System.Text.Json;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Curation;

public sealed class CuratorTests
{
    private const string Long = "hello there, I bought a washing machine in your shop some weeks ago and wanted to ask you whether it is possible to return it to the shop";

    [Fact]
    public void The_newest_answer_to_a_question_supersedes_older_ones_everywhere()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "How long can I return things?").Labelled("30 days"),
            Signal.Request(2, "how long can I return things", heldOut: true).Labelled("30 days"),
            Signal.Request(3, "How long can I return thigns?", golden: true).Labelled("30 days"),
            Signal.Request(4, "how long can i return THINGS", "30 days").Sure(0.99),
            Signal.Request(5, "Is it open on Sunday?", golden: true).Labelled("no"),
            Signal.Request(6, "Do you ship abroad?").Labelled("yes"),
            Signal.Request(11, "How long can I return things?").Labelled("14 days"),
            Signal.Request(12, "how long can I return  things?", heldOut: true).Labelled("14 days"),
        ];
        // Alone, the held-out request of today would take its question out of training.
        CuratedSet set = Signal.Curate(requests, 10, Signal.Options with { LeakLimit = 0, NearDuplicate = 0.6, ReplayRatio = 5 });
        Assert.Equal([Signal.Id(6), Signal.Id(11)], set.Ids());
        Assert.Equal("14 days", set.Train[1].Texts.Answer);
        Assert.Equal([Signal.Id(5)], set.Golden.Select(static e => e.RequestId));
        Assert.Empty(set.OldHoldout);
        Assert.Equal(2, set.Report.Excluded[CurationExclusion.Superseded]);
        Assert.Equal(2, set.Report.ExcludedFromEvaluation[CurationExclusion.Superseded]);
        Assert.Equal(1, set.Report.ExcludedFromEvaluation[CurationExclusion.Repeated]);
    }

    [Fact]
    public void A_policy_that_came_back_is_the_newest_again()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "Opening hours?", golden: true).Labelled("nine to five"),
            Signal.Request(2, "opening hours?").Labelled("nine to six"),
            Signal.Request(3, "opening hours").Labelled("nine to five"),
            Signal.Request(4, "Where?").Labelled("here"),
        ];
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal([Signal.Id(1)], set.Golden.Select(static e => e.RequestId));
        Assert.Equal(1, set.Report.Excluded[CurationExclusion.Superseded]);
    }

    [Fact]
    public void One_unproven_word_supersedes_what_is_trained_on_but_not_what_is_evaluated_on()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "Who are you?", golden: true).Labelled("a helper"),
            Signal.Request(2, "Who owns you?", golden: true).Reported(OutcomeKind.Corrected, "the shop", "owner"),
            Signal.Request(11, "who are you?", "x").Reported(OutcomeKind.Corrected, "a pirate", "stranger"),
            Signal.Request(12, "who owns you?", "x").Reported(OutcomeKind.Corrected, "the bank", "owner"),
        ];
        CuratedSet set = Signal.Curate(requests, 10);
        Assert.Equal([Signal.Id(1)], set.Golden.Select(static e => e.RequestId));
        Assert.Equal([Signal.Id(12)], set.Ids());
        Assert.Equal(1, set.Report.Excluded[CurationExclusion.Leak]);
    }

    [Fact]
    public void Near_duplicates_that_say_the_same_are_one_example_and_others_are_two()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, Long).Labelled("yes"),
            Signal.Request(2, Long + ".").Labelled("yes"),
            Signal.Request(3, Long.Replace("possible", "posible", StringComparison.Ordinal)).Labelled("yes"),
            Signal.Request(4, Long.Replace("possible", "allowed", StringComparison.Ordinal)).Labelled("yes"),
            Signal.Request(5, Long.Replace("return it", "repair it", StringComparison.Ordinal)).Labelled("no"),
        ];
        CuratedSet set = Signal.Curate(requests, options: Signal.Options with { NearDuplicate = 0.8 });
        Assert.Equal([Signal.Id(4), Signal.Id(5)], set.Ids());
        Assert.Equal(3, set.Report.Excluded[CurationExclusion.NearDuplicate]);
        // Two are the same but for the full stop.
        set = Signal.Curate(requests, options: Signal.Options with { NearDuplicate = 1 });
        Assert.Equal([Signal.Id(2), Signal.Id(3), Signal.Id(4), Signal.Id(5)], set.Ids());
        Assert.Equal(1, set.Report.Excluded[CurationExclusion.Duplicate]);
    }

    [Fact]
    public void Accepted_answers_do_not_stand_against_a_teacher()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "Is it free?").Labelled("no"),
            Signal.Request(2, "is it free", "yes").Reported(OutcomeKind.Accepted),
            Signal.Request(3, "is it good", "yes").Reported(OutcomeKind.Accepted),
        ];
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal([Signal.Id(1), Signal.Id(3)], set.Ids());
        Assert.Equal(1, set.Report.Excluded[CurationExclusion.Conflict]);
    }

    [Fact]
    public void Prompts_that_are_evaluated_on_leave_training_up_to_the_limit()
    {
        List<SignalRequest> requests = [.. Enumerable.Range(1, 8).Select(static i => Signal.Request(i, $"question {i}").Labelled("yes"))];
        requests.Add(Signal.Request(21, "Question 1?", heldOut: true).Labelled("yes"));
        requests.Add(Signal.Request(22, "question 2", golden: true).Labelled("yes"));
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal(6, set.Train.Count);
        Assert.Equal(2, set.Report.Excluded[CurationExclusion.Leak]);

        // Beyond it the most frequent is trained on, except for golden ones.
        requests.Add(Signal.Request(23, "question 3", heldOut: true).Labelled("yes"));
        requests.Add(Signal.Request(31, "question 3").Labelled("yes"));
        set = Signal.Curate(requests);
        Assert.Contains(set.Train, static t => t.Texts.Prompt.Contains("question 3", StringComparison.Ordinal));
        Assert.Equal([Signal.Id(21, true)], set.FreshHoldout.Select(static e => e.RequestId));
        Assert.Equal([Signal.Id(22)], set.Golden.Select(static e => e.RequestId));
        Assert.Equal(1, set.Report.ExcludedFromEvaluation[CurationExclusion.Repeated]);
    }

    [Fact]
    public void A_long_instruction_in_every_prompt_hides_nothing_from_training()
    {
        Random random = new(1);
        string Words(int count) => string.Join(' ', Enumerable.Range(0, count).Select(_ => string.Concat(Enumerable.Range(0, 6).Select(_ => (char)('a' + random.Next(26))))));
        string instruction = Words(100);
        SignalRequest[] requests = [.. Enumerable.Range(1, 200).Select(i => Signal.Request(i, $"{instruction} {Words(3)}", golden: i % 20 == 0).Labelled(i % 2 == 0 ? "yes" : "no"))];
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal((190, 10), (set.Train.Count, set.Golden.Count));
    }

    [Fact]
    public void A_key_that_nobody_bears_out_has_no_more_than_its_share()
    {
        List<SignalRequest> requests =
        [
            .. Enumerable.Range(1, 90).Select(static i => Signal.Request(i, $"question {i}", "x", key: "many").Reported(OutcomeKind.Corrected, "lie", "many")),
            .. Enumerable.Range(101, 10).Select(static i => Signal.Request(i, $"question {i}", "x", key: "few").Reported(OutcomeKind.Corrected, "truth", "few")),
            .. Enumerable.Range(201, 20).Select(static i => Signal.Request(i, $"question {i}", "x", key: "many").Labelled("right", false)),
        ];
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal(30, set.Train.Count(static t => t.Texts.Answer == "lie"));
        Assert.Equal(10, set.Train.Count(static t => t.Texts.Answer == "truth"));
        Assert.Equal(20, set.Train.Count(static t => t.Texts.Answer == "right"));
        Assert.Equal(60, set.Report.Excluded[CurationExclusion.KeyCap]);
        // Alone, or the only one that says anything, it is not capped.
        Assert.Equal(90, Signal.Curate(requests[..90]).Train.Count);
        Assert.Equal(90, Signal.Curate([.. requests[..90].Select(static (r, i) => r with { Key = r.Key with { KeyId = $"key{i}" } })]).Train.Count);
    }

    [Fact]
    public void A_poisoned_week_is_found_by_the_labels_that_its_author_cannot_see()
    {
        // Of 200 false corrections and 100 honest ones, one in ten was audited.
        List<SignalRequest> requests = [];
        for (int i = 1; i <= 300; i++)
        {
            bool liar = i % 3 != 0;
            SignalRequest request = Signal.Request(i, $"question {i}", "wrong", key: liar ? "liar" : "honest").Reported(OutcomeKind.Corrected, liar ? "poison" : "right", liar ? "liar" : "honest");
            requests.Add(i % 10 is 1 or 3 ? Signal.Audit(request.Labelled("right", false, reason: LabelReason.Audit)) : request);
        }
        CuratedSet set = Signal.Curate(requests);
        Assert.DoesNotContain(set.Train, static t => t.Texts.Answer == "poison");
        // Audited ones are measured on, not trained on.
        Assert.True(set.Train.Count > 60);
        Assert.True(set.Report.Excluded[CurationExclusion.Untrusted] > 100);
        Assert.True(set.Report.Trust.Single(static f => f.KeyId == "liar").Trust < 0.2);
    }

    [Fact]
    public void A_weight_is_source_times_trust_times_age()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "a").Labelled("x", hours: 0),
            Signal.Request(2, "b", "y").Reported(OutcomeKind.Accepted, hours: 0),
            Signal.Request(3, "c", "y").Reported(OutcomeKind.Corrected, "z", hours: 0),
            Signal.Request(4, "d", "own").Sure(0.95),
            Signal.Request(24 * 60, "e").Labelled("x", hours: 0),
            Signal.Request(24 * 61, "f").Labelled("x", hours: 0),
        ];
        CurationOptions options = Signal.Options with { HalfLife = 10, ReplayRatio = 10 };
        SignalPlan plan = SignalPlan.Make(requests.Select(static r => r.Key), 4, 24 * 61, options);
        CuratedSet set = new Curator(options).Curate(plan, requests, requests[^1].Key.At);
        double[] weights = [.. set.Train.Select(static t => t.Example.Weight)];
        Assert.Equal([0.25, 0.5 * 0.8 * 0.25, 0.8 * 0.25, 0.3 * 0.95 * 0.25, Math.Pow(2, -0.1), 1], weights.Select(static w => Math.Round(w, 12)), static (a, b) => Math.Abs(a - b) < 1e-9);
        Assert.Equal([true, true, true, true, false, false], set.Train.Select(static t => t.Example.Replay));
        Assert.Equal(weights.Sum(), set.Report.Weight, 12);
    }

    [Fact]
    public void Pairs_are_made_of_fresh_answers_that_were_wrong()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "a", "wrong").Labelled("right", false),
            Signal.Request(11, "b", "wrong").Labelled("right", false),
            Signal.Request(12, "c", "Right.").Labelled("right", true),
            Signal.Request(13, "d", "wrong").Reported(OutcomeKind.Corrected, "right"),
            Signal.Request(14, "e", "fine").Reported(OutcomeKind.Accepted),
        ];
        CuratedSet set = Signal.Curate(requests, 10);
        Assert.Equal(["b", "d"], set.Train.Where(static t => t.Example.IsPair).Select(static t => PromptText.Read(t.Texts.Prompt)!.Body[^1..]));
        Assert.All(set.Train, static t => Assert.Equal(t.Example.IsPair ? "wrong" : null, t.Texts.Rejected));
        Assert.Equal(2, set.Report.Pairs);
        Assert.All(Signal.Curate(requests, 10, Signal.Options with { Pairs = false }).Train, static t => Assert.Null(t.Texts.Rejected));
    }

    [Fact]
    public void Fresh_evidence_is_not_chosen_by_whether_the_champion_was_right()
    {
        List<SignalRequest> requests =
        [
            Signal.Request(1, "a", "x", heldOut: true).Reported(OutcomeKind.Accepted),
            Signal.Request(2, "b", "x", heldOut: true).Reported(OutcomeKind.Corrected, "y"),
            Signal.Request(3, "c", "x", heldOut: true).Labelled("y", false, reason: LabelReason.Failure),
        ];
        Assert.Equal(3, Signal.Curate(requests).FreshHoldout.Count);
        requests.Add(Signal.Request(4, "d", "x", heldOut: true).Labelled("y", false, reason: LabelReason.Escalated));
        requests.Add(Signal.Audit(Signal.Request(5, "e", "x", heldOut: true).Labelled("y", false, reason: LabelReason.Audit)));
        CuratedSet set = Signal.Curate(requests);
        Assert.Equal([EvaluationBasis.Chosen, EvaluationBasis.Audit], set.FreshHoldout.Select(static e => e.Basis));
        Assert.Equal(3, set.Report.ExcludedFromEvaluation[CurationExclusion.Judged]);
    }

    [Fact]
    public void Limits_hold_and_replay_follows_the_fresh_examples()
    {
        List<SignalRequest> requests = [.. Enumerable.Range(1, 1500).Select(static i => Signal.Request(i, $"question {i}").Labelled("yes"))];
        CurationOptions options = Signal.Options with { MaxExamples = 60, ReplayRatio = 0.5 };
        CuratedSet set = Signal.Curate(requests, 1000, options);
        Assert.Equal((60, 30), (set.Report.Fresh, set.Report.Replay));
        int[] slices = [.. set.Train.Where(static t => t.Example.Replay).GroupBy(static t => t.Example.Slice).Select(static g => g.Count())];
        Assert.Equal(6, slices.Length);
        Assert.True(slices.Max() - slices.Min() <= 1);
        Assert.Equal(10, Signal.Curate(requests, 1000, options with { MaxReplay = 10 }).Report.Replay);
    }

    [Fact]
    public void The_report_says_what_became_of_every_request()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "a").Labelled("x"),
            Signal.Request(2, "a").Labelled("x"),
            Signal.Request(3, "c", "y").Reported(OutcomeKind.Rejected),
            Signal.Request(4, "d", heldOut: true, key: null).Labelled("x"),
            Signal.Request(5, "e") with { Prompt = "nothing" },
        ];
        requests[4] = requests[4].Labelled("x");
        SignalPlan plan = SignalPlan.Make([.. requests.Select(static r => r.Key), Signal.Request(6, "f").Labelled("x").Key], 0, 10, Signal.Options);
        CurationReport report = new Curator(Signal.Options).Curate(plan, requests, Signal.Start.AddDays(3)).Report;
        Assert.Equal(6, report.Planned);
        Assert.Equal(report.Planned, report.Fresh + report.Replay + report.Evaluation.Values.Sum() + report.Excluded.Values.Sum() + report.ExcludedFromEvaluation.Values.Sum());
        using JsonDocument json = JsonDocument.Parse(report.ToJson());
        Assert.Equal(1, json.RootElement.GetProperty("excluded").GetProperty("duplicate").GetInt32());
        Assert.Equal(1, json.RootElement.GetProperty("by_source").GetProperty("teacher").GetInt32());
        Assert.Equal(1, json.RootElement.GetProperty("evaluation").GetProperty("fresh").GetInt32());
        string[] lines = [.. report.Lines()];
        Assert.Contains("1 example to train on: 1 fresh, 0 old ones to be remembered; 0 preference pairs.", lines);
        Assert.Contains("Not trained on: 1, the same prompt is there already.", lines);
        Assert.Contains("Not trained on: 1, erased or without texts.", lines);
    }

    [Fact]
    public void Every_reason_has_its_words()
    {
        CurationReport report = Signal.Curate([Signal.Request(1, "a").Labelled("x")]).Report;
        CurationReport all = report with
        {
            Excluded = Enum.GetValues<CurationExclusion>().ToDictionary(static r => r, static _ => 1),
            BySource = Enum.GetValues<ExampleSource>().ToDictionary(static r => r, static _ => 1),
        };
        Assert.Equal(all.Lines().Count(), all.Lines().Distinct().Count());
    }
}
