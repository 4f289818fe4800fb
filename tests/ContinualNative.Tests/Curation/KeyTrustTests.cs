using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Curation;

public sealed class KeyTrustTests
{
    private static readonly DateTimeOffset Later = Signal.Start.AddYears(1);

    [Fact]
    public void Reports_that_labels_bear_out_earn_trust_and_others_lose_it()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "q1", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "Yes.", "good"),
            Signal.Request(2, "q2", "no").Labelled("yes", false).Reported(OutcomeKind.Rejected, key: "good"),
            Signal.Request(3, "q3", "yes").Labelled("yes", true).Reported(OutcomeKind.Accepted, key: "good"),
            Signal.Request(4, "q4", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "maybe", "bad"),
            Signal.Request(5, "q5", "no").Labelled("yes", false).Reported(OutcomeKind.Accepted, key: "bad"),
            Signal.Request(6, "q6", "yes").Labelled("yes", true).Reported(OutcomeKind.Rejected, key: "bad"),
            // Nothing to hold these against.
            Signal.Request(7, "q7", "yes").Reported(OutcomeKind.Rejected, key: "good"),
            Signal.Request(8, "q8", route: Route.Frontier).Labelled("yes").Reported(OutcomeKind.Corrected, "no", "good"),
            Signal.Request(9, "q9", "yes").Labelled("yes", true).Reported(OutcomeKind.Scored, key: "good", score: 0),
        ];
        KeyTrust trust = From(requests);
        Assert.Equal([("bad", 0, 3), ("good", 3, 3)], trust.Figures.Select(static f => (f.KeyId, f.Agreed, f.Checked)));
        // (a + 4 · 0.8) ÷ (n + 4), and the week's again with that as its mean.
        double good = (3 + 3.2) / 7, bad = 3.2 / 7;
        Assert.Equal((3 + 4 * good) / 7, trust.Of("good", Signal.Start), 12);
        Assert.Equal(4 * bad / 7, trust.Of("bad", Signal.Start), 12);
        Assert.Equal(good, trust.Of("good", Later), 12);
        Assert.Equal(KeyTrust.Unknown, trust.Of("other", Later), 12);
        Assert.True(trust.IsEstablished("good"));
        Assert.False(trust.IsEstablished(null));
    }

    [Fact]
    public void A_key_that_turns_is_judged_by_its_last_week()
    {
        // Three reports a day, nine weeks.
        List<SignalRequest> requests = [.. Enumerable.Range(0, 189).Select(static i => Signal.Request(i * 8, $"q{i}", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "yes"))];
        requests.AddRange(Enumerable.Range(189, 12).Select(static i => Signal.Request(i * 8, $"q{i}", "no").Labelled("yes", false).Reported(OutcomeKind.Corrected, "never")));
        KeyTrust trust = From(requests);
        Assert.True(trust.Of("a", Signal.Start) > 0.9);
        Assert.True(trust.Of("a", requests[^1].Key.At) < 0.5);
    }

    [Fact]
    public void Contradictions_count_against_those_who_contradict()
    {
        SignalRequest[] requests =
        [
            Signal.Request(1, "q1", "yes").Reported(OutcomeKind.Accepted, key: "a").Reported(OutcomeKind.Rejected, key: "a"),
            Signal.Request(2, "q2", "yes").Reported(OutcomeKind.Accepted, key: "b").Reported(OutcomeKind.Rejected, key: null),
        ];
        Assert.Equal([("", 0.5), ("a", 1), ("b", 0.5)], From(requests).Figures.Select(static f => (f.KeyId, f.Checked)));
    }

    [Fact]
    public void A_report_is_held_against_the_label_of_its_time()
    {
        // The policy changed a hundred hours later, and a teacher was asked again.
        SignalRequest request = Signal.Request(1, "q1", "no").Labelled("30 days", false).Labelled("14 days", false, hours: 100).Reported(OutcomeKind.Corrected, "30 days");
        Assert.Equal(1, From([request]).Figures[0].Agreed);
        Assert.Empty(KeyTrust.From([request], request.Key.At, Same).Figures);
    }

    private static KeyTrust From(IEnumerable<SignalRequest> requests) => KeyTrust.From(requests, Later, Same);

    private static bool Same(string task, string a, string b) => Agreement.Score(AgreementMeasure.Normalized, a, b) == 1;
}
