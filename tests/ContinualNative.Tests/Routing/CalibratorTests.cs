using System.Diagnostics;
using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

public sealed class CalibratorTests
{
    [Theory]
    [InlineData(40, 0.05)]
    [InlineData(40, 0.1)]
    [InlineData(300, 0.05)]
    public void Realized_risk_is_at_most_the_target_on_exchangeable_requests(int audits, double target)
    {
        int repeats = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_ROUTING_REPEATS"), out int wanted) ? wanted : 200;
        const int requests = 400;
        Calibrator calibrator = new(new CalibrationOptions { TargetRisk = target });
        double sum = 0, squares = 0;
        for (int repeat = 0; repeat < repeats; repeat++)
        {
            SimulatedTraffic traffic = new(1000 * audits + repeat);
            CalibrationSide side = calibrator.Fit(traffic.Take(audits, 2), "a")[0].Whole;
            int wrong = traffic.Take(requests, 2).Count(s => !s.Correct && side.Probability(s.Features) >= (side.Threshold ?? 1));
            double risk = (double)wrong / requests;
            sum += risk;
            squares += risk * risk;
        }
        double mean = sum / repeats;
        double error = Math.Sqrt((squares / repeats - mean * mean) / repeats);
        TestContext.Current.SendDiagnosticMessage($"{audits} audits, target {target}: mean risk {mean:f4} ± {error:f4} over {repeats} calibrations");
        // Three standard errors of the simulation above the bound; and a threshold that lets nothing through would be of no use.
        Assert.InRange(mean, target / 2, target + 3 * error);
    }

    [Fact]
    public void Probabilities_are_calibrated_and_sort_right_from_wrong()
    {
        SimulatedTraffic traffic = new(5);
        CalibrationSide side = new Calibrator(new CalibrationOptions()).Fit(traffic.Take(1500, 1.5), "a")[0].Whole;
        List<LabelledSample> fresh = traffic.Take(20_000, 1.5);
        CalibrationQuality quality = CalibrationQuality.Of([.. fresh.Select(s => side.Probability(s.Features))], [.. fresh.Select(static s => s.Correct)])!;
        Assert.InRange(quality.ExpectedCalibrationError, 0, 0.05);
        Assert.InRange(quality.Auc!.Value, 0.78, 1);
        // What the calibration says of itself, on audits it did not see, is about what it is.
        Assert.InRange(side.Quality!.Brier, quality.Brier - 0.02, quality.Brier + 0.02);
        Assert.InRange(side.EscalationShare!.Value, 0.2, 0.6);
    }

    [Fact]
    public void No_audit_that_sets_the_threshold_has_trained_the_model()
    {
        List<LabelledSample> samples = [.. new SimulatedTraffic(6).Take(60, 1.5), .. new SimulatedTraffic(7).Take(60, 1.5, "u")];
        Calibrator calibrator = new(new CalibrationOptions { TargetRisk = 0.1 });
        CalibrationSide before = calibrator.Fit(samples, "a")[0].Whole;
        int held = 0;
        for (int i = 0; i < 60; i++)
        {
            LabelledSample original = samples[i];
            samples[i] = original with { Correct = !original.Correct };
            CalibrationSide after = calibrator.Fit(samples, "a")[0].Whole;
            samples[i] = original;
            bool trained = !before.Coefficients.SequenceEqual(after.Coefficients);
            bool judged = before.Quality!.Accuracy != after.Quality!.Accuracy;
            Assert.NotEqual(trained, judged);
            held += judged ? 1 : 0;
        }
        Assert.Equal(before.ThresholdSamples, held);
        Assert.InRange(held, 35, 55);
    }

    [Fact]
    public void Order_of_the_samples_makes_no_difference()
    {
        LabelledSample[] samples = [.. new SimulatedTraffic(8).Take(200, 1.5), .. new SimulatedTraffic(9).Take(100, 1, "u", "b", audited: false)];
        Calibrator calibrator = new(new CalibrationOptions());
        string[] first = [.. calibrator.Fit(samples, "a").Select(static c => c.ToJson())];
        new Random(1).Shuffle(samples);
        Assert.Equal(first, calibrator.Fit(samples, "a").Select(static c => c.ToJson()));
    }

    [Fact]
    public void A_task_with_few_labels_borrows_from_all_tasks_and_says_so()
    {
        SimulatedTraffic traffic = new(10);
        List<LabelledSample> samples = [.. traffic.Take(400, 1.5, "large"), .. traffic.Take(10, 1.5, "small"), .. traffic.Take(10, 1.5, "strict")];
        IReadOnlyList<Calibration> calibrations = new Calibrator(new CalibrationOptions { TaskTargetRisk = new Dictionary<string, double> { ["strict"] = 0.001 } }).Fit(samples, "a");
        Assert.Equal(["large", "small", "strict", Calibration.AnyTask], calibrations.Select(static c => c.Task));
        Assert.Equal(
            [ThresholdScope.Task, ThresholdScope.AllTasks, ThresholdScope.None, ThresholdScope.AllTasks],
            calibrations.Select(static c => c.Whole.Scope));
        // There were no streams.
        Assert.All(calibrations.Where(static c => c.Task != "strict"), static c => Assert.Equal(ThresholdScope.All, c.Early.Scope));
        Assert.Null(calibrations[2].Whole.Threshold);
        Assert.True(calibrations[2].Whole.HasModel);
    }

