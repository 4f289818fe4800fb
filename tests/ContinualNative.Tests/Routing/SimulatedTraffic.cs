using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

/// <summary>
/// Requests whose local answers are right with a probability that depends on a hidden difficulty, which the features show: P(right) = σ(skill − 1.6 z), z normal.
/// A drift changes the skill and leaves the features as they are: confidence then means something else.
/// </summary>
internal sealed class SimulatedTraffic(int seed)
{
    private readonly Random _random = new(seed);
    private long _sequence;

    public LabelledSample Next(double skill, string task = "t", string adapter = "a", bool audited = true, double share = 0.02, bool early = false)
    {
        double z = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble());
        double mean = -Math.Exp(-1.5 + 0.8 * z);
        bool right = _random.NextDouble() < 1 / (1 + Math.Exp(1.6 * z - skill));
        RoutingFeatures features = new((float)mean, (float)(3 * mean), (float)Math.Exp(mean), (float)-mean, 20, 100, (float)_random.NextDouble(), false, early);
        return new LabelledSample(++_sequence, $"{seed:x8}{_sequence:x16}", task, adapter, features, right, audited, audited ? share : 0);
    }

    public List<LabelledSample> Take(int count, double skill, string task = "t", string adapter = "a", bool audited = true, double share = 0.02, bool early = false) =>
        [.. Enumerable.Range(0, count).Select(_ => Next(skill, task, adapter, audited, share, early))];
}
