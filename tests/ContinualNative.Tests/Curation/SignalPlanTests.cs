using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;

namespace ContinualNative.Tests.Curation;

public sealed class SignalPlanTests
{
    [Fact]
    public void Time_holdout_and_gold_decide_what_a_request_is_for()
    {
        SignalKey[] keys =
        [
            Key(1), Key(2, heldOut: true), Key(3) with { Labelled = false, PCorrect = 0.95 }, Key(4) with { Labelled = false, PCorrect = 0.5 },
            Key(5) with { Golden = true },
            Key(11), Key(12, heldOut: true), Key(13) with { Labelled = false, PCorrect = 0.95 }, Key(14, heldOut: true) with { Golden = true, Labelled = false },
            Key(21), Key(22, heldOut: true), Key(23) with { Golden = true },
        ];
        SignalPlan plan = SignalPlan.Make(keys, 10, 20, Signal.Options);
        Assert.Equal([Signal.Id(11)], plan.FreshTrain);
        Assert.Equal([Signal.Id(1), Signal.Id(3)], plan.Replay);
        Assert.Equal([Signal.Id(12, true)], plan.FreshHoldout);
        Assert.Equal([Signal.Id(2, true)], plan.OldHoldout);
        Assert.Equal([Signal.Id(5), Signal.Id(14, true)], plan.Golden);
        Assert.Throws<ArgumentException>(() => SignalPlan.Make(keys, 10, 9, Signal.Options));
    }

    [Fact]
    public void A_hundred_thousand_requests_over_four_cycles_never_train_on_what_is_held_out()
    {
        Random random = new(1);
        SignalKey[] keys = new SignalKey[100_000];
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = new SignalKey(i + 1, $"{i:x24}", Signal.Start.AddMinutes(i), $"task{random.Next(3)}", $"key{random.Next(20)}", random.Next(3) == 0, random.Next(2) == 0, random.Next(1000) == 0, random.NextDouble());
        }
        HashSet<string> trained = [], evaluated = [];
        long previous = 0;
        for (int cycle = 1; cycle <= 4; cycle++)
        {
            long cut = keys.Length / 4 * cycle;
            SignalPlan plan = SignalPlan.Make(keys, previous, cut, Signal.Options);
            Assert.All(plan.All, id => Assert.True(Convert.ToInt64(id, 16) < cut));
            Assert.All(plan.FreshTrain.Concat(plan.FreshHoldout), id => Assert.True(Convert.ToInt64(id, 16) >= previous));
            Assert.All(plan.Replay.Concat(plan.OldHoldout), id => Assert.True(Convert.ToInt64(id, 16) < previous));
            Assert.Equal(plan.All.Count(), plan.All.Distinct().Count());
            trained.UnionWith(plan.FreshTrain.Concat(plan.Replay));
            evaluated.UnionWith(plan.FreshHoldout.Concat(plan.OldHoldout).Concat(plan.Golden));
            Assert.True(plan.FreshTrain.Count > 0 && plan.FreshHoldout.Count > 0 && (previous == 0 || (plan.Replay.Count > 0 && plan.OldHoldout.Count > 0)));
            previous = cut;
        }
        Assert.DoesNotContain(trained, evaluated.Contains);
    }

    [Fact]
    public void A_plan_depends_on_the_set_of_keys_and_not_on_their_order()
    {
        SignalKey[] keys = [.. Enumerable.Range(1, 3000).Select(static i => Key(i) with { Golden = i % 97 == 0, RequestId = $"{i:x24}" })];
        CurationOptions options = Signal.Options with { MaxExamples = 200, EvaluationMost = 100, GoldenMost = 10, SliceMost = 20 };
        SignalPlan plan = SignalPlan.Make(keys, 1500, 3000, options);
        new Random(3).Shuffle(keys);
        SignalPlan again = SignalPlan.Make(keys, 1500, 3000, options);
        Assert.Equal(plan.All, again.All);
        Assert.Equal(400, plan.FreshTrain.Count);
        Assert.Equal(1191, plan.Replay.Count);
        Assert.Equal(400, SignalPlan.Make(keys, 1500, 3000, options with { RehearsalShare = 0 }).Replay.Count);
        Assert.Equal(100, plan.FreshHoldout.Count);
        Assert.Equal(10, plan.Golden.Count);
        // 1500 hours are nine calendar weeks, the last of them with two days.
        Assert.InRange(plan.OldHoldout.Count, 90, 100);
    }

    [Fact]
    public void A_key_that_floods_does_not_push_out_the_others_and_labels_come_first()
    {
        SignalKey[] keys =
        [
            .. Enumerable.Range(1, 2000).Select(static i => Key(i) with { KeyId = "flood", Labelled = false, Reported = true }),
            .. Enumerable.Range(2001, 90).Select(static i => Key(i) with { KeyId = null, Labelled = false, Reported = true }),
            .. Enumerable.Range(3001, 20).Select(static i => Key(i) with { KeyId = "flood" }),
        ];
        SignalPlan plan = SignalPlan.Make(keys, 0, 4000, Signal.Options with { MaxExamples = 100 });
        Assert.Equal(200, plan.FreshTrain.Count);
        Assert.Superset(keys.Skip(2000).Select(static k => k.RequestId).ToHashSet(), plan.FreshTrain.ToHashSet());
        Assert.Equal(2110, plan.FreshAvailable);
    }

    [Fact]
    public void What_was_held_out_stays_so_when_the_share_grows()
    {
        string[] ids = [.. Enumerable.Range(0, 2000).Select(static i => $"{i:x24}")];
        SignalKey[] keys = [.. ids.Select(static (id, i) => Key(i + 1) with { RequestId = id })];
        SignalPlan small = SignalPlan.Make(keys, 0, 2000, Signal.Options with { HoldoutShare = 0.1 });
        SignalPlan large = SignalPlan.Make(keys, 1000, 2000, Signal.Options with { HoldoutShare = 0.3 });
        Assert.NotEmpty(small.FreshHoldout);
        Assert.DoesNotContain(large.FreshTrain.Concat(large.Replay), small.FreshHoldout.Contains);
        Assert.All(large.FreshHoldout, static id => Assert.True(Holdout.IsHoldout(id, 0.3)));
    }

    private static SignalKey Key(int sequence, bool heldOut = false) =>
        new(sequence, Signal.Id(sequence, heldOut), Signal.Start.AddHours(sequence), "help", "a", true, false, false, null);
}
