using System.CommandLine;
using System.Globalization;
using ContinualNative.Host.Demo;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual demo</c>: the whole loop on the embedded model.</summary>
internal static class DemoCommand
{
    private const string Name = "demo";

    public static Command Create()
    {
        Option<ulong> seed = new("--seed") { Description = "Decides what drifts and what customers ask (default: 1).", DefaultValueFactory = static _ => 1 };
        Option<int> weeks = new("--weeks") { Description = "Simulated weeks (default: 13).", DefaultValueFactory = static _ => 13 };
        Option<int> requests = new("--requests") { Description = "Requests a week.", DefaultValueFactory = static _ => 400 };
        Option<string> model = new("--model") { Description = "model" };
        Option<string> log = new("--log") { Description = "log" };
        Option<DemoAblation> without = new("--without") { Description = "What to leave out." };
        Command command = new(Name, "Weeks of a support desk whose world drifts.") { seed, weeks, requests, model, log, without };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(Name, async () =>
        {
            string data = Directory.CreateTempSubdirectory("continual-demo-").FullName;
            using StreamWriter? writer = parsed.GetValue(log) is { } file ? new StreamWriter(file) { AutoFlush = true } : null;
            DemoOptions options = new()
            {
                Seed = parsed.GetValue(seed),
                Weeks = parsed.GetValue(weeks),
                Requests = parsed.GetValue(requests),
                Data = data,
                Model = parsed.GetValue(model) ?? Path.Combine(AppContext.BaseDirectory, "demo", "support-desk.gguf"),
                Without = parsed.GetValue(without),
                Log = writer,
            };
            DemoResult result = await new DemoRun(options, Print, static (_, _) => { }).RunAsync(cancel);
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"golden {result.GoldenBefore.Share:P1} -> {result.GoldenAfter.Share:P1}; {result.Took.TotalSeconds:0} s"));
            Directory.Delete(data, recursive: true);
            return ExitCodes.Ok;
        }));
        return command;
    }

    private static void Print(DemoWeek w)
    {
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{w.Week + 1,2} frozen {w.Frozen.Share:P1} continual {w.Continual.Share:P1} (local {w.Local.Share:P1}) frontier {w.Frontier.Share:P1} up {(double)w.RoutedUp / w.Continual.Count:P1} [{string.Join(' ', w.RoutedUpByQuarter.Select(static q => q.ToString("0.00", CultureInfo.InvariantCulture)))}] price {(double)w.Cost.Nanos / w.FrontierOnly.Nanos:P0} (esc {(double)w.Escalation.Nanos / w.FrontierOnly.Nanos:P0} teach {(double)w.Teaching.Nanos / w.FrontierOnly.Nanos:P0}) {w.Champion} {w.ServingSeconds:0.0}+{w.UpdateSeconds:0.0} s"));
        foreach ((Demo.World.RequestKind kind, (Tally sent, Tally frozen, int up)) in w.ByKind)
        {
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"     {kind,-14} {sent.Count,4} sent {sent.Share:P0} frozen {frozen.Share:P0} up {up}"));
        }
        foreach ((string kind, string text) in w.Events)
        {
            Console.Out.WriteLine($"     * {kind}: {text}");
        }
    }
}
