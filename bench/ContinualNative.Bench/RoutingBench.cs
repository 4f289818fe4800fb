namespace ContinualNative.Bench;

/// <summary>The run <c>routing</c>: see <c>bench/routing/README.md</c>.</summary>
internal static class RoutingBench
{
    private const string Usage = "usage: routing record MODEL.gguf ADAPTER.gguf FOLDER FEATURES.jsonl | routing FEATURES.jsonl [--seeds N] [--out FOLDER] [--json]";

    /// <summary>0: done; 1: failed; 2: wrong usage.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        using CancellationTokenSource cancel = new();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = true;
            cancel.Cancel();
        };
        if (args is ["record", string model, string adapter, string folder, string output])
        {
            await RoutingRecorder.RunAsync(model, adapter, folder, output, cancel.Token);
            return 0;
        }
        await Console.Error.WriteLineAsync(Usage);
        return 2;
    }
}
