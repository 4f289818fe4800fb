using ContinualNative.Core.Curation;
using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Curation;

public sealed class RefutedAnswersTests
{
    private const string Old = "express shipping: 9.90 EUR";
    private const int Others = 80;
    private const string New = "express shipping: 7.50 EUR";

    // Two labels say, in other words than the old request's, that the price has changed.
    [Fact]
    public void An_answer_that_was_found_wrong_twice_and_right_never_is_no_longer_taught_nor_held_against_anybody()
    {
        CuratedSet set = Curate(refutations: 2);
        Assert.DoesNotContain(set.Train, static t => t.Texts.Answer == Old);
        Assert.DoesNotContain(set.Golden, static g => g.Truth == Old);
        Assert.Equal(2, set.Train.Count(static t => t.Texts.Answer == New));
        Assert.Equal(1, set.Report.Excluded[CurationExclusion.Refuted]);
        Assert.Equal(1, set.Report.ExcludedFromEvaluation[CurationExclusion.Refuted]);
    }

    [Fact]
    public void One_refutation_may_be_a_mistake()
    {
        CuratedSet set = Curate(refutations: 1);
        Assert.Contains(set.Train, static t => t.Texts.Answer == Old);
        Assert.Contains(set.Golden, static g => g.Truth == Old);
    }

    [Fact]
    public void One_confirmation_saves_an_answer()
    {
        CuratedSet set = Curate(refutations: 2, confirmed: true);
        Assert.Contains(set.Golden, static g => g.Truth == Old);
    }

    [Fact]
    public void Questions_that_have_nothing_in_common_are_let_be()
    {
        CuratedSet set = Curate(refutations: 2, oldQuestion: "Is a weekend courier dear?");
        Assert.Contains(set.Golden, static g => g.Truth == Old);
    }

    [Fact]
    public void What_is_wrong_about_a_new_name_is_not_wrong_about_an_old_one()
    {
        // The model takes a new product for one that it knows.
        SignalRequest[] requests =
        [
            .. new[] { "Cancel my Yarrow order", "Please cancel the Yarrow that I ordered" }.Select(static (q, i) => Embedded(Signal.Request(1 + i, q, "solar").Labelled("solar", true), q)),
            .. Enumerable.Range(3, Others).Select(static i => $"Is the Anvil {i} it?").Select(static (q, i) => Embedded(Signal.Request(3 + i, q, "tools").Labelled("tools", true), q)),
            .. new[] { "Cancel my Corvani order", "Please cancel the Corvani that I ordered", "I ordered the Corvani, cancel it" }.Select(static (q, i) => Embedded(Signal.Request(100 + i, q, "solar").Labelled("bikes", false), q)),
        ];
        CuratedSet set = Signal.Curate(requests, previous: 90, Signal.Options with { ReplayRatio = 10, NearDuplicate = 1 });
        Assert.Equal(2, set.Train.Count(static t => t.Texts.Answer == "solar"));
        // Of few old requests ordinary words are missing, too: all that is fresh would be about something new.
        Assert.Equal(2, Signal.Curate([.. requests[..2], .. requests[^3..]], previous: 90, Signal.Options with { ReplayRatio = 10, NearDuplicate = 1 }).Report.Excluded[CurationExclusion.Refuted]);
        Assert.DoesNotContain(CurationExclusion.Refuted, set.Report.Excluded.Keys);
        // The same about the old name is a change.
        requests = [.. requests[..^3], .. new[] { "Yarrow order, cancel please", "The Yarrow that I ordered, please cancel" }.Select(static (q, i) => Embedded(Signal.Request(100 + i, q, "solar").Labelled("bikes", false), q))];
        Assert.Equal(2, Signal.Curate(requests, previous: 90, Signal.Options with { ReplayRatio = 10, NearDuplicate = 1 }).Report.Excluded[CurationExclusion.Refuted]);
    }

    private static CuratedSet Curate(int refutations, bool confirmed = false, string oldQuestion = "What does express shipping cost?")
    {
        List<SignalRequest> requests =
        [
            Embedded(Signal.Request(1, oldQuestion, Old).Labelled(Old, true), oldQuestion),
            Embedded(Signal.Request(2, oldQuestion + " Please tell.", Old, golden: true).Labelled(Old, true), oldQuestion),
        ];
        for (int i = 0; i < refutations; i++)
        {
            string question = i == 0 ? "Express shipping, what does it cost now?" : "How much does express shipping cost me?";
            requests.Add(Embedded(Signal.Request(100 + i, question, Old).Labelled(New, false), question));
        }
        if (confirmed)
        {
            requests.Add(Embedded(Signal.Request(110, "Does express shipping cost the same?", Old).Labelled(Old, true), "Does express shipping cost the same?"));
        }
        return Signal.Curate(requests, previous: 50, Signal.Options with { ReplayRatio = 10 });
    }

    private static SignalRequest Embedded(SignalRequest request, string question) => request with { Embedding = PromptEmbedder.Embed(question) };
}
