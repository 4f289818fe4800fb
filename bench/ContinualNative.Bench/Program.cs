using BenchmarkDotNet.Running;

namespace ContinualNative.Bench;

/// <summary>The name of a whole run (and its arguments), or BenchmarkDotNet's own arguments.</summary>
internal static class Program
{
    private static readonly Dictionary<string, Func<string[], Task<int>>> Runs = new(StringComparer.Ordinal)
    {
        ["routing"] = RoutingBench.RunAsync,
        ["store"] = StoreRun.RunAsync,
        ["latency"] = LatencyRun.RunAsync,
        ["gate"] = GateRun.RunAsync,
    };

    private static Task<int> Main(string[] args)
    {
        if (args.Length > 0 && Runs.TryGetValue(args[0], out Func<string[], Task<int>>? run))
        {
            return run(args[1..]);
        }
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        return Task.FromResult(0);
    }
}
