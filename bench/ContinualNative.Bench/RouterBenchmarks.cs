using BenchmarkDotNet.Attributes;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Bench;

/// <summary>What routing adds to a request: the decision, the distance to what was learned, and the embedding of its prompt.</summary>
[MemoryDiagnoser]
public class RouterBenchmarks
{
    private readonly Router _router = new(new RouterOptions());
    private readonly NoveltyIndex _index = new();
    private readonly float[] _embedding = new float[PromptEmbedder.Dimensions];
    private readonly string _short = "Please book a table for two at the Italian restaurant tonight";
    private readonly string _long = string.Join(' ', Enumerable.Range(0, 2000).Select(static i => $"word{i * 7919 % 1000}"));
    private readonly RouteRequest _request = new("0123456789abcdef01234567", "task", "adapter");
    private readonly RoutingFeatures _features = new(-0.2f, -1, 0.8f, 0.3f, 30, 200, 0.4f, false, false);

    [GlobalSetup]
    public void Setup()
    {
        Random random = new(1);
        List<LabelledSample> samples = [];
        for (int i = 0; i < 1000; i++)
        {
            float mean = -(float)random.NextDouble();
            samples.Add(new LabelledSample(i, $"{i}", "task", "adapter", _features with { MeanLogProb = mean, MinLogProb = 3 * mean }, random.NextDouble() < 1 + mean / 2, true, 0.02));
        }
        foreach (Calibration calibration in new Calibrator(new CalibrationOptions()).Fit(samples, "adapter"))
        {
            _router.Update(calibration);
        }
        for (int i = 0; i < _index.Capacity; i++)
        {
            _index.Add(PromptEmbedder.Embed($"{random.Next()} prompt number {i} of {random.Next()}"));
        }
        PromptEmbedder.Embed(_short, _embedding);
    }

    [Benchmark]
    public RouteDecision Judge() => _router.Judge(_request, _features);

    [Benchmark]
    public float Distance() => _index.Distance(_embedding);

    [Benchmark]
    public void EmbedShort() => PromptEmbedder.Embed(_short, _embedding);

    [Benchmark]
    public void EmbedLong() => PromptEmbedder.Embed(_long, _embedding);
}
