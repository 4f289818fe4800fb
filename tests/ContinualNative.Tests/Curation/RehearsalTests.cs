using ContinualNative.Core.Curation;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Tests.Curation;

public sealed class RehearsalTests
{
    private static readonly string[] Common = ["Anvil", "Bellow", "Candle", "Drum"];

    private static readonly string[] Sentences =
        ["where is my {0}", "I want to send the {0} back", "the {0} is broken again", "can I have an invoice for the {0}", "please cancel my order of the {0}", "does the {0} come in blue", "my {0} came without a plug"];

    [Fact]
    public void A_name_that_is_seldom_asked_for_is_rehearsed_when_it_was_broken_and_hardly_replayed_when_not()
    {
        // 280 old requests, 7 of which name Yarrow; 30 fresh ones about something else.
        SignalRequest[] requests = [.. Old(), .. Fresh()];
        string[] yarrow = [.. requests.Where(static r => r.Prompt.Contains("Yarrow", StringComparison.Ordinal) && !r.Key.Golden).Select(static r => r.Key.RequestId)];
        string golden = requests.Single(static r => r.Key.Golden).Key.RequestId;

        CuratedSet plain = Curate(requests, null);
        CuratedSet reminded = Curate(requests, [golden]);
        Assert.True(plain.Ids().Intersect(yarrow).Count() <= 4, "An even sample holds one in ten.");
        Assert.Equal(yarrow.Order(), reminded.Ids().Intersect(yarrow).Order());
        Assert.DoesNotContain(golden, reminded.Ids());
        Assert.Equal((0, plain.Report.Replay), (plain.Report.Rehearsed, reminded.Report.Replay));
        Assert.InRange(reminded.Report.Rehearsed, yarrow.Length, 8);
        Assert.Contains(reminded.Report.Lines(), static l => l.EndsWith("of the old ones are what an update is likely to break", StringComparison.Ordinal));
        Assert.Contains($"\"rehearsed\":{reminded.Report.Rehearsed}", reminded.Report.ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_broken_takes_its_share_of_the_old_examples_and_no_more()
    {
        SignalRequest[] requests = [.. Old(), .. Fresh()];
        string[] broken = [.. requests.Where(static r => r.Key.Sequence <= 100).Select(static r => r.Key.RequestId)];
        CuratedSet half = Curate(requests, broken);
        Assert.Equal(half.Report.Replay / 2, half.Report.Rehearsed);
        CuratedSet none = Curate(requests, broken, Options with { RehearsalShare = 0 });
        Assert.Equal(Curate(requests, null).Hash, none.Hash);
        Assert.Equal(0, Curate(requests, broken, Options with { ReplayRatio = 0 }).Report.Rehearsed);
    }

    [Fact]
    public void What_the_broken_requests_have_in_common_counts_and_not_the_rare_words_of_each()
    {
        // Five broken ones name Yarrow, each in a sentence of its own whose words are rarer than the name.
        string[] rare = ["kestrel", "lagoon", "mimosa", "nectar", "obelisk"];
        SignalRequest[] broken = [.. rare.Select(static (word, i) => Signal.Request(500 + i, $"the {word} of my Yarrow", golden: true).Labelled("x"))];
        SignalRequest[] requests =
        [
            .. Old(),
            .. rare.SelectMany(static (word, i) => Enumerable.Range(0, 3).Select(n => Signal.Request(282 + 3 * i + n, $"the {word} of my {Common[n]}").Labelled("y"))),
            .. Fresh(),
            .. broken,
        ];
        string[] yarrow = [.. requests.Where(static r => r.Prompt.Contains("Yarrow", StringComparison.Ordinal) && !r.Key.Golden).Select(static r => r.Key.RequestId)];
        CuratedSet set = Curate(requests, [.. broken.Select(static b => b.Key.RequestId)], Options with { RehearsalShare = 0.16 });
        Assert.Equal(yarrow.Length, set.Report.Rehearsed);
        Assert.Equal(yarrow.Order(), set.Ids().Intersect(yarrow).Order());
    }

    [Fact]
    public void What_fresh_examples_teach_not_to_say_any_more_is_rehearsed_where_it_is_right()
    {
        // The model takes a new product for Yarrow.
        SignalRequest[] requests = [.. Old(), .. Fresh().Select(static (r, i) => i % 3 == 0 ? r with { LocalAnswer = "Line of Yarrow" } : r with { LocalAnswer = "line of Zither" })];
        string[] yarrow = [.. requests.Where(static r => r.Prompt.Contains("Yarrow", StringComparison.Ordinal) && !r.Key.Golden).Select(static r => r.Key.RequestId)];
        CuratedSet set = Curate(requests, null);
        Assert.Equal(yarrow.Length, set.Report.Rehearsed);
        Assert.Equal(yarrow.Order(), set.Ids().Intersect(yarrow).Order());
        Assert.Equal(set.Hash, Curate([.. requests.Reverse()], null).Hash);
        Assert.Equal(3, Curate(requests, null, Options with { RehearsalShare = 0.08 }).Report.Rehearsed);
        // Without a new name it may be a change, and what was right before must not be learned again.
        SignalRequest[] changed = [.. Old(), .. Fresh().Select(static r => r with { Prompt = r.Prompt.Replace("Zither", "Anvil", StringComparison.Ordinal).Replace("tell me of", "where is", StringComparison.Ordinal), LocalAnswer = "line of Yarrow" })];
        Assert.Equal(0, Curate(changed, null).Report.Rehearsed);
    }

    [Fact]
    public void The_choice_does_not_depend_on_the_order_in_the_store()
    {
        SignalRequest[] requests = [.. Old(), .. Fresh()];
        string[] broken = [.. requests.Where(static r => r.Key.Golden || r.Key.Sequence % 50 == 0).Select(static r => r.Key.RequestId)];
        CuratedSet set = Curate(requests, broken);
        Assert.Equal(set.Hash, Curate([.. requests.Reverse()], broken).Hash);
        Assert.NotEqual(set.Hash, Curate(requests, null).Hash);
    }

    [Fact]
    public void What_was_erased_since_or_belongs_to_another_task_is_no_reason_to_rehearse()
    {
        SignalRequest other = Signal.Request(290, "where is my Yarrow", task: "other").Labelled("x");
        SignalRequest[] requests = [.. Old(), other, .. Fresh()];
        string plain = Curate(requests, null).Hash;
        Assert.Equal(plain, Curate(requests, [other.Key.RequestId], search: false).Hash);
        Assert.Equal(plain, Curate(requests, [Signal.Id(4000)], search: false).Hash);
    }

    [Fact]
    public void The_gate_says_what_a_candidate_broke()
    {
        PairedAnswer[] golden = [Pair("g1", true, false), Pair("g2", false, false), Pair("g3", false, false) with { TruthId = "t" }, Pair("g4", true, true)];
        GateVerdict verdict = Gate.Judge(new GateOptions(), new GateInput
        {
            Fresh = [Pair("f1", true, false)],
            Golden = new Dictionary<string, IReadOnlyList<PairedAnswer>> { ["help"] = golden },
            EarlierGolden = [new Dictionary<string, bool> { ["g2"] = false, ["g3:t"] = true }],
            Old = [Pair("o1", true, false), Pair("o2", false, true), Pair("g1", true, false)],
        });
        Assert.Equal(["g1", "g3", "o1"], verdict.Broken);
        Assert.Equal(verdict.Broken, GateVerdictJson.Read(GateVerdictJson.Write(verdict)).Broken);
        Assert.Null(GateVerdictJson.Read(GateVerdictJson.Write(verdict).Replace("\"broken\"", "\"of_another_version\"", StringComparison.Ordinal)).Broken);
    }

    private static CurationOptions Options => Signal.Options with { NearDuplicate = 1, HoldoutShare = 0, ReplayRatio = 1.5, LeakLimit = 1 };

    private static PairedAnswer Pair(string id, bool champion, bool candidate) => new(id, "s", champion ? 1 : 0, candidate ? 1 : 0, champion, candidate);

    // Without the wider search, an unreadable list of broken requests changes nothing at all; with it, only how much is read.
    private static CuratedSet Curate(SignalRequest[] requests, string[]? broken, CurationOptions? options = null, bool search = true)
    {
        options ??= Options;
        SignalPlan plan = SignalPlan.Make(requests.Select(static r => r.Key), 300, 400, options, search ? broken : null);
        return new Curator(options).Curate(search ? plan : plan with { Broken = broken ?? [] }, requests, Signal.Start.AddDays(20));
    }

    private static IEnumerable<SignalRequest> Old()
    {
        int sequence = 0;
        foreach (int round in Enumerable.Range(0, 40))
        {
            foreach (string sentence in Sentences)
            {
                string name = round == 20 ? "Yarrow" : Common[round % Common.Length];
                yield return Signal.Request(++sequence, string.Format(System.Globalization.CultureInfo.InvariantCulture, sentence, name) + $", {round}").Labelled($"line of {name}");
            }
        }
        yield return Signal.Request(++sequence, "when will the Yarrow be there", golden: true).Labelled("line of Yarrow");
    }

    private static IEnumerable<SignalRequest> Fresh() => Enumerable.Range(301, 30).Select(static i => Signal.Request(i, $"tell me of the Zither, {i}").Labelled("line of Zither"));
}