    [Fact]
    public void A_task_with_many_labels_goes_its_own_way()
    {
        // Here the sure answers are the wrong ones.
        SimulatedTraffic traffic = new(11);
        List<LabelledSample> samples = [.. traffic.Take(1000, 0), .. traffic.Take(1500, 0, "odd").Select(static s => s with { Correct = !s.Correct })];
        IReadOnlyList<Calibration> calibrations = new Calibrator(new CalibrationOptions()).Fit(samples, "a");
        Assert.True(calibrations.Single(static c => c.Task == "odd").Whole.Quality!.Auc > 0.7);
        Assert.True(calibrations.Single(static c => c.Task == "t").Whole.Quality!.Auc > 0.7);
    }

    [Fact]
    public void Labels_that_were_picked_because_they_failed_do_not_make_the_model_gloomy()
    {
        SimulatedTraffic traffic = new(12);
        List<LabelledSample> samples = [.. traffic.Take(800, 2), .. traffic.Take(6000, 2, audited: false).Where(static s => !s.Correct)];
        CalibrationSide side = new Calibrator(new CalibrationOptions { Window = 400 }).Fit(samples, "a")[0].Whole;
        List<LabelledSample> fresh = traffic.Take(10_000, 2);
        Assert.InRange(fresh.Average(s => side.Probability(s.Features)) - fresh.Average(static s => s.Correct ? 1.0 : 0.0), -0.06, 0.06);
    }

    [Fact]
    public void Only_audits_of_the_adapter_since_the_change_set_its_threshold()
    {
        SimulatedTraffic traffic = new(13);
        List<LabelledSample> samples = [.. traffic.Take(300, 2), .. traffic.Take(300, 2, adapter: "b"), .. traffic.Take(300, 2, audited: false)];
        Calibrator calibrator = new(new CalibrationOptions());
        Assert.InRange(calibrator.Fit(samples, "a")[0].Whole.ThresholdSamples, 200, 300);
        Assert.Equal(0, calibrator.Fit(samples, "c")[0].Whole.ThresholdSamples);
        Assert.InRange(calibrator.Fit(samples, "a", new Dictionary<string, long> { ["t"] = 251 })[0].Whole.ThresholdSamples, 30, 50);
        Assert.InRange(new Calibrator(new CalibrationOptions { Window = 50 }).Fit(samples, "a")[0].Whole.ThresholdSamples, 30, 50);
    }

    [Fact]
    public void Forgetting_follows_a_changed_traffic_sooner()
    {
        SimulatedTraffic traffic = new(14);
        List<LabelledSample> samples = [.. traffic.Take(1500, 3), .. traffic.Take(300, 0.5)];
        double slow = new Calibrator(new CalibrationOptions()).Fit(samples, "a")[0].Whole.Threshold!.Value;
        double fast = new Calibrator(new CalibrationOptions { HalfLife = 100 }).Fit(samples, "a")[0].Whole.Threshold!.Value;
        Assert.True(fast > slow, $"{fast} {slow}");
    }

