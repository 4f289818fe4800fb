using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Tests.Evaluation;

public sealed class GateTests
{
    private static readonly GateOptions Options = new();
    private int _next;

    [Fact]
    public void A_shown_gain_passes()
    {
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 100, wins: 12, losses: 1) });
        Assert.Equal(GateDecision.Pass, verdict.Decision);
        Assert.True(verdict.Evidence >= 20);
        Assert.Equal(100, verdict.Fresh);
        Assert.Equal(0.11, verdict.CandidateRight - verdict.ChampionRight, 12);
        Assert.Contains("12 times", verdict.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void Few_requests_decide_nothing_in_favour()
    {
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 20, wins: 15, losses: 0) });
        Assert.Equal(GateDecision.Undecided, verdict.Decision);
        Assert.True(verdict.Evidence >= 20);
        Assert.Equal(GateDecision.Undecided, Gate.Judge(Options, new GateInput { Fresh = [] }).Decision);
    }

    [Fact]
    public void No_gain_is_undecided_until_there_have_been_enough_requests()
    {
        Assert.Equal(GateDecision.Undecided, Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 799, 16, 12) }).Decision);
        GateVerdict late = Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 800, 16, 12) });
        Assert.Equal(GateDecision.Reject, late.Decision);
        Assert.Contains("not shown", late.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void A_worse_candidate_is_rejected_at_once()
    {
        GateVerdict verdict = Gate.Judge(Options with { FlipBudget = 1 }, new GateInput { Fresh = Pairs("a", 25, 0, 8) });
        GateCheck gain = Assert.Single(verdict.Checks, static c => c.Decision == GateDecision.Reject);
        Assert.Equal("gain", gain.Name);
        Assert.Equal(5, gain.Examples.Count);
    }

    [Fact]
    public void A_gain_in_agreement_that_costs_right_answers_does_not_pass()
    {
        List<PairedAnswer> fresh = [.. Pairs("a", 10, 0, 2)];
        fresh.AddRange(Enumerable.Range(0, 90).Select(i => new PairedAnswer($"g{i}", "a", 0.5, 0.8, false, false)));
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = fresh });
        Assert.True(verdict.Evidence >= 20);
        Assert.Equal(GateDecision.Undecided, verdict.Decision);
    }

    [Fact]
    public void A_gain_on_one_slice_does_not_hide_the_loss_of_another()
    {
        GateVerdict verdict = Gate.Judge(Options with { FlipBudget = 1 }, new GateInput { Fresh = [.. Pairs("good", 100, 60, 0), .. Pairs("bad", 100, 0, 10)] });
        Assert.Equal(GateDecision.Reject, verdict.Decision);
        Assert.Equal(("gain", "bad"), (verdict.Checks[0].Name, verdict.Checks[0].Slice));
        Assert.Contains("'bad'", verdict.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void Not_worse_is_enough_where_no_gain_is_required()
    {
        GateOptions lenient = Options with { RequireGain = false };
        GateInput equal = new() { Fresh = Pairs("a", 380, 8, 8) };
        Assert.Equal(GateDecision.Pass, Gate.Judge(lenient, equal).Decision);
        Assert.Equal(GateDecision.Undecided, Gate.Judge(Options, equal).Decision);
        // Ten points worse is more than the margin of five.
        Assert.Equal(GateDecision.Reject, Gate.Judge(lenient with { FlipBudget = 1 }, new GateInput { Fresh = Pairs("a", 380, 4, 42) }).Decision);
    }

    [Theory]
    [InlineData(10, 0, 1, true)]
    [InlineData(10, 0, 2, true)]
    [InlineData(10, 0, 3, false)]
    [InlineData(10, 2, 4, true)]
    [InlineData(100, 0, 4, true)]
    [InlineData(100, 0, 5, false)]
    [InlineData(100, 2, 8, true)]
    [InlineData(1000, 0, 27, false)]
    [InlineData(1000, 30, 50, true)]
    public void Golden_suites_may_fall_by_the_tolerance_and_by_chance(int count, int wins, int losses, bool passes)
    {
        GateVerdict verdict = Judge(golden: Pairs("refunds", count, wins, losses));
        GateCheck golden = Assert.Single(verdict.Checks, static c => c.Name == "golden");
        Assert.Equal(passes ? GateDecision.Pass : GateDecision.Reject, golden.Decision);
        Assert.Equal("refunds", golden.Slice);
        Assert.Equal(passes, golden.Found >= golden.Allowed);
        if (!passes)
        {
            Assert.Equal(GateDecision.Reject, verdict.Decision);
            Assert.NotEmpty(golden.Examples);
            Assert.Contains("'refunds'", verdict.Summary, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Golden_suites_do_not_erode_from_champion_to_champion()
    {
        PairedAnswer[] golden = [.. Pairs("g", 90, 0, 2), .. Enumerable.Range(0, 10).Select(static i => Pair($"never {i}", "g", champion: false, candidate: false))];
        int right = golden.Count(static p => p.CandidateRight);
        GateInput input = new() { Fresh = Gain(), Golden = new Dictionary<string, IReadOnlyList<PairedAnswer>> { ["g"] = golden } };
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, input).Decision);
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, input with { EarlierGolden = [Before(50), Before(right + 4)] }).Decision);
        GateVerdict eroded = Gate.Judge(Options, input with { EarlierGolden = [Before(right + 6), Before(50)] });
        Assert.Equal(GateDecision.Reject, eroded.Decision);
        Assert.Contains("once had", eroded.Summary, StringComparison.Ordinal);
        // What it was not asked speaks neither for nor against; nor does what is no longer in the suite.
        Dictionary<string, bool> half = golden.Take(50).ToDictionary(static p => p.RequestId, static _ => true);
        half["gone"] = true;
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, input with { EarlierGolden = [half] }).Decision);
        // Nor does who was right by another truth.
        PairedAnswer[] changed = [.. golden.Select(static p => p with { TruthId = "2" })];
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, input with { Golden = new Dictionary<string, IReadOnlyList<PairedAnswer>> { ["g"] = changed }, EarlierGolden = [Before(right + 6)] }).Decision);
        // The verdict holds what the next one is held against.
        Assert.Equal(golden.ToDictionary(static p => p.RequestId, static p => p.CandidateRight), eroded.GoldenRight);
        Assert.Equal(eroded.GoldenRight, GateVerdictJson.Read(GateVerdictJson.Write(eroded)).GoldenRight);
        Assert.Null(GateVerdictJson.Read(GateVerdictJson.Write(eroded).Replace("golden_right", "of_another_version", StringComparison.Ordinal)).GoldenRight);

        Dictionary<string, bool> Before(int rights) => golden.Select((p, i) => (p.RequestId, Right: i < rights)).ToDictionary(static p => p.RequestId, static p => p.Right);
    }

    [Fact]
    public void Old_slices_are_held_together_and_each_by_itself()
    {
        PairedAnswer[] steady = [.. Enumerable.Range(0, 9).SelectMany(i => Pairs($"old {i}", 40, 1, 1))];
        Assert.Equal(GateDecision.Pass, Judge(old: steady).Decision);
        // One slice of ten forgotten: −2.5 points on average.
        GateVerdict one = Judge(old: [.. steady, .. Pairs("old 9", 40, 0, 10)], options: Options with { BackwardTolerance = 0.1 });
        Assert.Equal(GateDecision.Reject, one.Decision);
        Assert.Equal(("backward", "old 9"), (one.Checks[0].Name, one.Checks[0].Slice));
        Assert.Single(one.Checks, static c => c.Decision == GateDecision.Reject);
        // A little everywhere: no slice by itself is significant, all together are.
        GateVerdict all = Judge(old: [.. Enumerable.Range(0, 10).SelectMany(i => Pairs($"old {i}", 40, 0, 2))]);
        GateCheck mean = Assert.Single(all.Checks, static c => c.Decision == GateDecision.Reject);
        Assert.Equal(("backward", (string?)null), (mean.Name, mean.Slice));
        Assert.Equal(-0.05, mean.Found, 12);
    }

    [Theory]
    [InlineData(0, 10, 1 / 1024.0)]
    [InlineData(1, 11, 13 / 4096.0)]
    [InlineData(5000, 6000, 0)]
    public void An_old_slice_is_tested_by_the_binomial_tail(int wins, int losses, double p)
    {
        GateVerdict verdict = Judge(old: Pairs("old", 12_000, wins, losses), options: Options with { BackwardTolerance = 1 });
        GateCheck slice = Assert.Single(verdict.Checks, static c => c is { Name: "backward", Slice: "old" });
        Assert.Equal(p, slice.Found, 9);
        Assert.True(slice.Found > 0);
    }

    [Fact]
    public void A_single_request_of_an_old_slice_proves_nothing()
    {
        Assert.Equal(GateDecision.Pass, Judge(old: [.. Pairs("lonely", 1, 0, 1), .. Pairs("other", 30, 0, 0)]).Decision);
    }

    [Fact]
    public void Negative_flips_have_a_budget()
    {
        // A hundred requests, of which eight become wrong: 5 % and what chance adds are 7.8.
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 100, 40, 8) });
        Assert.Equal(("flips", GateDecision.Reject), (verdict.Checks[0].Name, verdict.Decision));
        Assert.Equal(0.08, verdict.Checks[0].Found, 12);
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, new GateInput { Fresh = Pairs("a", 100, 40, 7) }).Decision);
    }

    [Fact]
    public void Answers_that_lost_their_form_are_counted()
    {
        PairedAnswer[] fresh = [.. Gain().Select(static (p, i) => p with { CandidateValid = i >= 6 })];
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = fresh });
        Assert.Equal(("format", GateDecision.Reject), (verdict.Checks[0].Name, verdict.Decision));
        Assert.Contains(fresh[0].RequestId, verdict.Checks[0].Examples);
    }

    [Fact]
    public void A_slow_candidate_is_rejected()
    {
        PairedAnswer[] fresh = [.. Gain().Select(static p => p with { ChampionSeconds = 1, CandidateSeconds = 1.6 })];
        GateVerdict verdict = Gate.Judge(Options, new GateInput { Fresh = fresh });
        Assert.Equal(("latency", GateDecision.Reject), (verdict.Checks[0].Name, verdict.Decision));
        Assert.Equal(1.6, verdict.Checks[0].Found, 9);
        // A few slow ones move no median.
        fresh = [.. fresh.Select(static (p, i) => p with { CandidateSeconds = i < 40 ? 9 : 1.1 })];
        Assert.Equal(GateDecision.Pass, Gate.Judge(Options, new GateInput { Fresh = fresh }).Decision);
    }

    [Fact]
    public void Candidates_that_are_no_better_seldom_pass_however_often_one_looks()
    {
        Random random = new(11);
        const int runs = 150;
        int passed = 0;
        for (int run = 0; run < runs; run++)
        {
            List<PairedAnswer> fresh = [];
            GateDecision decision = GateDecision.Undecided;
            while (decision == GateDecision.Undecided)
            {
                fresh.AddRange(Enumerable.Range(0, 5).Select(_ => Drawn(random, 0.04, 0.04)));
                decision = Gate.Judge(Options, new GateInput { Fresh = fresh }).Decision;
            }
            passed += decision == GateDecision.Pass ? 1 : 0;
        }
        Assert.InRange(passed, 0, 12);
    }

    [Fact]
    public void Verdict_survives_as_json()
    {
        GateVerdict verdict = Judge(golden: Pairs("g", 10, 0, 4));
        string json = GateVerdictJson.Write(verdict);
        Assert.Contains("\"champion_right\"", json, StringComparison.Ordinal);
        GateVerdict read = GateVerdictJson.Read(json);
        Assert.Equal(json, GateVerdictJson.Write(read));
        Assert.Equal(verdict.Checks[0].Examples, read.Checks[0].Examples);
        Assert.Equal(verdict.Decision, read.Decision);
        // Without any evidence, too: JSON has no NaN.
        Assert.Equal(0, GateVerdictJson.Read(GateVerdictJson.Write(Gate.Judge(Options, new GateInput { Fresh = [] }))).Fresh);
        Assert.Throws<JsonException>(static () => GateVerdictJson.Read("null"));
    }

    [Fact]
    public void Options_are_read_and_faults_named()
    {
        GateOptions options = Parse("""{"alpha":0.01,"most_fresh":900,"require_gain":false,"latencyLimit":2}""");
        Assert.Equal((0.01, 900, false, 2.0), (options.Alpha, options.MostFresh, options.RequireGain, options.LatencyLimit));
        Assert.Equal("gate.alpha", Assert.Throws<PolicyOptionException>(static () => Parse("""{"alpha":0.9}""")).Key);
        Assert.Equal("gate.alfa", Assert.Throws<PolicyOptionException>(static () => Parse("""{"alfa":0.1}""")).Key);
        Assert.Equal("gate.most_fresh", Assert.Throws<PolicyOptionException>(static () => Parse("""{"most_fresh":10}""")).Key);
        Assert.Equal("gate.flip_budget", Assert.Throws<PolicyOptionException>(static () => Gate.Judge(new GateOptions { FlipBudget = 2 }, new GateInput { Fresh = [] })).Key);

        static GateOptions Parse(string json) => GateOptions.Parse(JsonDocument.Parse(json).RootElement);
    }

    private GateVerdict Judge(PairedAnswer[]? golden = null, PairedAnswer[]? old = null, GateOptions? options = null) => Gate.Judge((options ?? Options) with { FlipBudget = 1 }, new GateInput
    {
        Fresh = Gain(),
        Golden = golden is null ? new Dictionary<string, IReadOnlyList<PairedAnswer>>() : new Dictionary<string, IReadOnlyList<PairedAnswer>> { [golden[0].Slice] = golden },
        Old = old ?? [],
    });

    private PairedAnswer[] Gain() => Pairs("fresh", 100, 15, 0);

    private PairedAnswer[] Pairs(string slice, int count, int wins, int losses) =>
        [.. Enumerable.Range(0, count).Select(i => Pair($"r{_next++}", slice, champion: i >= wins, candidate: i < wins || i >= wins + losses))];

    private static PairedAnswer Pair(string id, string slice, bool champion, bool candidate) => new(id, slice, champion ? 1 : 0, candidate ? 1 : 0, champion, candidate);

    private PairedAnswer Drawn(Random random, double wins, double losses)
    {
        double d = PairedTestTests.Draw(random, wins, losses);
        bool tie = random.NextDouble() < 0.85;
        return Pair($"r{_next++}", "fresh", d < 0 || (d == 0 && tie), d > 0 || (d == 0 && tie));
    }
}
