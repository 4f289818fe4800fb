using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Curation;

/// <summary>Random traffic: repeated questions, typing errors, policies that change, liars, audits.</summary>
public sealed class CuratorPropertyTests
{
    private static readonly string[] Questions =
    [
        "how long can i return the {0} after i bought it in your shop", "what does the {0} cost with shipping to my house", "is the {0} covered by the warranty when it falls",
        "my {0} arrived broken and i want my money back", "can i change the address of the order with the {0}",
    ];

    private static readonly string[] Products = ["lamp", "table", "toaster", "kettle", "printer", "camera", "speaker", "heater", "mixer", "drill", "router", "scanner"];

    [Fact]
    public void No_prompt_is_both_trained_and_evaluated_on_and_what_is_held_out_never_trains()
    {
        int trained = 0, evaluated = 0;
        for (int seed = 0; seed < 8; seed++)
        {
            SignalRequest[] requests = Traffic(seed, 600);
            long previous = 0;
            for (int cycle = 1; cycle <= 3; cycle++)
            {
                long cut = 200 * cycle;
                CuratedSet set = Curate(requests, previous, cut);
                EvaluationRequest[] evaluation = [.. set.FreshHoldout, .. set.OldHoldout, .. set.Golden];
                HashSet<string> prompts = [.. evaluation.Select(static e => PromptText.Read(e.Prompt)!.Key)];
                Dictionary<string, SignalRequest> byId = requests.ToDictionary(static r => r.Key.RequestId);
                Assert.All(set.Train, t =>
                {
                    SignalRequest request = byId[t.Example.RequestId];
                    Assert.DoesNotContain(PromptText.Read(t.Texts.Prompt)!.Key, prompts);
                    Assert.False(Holdout.IsHoldout(t.Example.RequestId, Signal.Share));
                    Assert.False(request.Key.Golden);
                    Assert.True(request.Key.Sequence <= cut && t.Example.Replay == request.Key.Sequence <= previous);
                    Assert.True(t.Example.Weight is > 0 and <= 1);
                });
                Assert.All(evaluation, e => Assert.True(byId[e.RequestId].Key.Sequence <= cut));
                Assert.Equal(set.Train.Count, set.Train.Select(static t => PromptText.Read(t.Texts.Prompt)!.Key).Distinct().Count());
                Assert.Equal(set.Report.Planned, set.Report.Fresh + set.Report.Replay + evaluation.Length + set.Report.Excluded.Values.Sum() + set.Report.ExcludedFromEvaluation.Values.Sum());
                trained += set.Train.Count;
                evaluated += evaluation.Length;
                previous = cut;
            }
        }
        Assert.True(trained > 800 && evaluated > 800, $"{trained} and {evaluated}");
    }

    [Fact]
    public void No_near_prompt_is_both_trained_and_evaluated_on()
    {
        CuratedSet set = Curate(Traffic(7, 600), 300, 600);
        PromptText[] train = [.. set.Train.Select(static t => PromptText.Read(t.Texts.Prompt)!)];
        PromptText[] evaluation = [.. set.FreshHoldout.Concat(set.OldHoldout).Concat(set.Golden).Select(static e => PromptText.Read(e.Prompt)!).DistinctBy(static p => p.Key)];
        IReadOnlyList<IReadOnlyList<int>> near = NearDuplicates.Find([.. evaluation, .. train], Signal.Options.NearDuplicate);
        Assert.All(Enumerable.Range(0, evaluation.Length), i => Assert.All(near[i], j => Assert.True(j < evaluation.Length)));
        Assert.True(set.Report.Excluded[CurationExclusion.NearLeak] > 0);
    }

    [Fact]
    public void The_same_requests_in_any_order_give_the_same_set_and_any_change_another()
    {
        SignalRequest[] requests = Traffic(3, 600);
        CuratedSet set = Curate(requests, 300, 600);
        for (int seed = 0; seed < 5; seed++)
        {
            SignalRequest[] shuffled = [.. requests];
            new Random(seed).Shuffle(shuffled);
            CuratedSet again = Curate(shuffled, 300, 600);
            Assert.Equal((set.Hash, set.EvaluationHash), (again.Hash, again.EvaluationHash));
            Assert.Equal(set.Report.ToJson(), again.Report.ToJson());
            Assert.Equal(set.Train, again.Train);
        }
        string trained = set.Train[0].Example.RequestId;
        SignalRequest[] changed = [.. requests.Select(r => r.Key.RequestId == trained ? r with { Prompt = r.Prompt.Replace("You", "you", StringComparison.Ordinal) } : r)];
        Assert.NotEqual(set.Hash, Curate(changed, 300, 600).Hash);
        Assert.NotEqual(set.Hash, Curate([.. requests.Where(r => r.Key.RequestId != trained)], 300, 600).Hash);
    }

