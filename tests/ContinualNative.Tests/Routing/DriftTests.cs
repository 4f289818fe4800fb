using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Routing;

/// <summary>Router, audits, monitor and calibrator together, on simulated traffic.</summary>
public sealed class DriftTests
{
    [Fact]
    public void False_alarms_are_rarer_than_stated_and_a_change_is_dated()
    {
        Random random = new(1);
        RiskMonitor quiet = new(0.07, 500);
        int alarms = 0;
        for (int i = 0; i < 50_000; i++)
        {
            alarms += quiet.Add(i, random.NextDouble() < 0.07) ? 1 : 0;
        }
        // At most one in 500 audits on average: 100; and it is no dead wire.
        Assert.InRange(alarms, 1, 100);

        double delay = 0, dated = 0;
        for (int run = 0; run < 50; run++)
        {
            RiskMonitor monitor = new(0.07, 2000);
            int i = 0;
            while (!monitor.Add(i, random.NextDouble() < (i < 200 ? 0.04 : 0.3)))
            {
                i++;
            }
            delay += (i - 200) / 50.0;
            dated += Math.Abs(monitor.ChangedAt!.Value - 200) / 50.0;
        }
        Assert.InRange(delay, 5, 50);
        Assert.InRange(dated, 0, 40);
    }

    [Fact]
    public void Risk_returns_below_the_target_soon_after_an_abrupt_drift()
    {
        const int before = 8000, after = 8000, runs = 2;
        double calm = 0, shock = 0, late = 0, withoutWatch = 0;
        List<int> alarms = [];
        for (int run = 0; run < runs; run++)
        {
            Simulation watched = new(run, watch: true);
            watched.Run(before, 2.5);
            calm += watched.Losses(3000, before) / runs;
            watched.Run(after, 0.3);
            alarms.Add(watched.FirstAlarm - before);
            shock += watched.Losses(before, before + 300) / runs;
            late += watched.Losses(before + 2000, before + after) / runs;
            Simulation blind = new(run, watch: false);
            blind.Run(before, 2.5);
            blind.Run(after, 0.3);
            withoutWatch += blind.Losses(before + 2000, before + after) / runs;
        }
        // Single calibrations scatter about the target by 0.01 to 0.02, and these are the means of two runs.
        Assert.InRange(calm, 0.02, 0.08);
        Assert.True(shock > 0.12, $"{shock}");
        Assert.All(alarms, static a => Assert.InRange(a, 1, 2000));
        Assert.InRange(late, 0.01, 0.08);
        Assert.True(withoutWatch > 1.3 * late, $"{withoutWatch} {late}");
    }

    [Fact]
    public void Escalation_falls_as_the_model_improves()
    {
        Simulation simulation = new(7, watch: true);
        List<double> shares = [];
        foreach (double skill in (double[])[0.5, 2, 3.5, 5])
        {
            // Models improve by new adapters.
            int from = simulation.Count;
            simulation.Adapter = $"adapter {skill}";
            simulation.Run(6000, skill);
            shares.Add(simulation.Escalations(from + 3000, from + 6000));
        }
        Assert.Equal(shares.OrderDescending(), shares);
        Assert.True(shares[0] > 0.4 && shares[^1] < 0.1, string.Join(' ', shares));
    }

    [Fact]
    public void After_a_swap_caution_holds_until_the_adapter_has_labels_of_its_own()
    {
        Simulation simulation = new(8, watch: true);
        simulation.Run(10_000, 2);
        double old = simulation.Escalations(6000, 10_000);
        simulation.Adapter = "b";
        simulation.Run(200, 3.5);
        double cautious = simulation.Escalations(10_000, 10_200);
        simulation.Run(10_000, 3.5);
        Assert.True(cautious > old, $"{cautious} {old}");
        Assert.True(simulation.Escalations(14_000, 20_000) < old);
        Assert.InRange(simulation.Losses(10_200, 20_000), 0, 0.07);
    }

    private sealed class Simulation(int seed, bool watch)
    {
        private readonly SimulatedTraffic _traffic = new(seed);
        private readonly Router _router = new(new RouterOptions { TargetRisk = 0.05, MaxEscalation = null, AuditShare = 0.05, Seed = (ulong)seed });
        private readonly RecalibrationTrigger _trigger = new(50);
        private readonly Calibrator _calibrator = new(new CalibrationOptions { TargetRisk = 0.05 });
        private readonly List<LabelledSample> _samples = [];
        private readonly List<(bool Up, bool Lost)> _requests = [];

        public string Adapter { get; set; } = "a";

        public int Count => _requests.Count;

        public int FirstAlarm { get; private set; } = -1;

        public double Losses(int from, int to) => _requests[from..to].Average(static r => r.Lost ? 1.0 : 0);

        public double Escalations(int from, int to) => _requests[from..to].Average(static r => r.Up ? 1.0 : 0);

        public void Run(int requests, double skill)
        {
            for (int i = 0; i < requests; i++)
            {
                LabelledSample sample = _traffic.Next(skill, adapter: Adapter);
                RouteDecision decision = _router.Judge(new RouteRequest(sample.RequestId, "t", Adapter), sample.Features);
                bool up = decision.Route == Route.Frontier;
                _requests.Add((up, !up && !sample.Correct));
                if (!decision.Audited)
                {
                    continue;
                }
                sample = sample with { AuditProbability = decision.AuditProbability };
                _samples.Add(sample);
                Recalibration what = _trigger.Add(sample, _router.CalibrationFor("t", Adapter, false));
                if (what == Recalibration.Drift && FirstAlarm < 0)
                {
                    FirstAlarm = _requests.Count;
                }
                if (what != Recalibration.None)
                {
                    foreach (Calibration calibration in _calibrator.Fit(_samples, Adapter, watch ? _trigger.Since : null))
                    {
                        _router.Update(calibration);
                    }
                }
            }
        }
    }
}
