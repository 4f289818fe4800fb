using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

public sealed class RiskControlTests
{
    [Theory]
    [InlineData(18, 0.05, null)]
    [InlineData(19, 0.05, 0.0)]
    [InlineData(8, 0.1, null)]
    [InlineData(9, 0.1, 0.0)]
    [InlineData(0, 0.5, null)]
    public void Too_few_samples_for_the_target_give_no_threshold(int samples, double target, double? expected) =>
        Assert.Equal(expected, RiskControl.Threshold([.. Enumerable.Repeat(0.9, samples)], [.. Enumerable.Repeat(true, samples)], [], target));

    [Fact]
    public void First_wrong_answer_beyond_the_allowance_is_the_one_just_below_the_threshold()
    {
        // 39 samples and 0.05 allow (1 + 1) ÷ 40: one wrong local answer.
        double[] predicted = [.. Enumerable.Range(1, 39).Select(static i => i / 40.0)];
        bool[] correct = [.. predicted.Select(static p => p is not (0.9 or 0.5 or 0.25))];
        Assert.Equal(Math.BitIncrement(0.5), RiskControl.Threshold(predicted, correct, [], 0.05));
    }

    [Fact]
    public void A_wrong_answer_that_is_as_sure_as_can_be_sends_everything_up()
    {
        double[] predicted = [.. Enumerable.Repeat(1 - 1e-16, 30)];
        Assert.Equal(1, RiskControl.Threshold(predicted, new bool[30], [], 0.05));
    }

    [Fact]
    public void Threshold_is_the_smallest_that_satisfies_the_inequality()
    {
        Random random = new(1);
        for (int round = 0; round < 300; round++)
        {
            int n = random.Next(1, 80);
            double target = 0.02 + 0.4 * random.NextDouble();
            bool weighted = round % 2 == 0;
            // Rounded, so that there are ties.
            double[] p = [.. Enumerable.Range(0, n).Select(_ => Math.Round(random.NextDouble(), 1) * 0.99)];
            bool[] correct = [.. p.Select(x => random.NextDouble() < 0.3 + 0.6 * x)];
            double[] weights = weighted ? [.. p.Select(_ => 0.5 + random.NextDouble())] : [];
            double most = weighted ? weights.Max() : 1;
            double total = weighted ? weights.Sum() : n;
            double[] candidates = [0, .. p.Select(Math.BitIncrement).Order()];
            double Bound(double t) => (Enumerable.Range(0, n).Sum(i => p[i] >= t && !correct[i] ? weighted ? weights[i] : 1 : 0) + most) / (total + most);
            double? expected = null;
            foreach (double candidate in candidates)
            {
                if (Bound(candidate) <= target + 1e-9)
                {
                    expected = candidate;
                    break;
                }
            }
            Assert.Equal(expected, RiskControl.Threshold(p, correct, weights, target));
        }
    }
}