    [Fact]
    public void A_resumed_curation_ignores_what_came_meanwhile()
    {
        SignalRequest[] requests = Traffic(4, 600);
        CuratedSet set = Curate(requests, 300, 600);
        DateTimeOffset end = Signal.Start.AddHours(602);
        SignalRequest[] later = [.. requests.Select(r => (r with { Contradicted = true }).Reported(OutcomeKind.Rejected, key: "late", hours: (end - r.Key.At).TotalHours + 1).Labelled("late", hours: (end - r.Key.At).TotalHours + 1))];
        SignalPlan plan = SignalPlan.Make(requests.Select(static r => r.Key), 300, 600, Signal.Options);
        CuratedSet resumed = new Curator(Signal.Options).Curate(plan, later, Signal.Start.AddHours(601));
        Assert.Equal((set.Hash, set.EvaluationHash), (resumed.Hash, resumed.EvaluationHash));
    }

    [Fact]
    public void No_example_teaches_an_answer_that_is_out_of_date()
    {
        // Everybody is honest here, so the newest answer to a question is that of its policy.
        for (int seed = 0; seed < 5; seed++)
        {
            SignalRequest[] requests = Traffic(seed, 900, liars: false);
            CuratedSet set = Curate(requests, 600, 900);
            Dictionary<string, string> newest = [];
            HashSet<string> planned = [.. SignalPlan.Make(requests.Select(static r => r.Key), 600, 900, Signal.Options).All];
            foreach (SignalRequest request in requests.Where(r => planned.Contains(r.Key.RequestId)).Where(static r => r.Labels.Count > 0 || r.Outcomes.Any(static o => o.Kind == OutcomeKind.Corrected)))
            {
                newest[PromptText.Read(request.Prompt)!.Key] = request.Labels.Count > 0 ? request.Labels[^1].Answer! : request.Outcomes[^1].Correction!;
            }
            // A newer version may be known by a misspelt question; an older one must not be.
            Assert.All(set.Train, t => Assert.False(IsOlder(t.Texts.Answer, newest.GetValueOrDefault(PromptText.Read(t.Texts.Prompt)!.Key)), t.Texts.Prompt));
            Assert.All(set.OldHoldout.Concat(set.Golden), e => Assert.False(IsOlder(e.Truth, newest.GetValueOrDefault(PromptText.Read(e.Prompt)!.Key)), e.Prompt));
            Assert.True(set.Report.Excluded.GetValueOrDefault(CurationExclusion.Superseded) > 0);
        }
    }

    private static bool IsOlder(string answer, string? than) => than is not null && answer[^1] < than[^1];

    private static CuratedSet Curate(SignalRequest[] requests, long previous, long cut)
    {
        SignalPlan plan = SignalPlan.Make(requests.Select(static r => r.Key), previous, cut, Signal.Options);
        return new Curator(Signal.Options).Curate(plan, requests, Signal.Start.AddHours(cut + 1));
    }

    // The answer is the question's number and its policy's version, which changes every 250 requests.
    private static SignalRequest[] Traffic(int seed, int count, bool liars = true)
    {
        Random random = new(seed);
        SignalRequest[] requests = new SignalRequest[count];
        for (int i = 0; i < count; i++)
        {
            int question = random.Next(Questions.Length);
            string text = string.Format(null, Questions[question], Products[random.Next(Products.Length)]) + (random.Next(3) == 0 ? $" {random.Next(40)}" : "");
            string right = $"answer {question} version {(question % 2 == 0 ? i / 250 : 0)}";
            string local = random.Next(3) == 0 ? "something else" : right;
            SignalRequest request = Signal.Request(i + 1, random.Next(4) == 0 ? Typo(random, text) : text, local, random.Next(5) == 0, random.Next(4) == 0 ? null : $"key{random.Next(3)}", golden: random.Next(60) == 0).Sure(random.NextDouble());
            if (random.Next(3) == 0)
            {
                request = request.Labelled(right, local == right, reason: (LabelReason)random.Next(1, 6));
            }
            bool liar = liars && random.Next(6) == 0;
            if (random.Next(2) == 0)
            {
                bool good = (local == right) != liar;
                request = request.Reported(good ? OutcomeKind.Accepted : OutcomeKind.Corrected, good ? null : liar ? "poison" : right, liar ? "liar" : request.Key.KeyId);
            }
            requests[i] = request;
        }
        return requests;
    }

    private static string Typo(Random random, string text)
    {
        int at = random.Next(text.Length);
        return char.IsLetter(text[at]) ? text.Remove(at, 1) : text;
    }
}