    [Theory]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, float.NegativeInfinity)]
    [InlineData(float.NegativeInfinity, float.PositiveInfinity)]
    [InlineData(float.MaxValue, float.MinValue)]
    public void Features_that_are_no_numbers_do_no_harm(float one, float other)
    {
        SimulatedTraffic traffic = new(15);
        List<LabelledSample> samples = traffic.Take(200, 1.5);
        for (int i = 0; i < samples.Count; i += 3)
        {
            samples[i] = samples[i] with { Features = new RoutingFeatures(one, other, one, other, int.MinValue, int.MaxValue, one, i % 2 == 0, false) };
        }
        CalibrationSide side = new Calibrator(new CalibrationOptions()).Fit(samples, "a")[0].Whole;
        Assert.All(side.Coefficients, static c => Assert.True(double.IsFinite(c)));
        Assert.All(samples, s => Assert.InRange(side.Probability(s.Features), 1e-6, 1 - 1e-6));
    }

    [Theory]
    [InlineData(20, true)]
    [InlineData(20, false)]
    [InlineData(2000, true)]
    [InlineData(2000, false)]
    public void One_class_constant_features_and_separation_have_a_finite_answer(int count, bool correct)
    {
        List<LabelledSample> samples = new SimulatedTraffic(16).Take(count, 1);
        List<LabelledSample>[] cases =
        [
            [.. samples.Select(s => s with { Correct = correct })],
            [.. samples.Select(s => s with { Features = samples[0].Features, Correct = correct })],
            [.. samples.Select(s => s with { Correct = s.Features.MeanLogProb > -0.2 == correct })],
        ];
        foreach (List<LabelledSample> hostile in cases)
        {
            CalibrationSide side = new Calibrator(new CalibrationOptions { TargetRisk = 0.2 }).Fit(hostile, "a")[0].Whole;
            Assert.All(side.Coefficients, static c => Assert.InRange(c, -50, 50));
            Assert.NotNull(side.Threshold);
        }
        double sure = new Calibrator(new CalibrationOptions()).Fit(cases[0], "a")[0].Whole.Probability(samples[0].Features);
        Assert.Equal(correct, sure > 0.5);
    }

    [Fact]
    public void Without_samples_there_is_one_calibration_that_knows_nothing()
    {
        Calibration only = Assert.Single(new Calibrator(new CalibrationOptions()).Fit([], "a"));
        Assert.Equal(Calibration.AnyTask, only.Task);
        Assert.False(only.Whole.HasModel || only.Early.HasModel);
        Assert.False(new Calibrator(new CalibrationOptions()).Fit(new SimulatedTraffic(17).Take(19, 1), "a")[0].Whole.HasModel);
        Assert.Equal(only.ToJson(), Calibration.FromJson(only.ToJson()).ToJson());
    }

    [Fact]
    public void Many_samples_and_many_tasks_take_a_moment_only()
    {
        int count = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_ROUTING_SAMPLES"), out int wanted) ? wanted : 50_000;
        SimulatedTraffic traffic = new(18);
        List<LabelledSample> samples = traffic.Take(count, 1.5);
        for (int task = 0; task < 300; task++)
        {
            samples.AddRange(traffic.Take(10, 1.5, $"task {task:d3}"));
        }
        long start = Stopwatch.GetTimestamp();
        IReadOnlyList<Calibration> calibrations = new Calibrator(new CalibrationOptions()).Fit(samples, "a");
        TestContext.Current.SendDiagnosticMessage($"{count} samples and 300 tasks: {Stopwatch.GetElapsedTime(start).TotalMilliseconds:f0} ms");
        Assert.Equal(302, calibrations.Count);
        Assert.Equal(ThresholdScope.AllTasks, calibrations[1].Whole.Scope == ThresholdScope.Task ? calibrations[0].Whole.Scope : calibrations[1].Whole.Scope);
    }

    [Fact]
    public void Text_keeps_every_digit_and_its_id_comes_from_the_store()
    {
        foreach (Calibration calibration in new Calibrator(new CalibrationOptions()).Fit(new SimulatedTraffic(19).Take(300, 1.5), "a"))
        {
            string text = calibration.ToJson();
            Calibration back = Calibration.FromJson(text, 7);
            Assert.Equal(7, back.Id);
            Assert.Equal(text, back.ToJson());
            Assert.Equal(calibration.Whole.Threshold, back.Whole.Threshold);
            Assert.Equal(calibration.Whole.Coefficients, back.Whole.Coefficients);
        }
    }

    [Theory]
    [InlineData("", "damaged")]
    [InlineData("null", "version none")]
    [InlineData("{}", "damaged")]
    [InlineData("""{"version":2,"task":"t","adapter":"a","whole":{"coefficients":[],"means":[],"inverse_scales":[]},"early":{"coefficients":[],"means":[],"inverse_scales":[]}}""", "version 2")]
    [InlineData("""{"version":1,"task":"t","adapter":"a","whole":{"coefficients":[1],"means":[],"inverse_scales":[]},"early":{"coefficients":[],"means":[],"inverse_scales":[]}}""", "do not fit")]
    [InlineData("""{"version":1,"task":"t","adapter":"a","whole":{"coefficients":[],"means":[],"inverse_scales":[],"threshold":0.5},"early":{"coefficients":[],"means":[],"inverse_scales":[]}}""", "do not fit")]
    [InlineData("""{"version":1,"task":"t","adapter":"a","target_risk":1,"whole":{"coefficients":[],"means":[],"inverse_scales":[]},"early":{"coefficients":[],"means":[],"inverse_scales":[]}}""", "do not fit")]
    public void Damaged_text_is_refused(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<FormatException>(() => Calibration.FromJson(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Options_name_the_setting_that_is_wrong()
    {
        Assert.Contains("'target-risk'", Assert.Throws<ArgumentException>(static () => new Calibrator(new CalibrationOptions { TargetRisk = 0 })).Message, StringComparison.Ordinal);
        Assert.Contains("task 'x'", Assert.Throws<ArgumentException>(static () => new Calibrator(new CalibrationOptions { TaskTargetRisk = new Dictionary<string, double> { ["x"] = double.NaN } })).Message, StringComparison.Ordinal);
        Assert.Contains("'calibration-window'", Assert.Throws<ArgumentException>(static () => new Calibrator(new CalibrationOptions { Window = 1 })).Message, StringComparison.Ordinal);
    }
}
