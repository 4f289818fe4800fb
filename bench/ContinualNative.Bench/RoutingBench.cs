using System.Globalization;
using System.Text.Json.Nodes;

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
        int seeds = 20;
        string? figures = null;
        bool json = false;
        for (int i = 1; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--seeds" when i + 1 < args.Length && int.TryParse(args[++i], CultureInfo.InvariantCulture, out seeds) && seeds > 0:
                    break;
                case "--out" when i + 1 < args.Length:
                    figures = args[++i];
                    break;
                case "--json":
                    json = true;
                    break;
                default:
                    return await WrongAsync($"'{args[i]}' is not understood here.");
            }
        }
        if (args.Length == 0 || !File.Exists(args[0]))
        {
            return await WrongAsync(args.Length == 0 ? "There is no features file." : $"There is no file '{args[0]}'; record it first.");
        }
        RoutingExperiment experiment = new(RoutingRow.Read(args[0]), seeds, cancel.Token);
        await Task.Run(experiment.Run, cancel.Token);
        if (json)
        {
            JsonObject all = [];
            foreach (RoutingTable table in experiment.Tables)
            {
                all[table.Name] = table.ToJson();
            }
            Console.Out.WriteLine(all.ToJsonString());
        }
        else
        {
            Console.Out.WriteLine(string.Join('\n', experiment.Tables.Select(static t => t.ToMarkdown())));
        }
        if (figures is not null)
        {
            Directory.CreateDirectory(figures);
            foreach ((string name, RoutingFigure figure) in experiment.Figures)
            {
                await File.WriteAllTextAsync(Path.Combine(figures, name + ".svg"), figure.ToSvg(), cancel.Token);
            }
        }
        return 0;
    }

    private static async Task<int> WrongAsync(string what)
    {
        await Console.Error.WriteLineAsync($"{what} {Usage}");
        return 2;
    }
}
