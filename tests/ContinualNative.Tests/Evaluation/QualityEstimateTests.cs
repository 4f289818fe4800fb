using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Evaluation;

public sealed class QualityEstimateTests
{
    /// <summary>
    /// Runs of drifting traffic whose router goes by confidence, with an audit share that is raised for a while. 200 runs by default (CONTINUAL_QUALITY_RUNS: more).
    /// The coverage seen in 200 runs has a standard error of 1.5 points: the assertion allows 93 to 97 % and two of those around it, and gets sharper with more runs.
    /// The mean error of each of eight figures may be two and a half standard errors: with two, every third choice of seeds would fail without any bias.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Estimates_are_unbiased_and_intervals_cover(bool changingShare)
    {
        int runs = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_QUALITY_RUNS"), out int wanted) ? wanted : 200;
        const int requests = 10_000;
        double[] sum = new double[4], squares = new double[4];
        int[] covered = new int[4];
        for (int run = 0; run < runs; run++)
        {
            Random random = new(run);
            AuditSampler sampler = new((ulong)run);
            List<QualitySample> audits = [];
            double right = 0, good = 0, up = 0;
            for (int i = 0; i < requests; i++)
            {
                double time = (double)i / requests;
                double share = changingShare ? time is > 0.4 and < 0.6 ? 0.2 : 0.03 : 0.05;
                double confidence = Math.Clamp(0.9 - 0.3 * time + (time > 0.5 ? 0.15 : 0) + 0.3 * (random.NextDouble() - 0.5), 0, 1);
                bool agrees = random.NextDouble() < confidence;
                Route sent = confidence < 0.75 ? Route.Frontier : Route.Local;
                right += agrees ? 1 : 0;
                good += agrees || sent == Route.Frontier ? 1 : 0;
                up += sent == Route.Frontier ? 1 : 0;
                if (sampler.IsAudited($"{run}-{i}", share))
                {
                    audits.Add(new QualitySample(agrees, sent, share));
                }
            }
            QualityEstimate estimate = QualityEstimate.From(audits);
            (Proportion Estimate, double Truth)[] figures =
                [(estimate.Local, right / requests), (estimate.Mix, good / requests), (estimate.Risk, 1 - good / requests), (estimate.Escalation, up / requests)];
            for (int f = 0; f < figures.Length; f++)
            {
                (Proportion value, double truth) = figures[f];
                sum[f] += value.Value - truth;
                squares[f] += (value.Value - truth) * (value.Value - truth);
                covered[f] += value.Low <= truth && truth <= value.High ? 1 : 0;
            }
        }
        for (int f = 0; f < sum.Length; f++)
        {
            double mean = sum[f] / runs;
            double error = Math.Sqrt((squares[f] / runs - mean * mean) / runs);
            double coverage = (double)covered[f] / runs;
            double noise = Math.Sqrt(0.95 * 0.05 / runs);
            TestContext.Current.SendDiagnosticMessage($"figure {f}, changing share {changingShare}, {runs} runs: mean error {mean:e2} ± {error:e2}, coverage {coverage:p2}");
            Assert.InRange(mean, -2.5 * error, 2.5 * error);
            Assert.InRange(coverage, 0.93 - 2 * noise, 0.97 + 2 * noise);
        }
    }

    [Fact]
    public void Weighting_is_what_makes_it_unbiased()
    {
        // Good times are audited ten times as often as bad ones.
        List<QualitySample> audits = [.. Enumerable.Repeat(new QualitySample(true, Route.Local, 0.1), 100), .. Enumerable.Repeat(new QualitySample(false, Route.Local, 0.01), 10)];
        QualityEstimate estimate = QualityEstimate.From(audits);
        Assert.Equal(0.5, estimate.Local.Value, 12);
        Assert.Equal(2000, estimate.Requests, 6);
        Assert.True(estimate.Local.High - estimate.Local.Low > 0.25);
    }

    [Fact]
    public void Wilsons_interval_is_the_textbooks()
    {
        // Brown, Cai, DasGupta 2001: 1 of 10 and z = 1.96.
        Proportion interval = QualityEstimate.Wilson(0.1, 10, 1.959963984540054);
        Assert.Equal(0.0179, interval.Low, 4);
        Assert.Equal(0.4042, interval.High, 4);
        QualityEstimate estimate = QualityEstimate.From([.. Enumerable.Range(0, 10).Select(static i => new QualitySample(i == 0, Route.Local, 1e-9))]);
        Assert.Equal(interval.Low, estimate.Local.Low, 6);
        Assert.Equal(interval.High, estimate.Local.High, 6);
    }

    [Fact]
    public void Acceptance_counts_for_what_went_up_and_all_audited_leaves_no_doubt()
    {
        QualitySample[] all = [new(true, Route.Local, 1), new(false, Route.Local, 1), new(false, Route.Frontier, 1), new(false, Route.Frontier, 1, 0.5)];
        QualityEstimate estimate = QualityEstimate.From(all);
        Assert.Equal(new Proportion(0.25, 0.25, 0.25), estimate.Local);
        Assert.Equal(new Proportion(0.625, 0.625, 0.625), estimate.Mix);
        Assert.Equal(new Proportion(0.25, 0.25, 0.25), estimate.Risk);
        Assert.Equal(new Proportion(0.5, 0.5, 0.5), estimate.Escalation);
    }

    [Fact]
    public void Without_audits_nothing_is_known_and_all_right_is_not_certain()
    {
        QualityEstimate none = QualityEstimate.From([]);
        Assert.Equal((0, double.NaN, 0, 1), (none.Audits, none.Local.Value, none.Local.Low, none.Local.High));
        QualityEstimate perfect = QualityEstimate.From(Enumerable.Repeat(new QualitySample(true, Route.Local, 0.02), 50));
        Assert.Equal(1, perfect.Local.High);
        Assert.InRange(perfect.Local.Low, 0.9, 0.96);
        Assert.True(QualityEstimate.From(Enumerable.Repeat(new QualitySample(true, Route.Local, 0.02), 50), 0.99).Local.Low < perfect.Local.Low);
    }

    [Theory]
    [InlineData(0, 1.0)]
    [InlineData(1.1, 1.0)]
    [InlineData(double.NaN, 1.0)]
    [InlineData(0.5, 1.5)]
    [InlineData(0.5, double.NaN)]
    public void Impossible_samples_are_refused(double probability, double acceptance) =>
        Assert.Throws<ArgumentException>(() => QualityEstimate.From([new QualitySample(true, Route.Frontier, probability, acceptance)]));
}
