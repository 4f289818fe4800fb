using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

public sealed class AuditShareTests
{
    [Fact]
    public void One_audit_at_a_small_share_does_not_undo_a_threshold_from_many_at_a_large_one()
    {
        List<LabelledSample> samples = Audits("a", 0, 200, probability: 1, wrongEvery: 10);
        Calibrator calibrator = new(new CalibrationOptions { TargetRisk = 0.05 });
        double? before = calibrator.Fit(samples, "first")[0].Whole.Threshold;
        samples.AddRange(Audits("a", 200, 1, probability: 0.02, wrongEvery: int.MaxValue));
        double? after = calibrator.Fit(samples, "first")[0].Whole.Threshold;
        Assert.NotNull(before);
        Assert.NotNull(after);
        Assert.InRange(after.Value, 0, 0.999);
    }

    [Fact]
    public void Tasks_audited_at_different_shares_keep_their_part_of_the_traffic()
    {
        // Task "often" is a hundredth of the audits' traffic although it has half of the audits, and is always right; the other one is wrong in a fifth of the cases. A
        // threshold for both together must hold for the traffic, which is nearly all of the other.
        List<LabelledSample> samples =
        [
            .. Audits("often", 0, 300, probability: 1, wrongEvery: int.MaxValue),
            .. Audits("rare", 300, 300, probability: 0.01, wrongEvery: 5),
        ];
        CalibrationSide any = new Calibrator(new CalibrationOptions { TargetRisk = 0.12 }).Fit(samples, "first")[^1].Whole;
        Assert.Equal(ThresholdScope.AllTasks, any.Scope);
        // Counted alike, a tenth of all answers is wrong, and none would go up.
        Assert.True(any.EscalationShare > 0.05, $"{any.EscalationShare} goes up");
    }

    // Wrong answers are as sure as right ones in half of the cases, so that a threshold has something to do and cannot do all.
    private static List<LabelledSample> Audits(string task, int from, int count, double probability, int wrongEvery) => [.. Enumerable.Range(from, count).Select(i =>
    {
        bool correct = i % wrongEvery != 0 || wrongEvery == int.MaxValue;
        float sure = correct || i % (2 * wrongEvery) == 0 ? -0.05f - 0.01f * (i % 7) : -0.6f - 0.01f * (i % 5);
        RoutingFeatures features = new(sure, 2 * sure, 1 + sure, -sure, 5, 20, 0.3f, Truncated: false, Early: false);
        return new LabelledSample(i, $"r{i}", task, "first", features, correct, Audited: true, probability);
    })];
}
