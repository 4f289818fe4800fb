using System.CommandLine;
using System.Globalization;
using ContinualNative.Host.Demo;
using ContinualNative.Host.Demo.World;
using ContinualNative.Host.Reporting.Learning;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual demo</c>: the whole loop on the embedded model, with simulated customers and a simulated frontier.</summary>
internal static class DemoCommand
{
    private const string Name = "demo";
    private const int QuickWeeks = 5;
    private const int QuickRequests = 160;

    public static Command Create()
    {
        Option<ulong> seed = new("--seed") { Description = "Decides what drifts, and when, and what customers ask (default: 1).", HelpName = "N", DefaultValueFactory = static _ => 1 };
        Option<int?> weeks = new("--weeks") { Description = "Simulated weeks, 2 to 60 (default: 12; with --quick 5).", HelpName = "N" };
        Option<int?> requests = new("--requests") { Description = "Requests a week, 50 to 5000 (default: 400; with --quick 160).", HelpName = "N" };
        Option<bool> quick = new("--quick") { Description = "Few weeks with few requests: whether it runs, not what it shows." };
        Option<string> output = new("--out") { Description = "Folder for the figure (SVG and PNG) and the page (HTML) (default: continual-demo in the working folder).", HelpName = "DIR", DefaultValueFactory = static _ => "continual-demo" };
        Option<string> data = new("--data") { Description = "Keep the server's data folder here, to look at with 'continual report', 'cycle' and 'adapters' (default: a temporary one that is deleted).", HelpName = "DIR" };
        Option<string> model = new("--model") { Description = "Another model than the embedded one; it should know the desk's first week.", HelpName = "FILE" };
        Option<DemoAblation> without = new("--without") { Description = "Leave out, to see what it is worth: noreplay, noanchor, noteaching, nooutcomes, randomteaching.", HelpName = "WHAT" };
        Option<string> log = new("--log") { Description = "Write the server's log here.", HelpName = "FILE" };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new(Name, "Some weeks of a support desk whose world drifts, in minutes: a small model that learns beside its frozen self and a frontier that gets better. Real serving, training and swaps; simulated customers and frontier.")
        {
            seed, weeks, requests, quick, output, data, model, without, log, json, CreateCorpus(),
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(Name, async () =>
        {
            bool fast = parsed.GetValue(quick);
            using StreamWriter? writer = parsed.GetValue(log) is { } file ? new StreamWriter(file) { AutoFlush = true } : null;
            string? kept = parsed.GetValue(data);
            CheckFolder(kept);
            DemoOptions options = new()
            {
                Seed = parsed.GetValue(seed),
                Weeks = Between("weeks", parsed.GetValue(weeks) ?? (fast ? QuickWeeks : DemoOptions.DefaultWeeks), 2, 60),
                Requests = Between("requests", parsed.GetValue(requests) ?? (fast ? QuickRequests : DemoOptions.DefaultRequests), 50, 5000),
                Data = kept ?? Directory.CreateTempSubdirectory("continual-demo-").FullName,
                Model = parsed.GetValue(model) ?? DemoOptions.EmbeddedModel,
                Without = parsed.GetValue(without),
                Log = writer,
            };
            try
            {
                return await RunAsync(options, Path.GetFullPath(parsed.GetValue(output)!), parsed.GetValue(json), cancel);
            }
            finally
            {
                if (kept is null)
                {
                    Directory.Delete(options.Data, recursive: true);
                }
            }
        }));
        return command;
    }

    private static Command CreateCorpus()
    {
        Option<string> output = new("--out") { Description = "The folder; it is made if need be.", HelpName = "DIR", Required = true };
        Command command = new("corpus", "Write the text that the embedded model was grown from, for 'continual pretrain'.") { output };
        command.SetAction((parsed, _) => CommandRun.GuardAsync("demo corpus", () =>
        {
            CommandRun.MakeFolder("out", parsed.GetValue(output)!);
            Console.Out.WriteLine(CorpusWriter.Write(parsed.GetValue(output)!));
            return Task.FromResult(ExitCodes.Ok);
        }));
        return command;
    }

    private static async Task<int> RunAsync(DemoOptions options, string output, bool json, CancellationToken cancellationToken)
    {
        if (!File.Exists(options.Model))
        {
            throw new SettingException("model", $"there is no file '{options.Model}'");
        }
        CommandRun.MakeFolder("out", output);
        CommandRun.MakeFolder("data", options.Data);
        LearningLiveOptions live = new() { Title = string.Create(CultureInfo.InvariantCulture, $"ContinualNative demo, seed {options.Seed}"), Periods = options.Weeks };
        DemoResult result = await LearningLiveView.RunAsync(live, view =>
            new DemoRun(options, week => view.Period(DemoReport.PeriodOf(week)), view.Now).RunAsync(cancellationToken));
        string command = string.Create(CultureInfo.InvariantCulture, $"continual demo --seed {options.Seed} --weeks {options.Weeks} --requests {options.Requests}{(options.Without == DemoAblation.None ? "" : $" --without {options.Without}")}");
        LearningHistory history = DemoReport.HistoryOf(result, command);
        string svg = Path.Combine(output, "learning.svg");
        string png = Path.Combine(output, "learning.png");
        string page = Path.Combine(output, "learning.html");
        LearningFigure.Save(svg, history);
        LearningFigure.Save(png, history);
        LearningPage.Save(page, history);
        if (json)
        {
            CommandRun.WriteJson(writer => DemoReport.Write(writer, result, command));
        }
        else
        {
            LearningTable.Print(history, Console.Out, terminal: !Console.IsOutputRedirected);
            PrintClaims(DemoReport.ClaimsOf(result));
        }
        Console.Error.WriteLine($"{page}{Environment.NewLine}{svg}{Environment.NewLine}{png}");
        return ExitCodes.Ok;
    }

    private static void PrintClaims(DemoClaims claims)
    {
        Line($"last third        frozen {claims.Frozen:P1}, continual {claims.Continual:P1}, frontier {claims.Frontier:P1}");
        Line($"of the frontier   {claims.OfFrontier:P1} (95 % or more is the aim), {100 * claims.AboveFrozen:0.0} points above the frozen snapshot (15 or more)");
        Line($"routed up         {claims.RoutedUp:P1} (15 % or less)");
        Line($"price             {claims.PriceShare:P1} of the frontier alone, teaching and training counted in (35 % or less)");
        Line($"forgotten         {100 * claims.Forgotten:0.0} points on the first week's golden questions (1 or less)");
        if (claims.Effects.Count > 0)
        {
            Line($"after an update   that follows a change: of what had changed {Of(claims, static e => e.Changed)}");
            Line($"                  of all but what changed later {Of(claims, static e => e.All)}");
        }
        Line($"updates           {claims.Promotions} promoted, {claims.Refusals} refused or taken back");

        static void Line(FormattableString line) => Console.Out.WriteLine(FormattableString.Invariant(line));

        static string Of(DemoClaims claims, Func<UpdateEffect, ShareChange> which)
        {
            ShareChange[] changes = [.. claims.Effects.Select(which)];
            return FormattableString.Invariant($"{changes.Average(static c => c.After):P0} goes up, {changes.Average(static c => c.Before):P0} before it; it falls after {changes.Count(static c => c.Falls)} of {changes.Length}");
        }
    }

    private static void CheckFolder(string? data)
    {
        if (data is not null && Directory.Exists(data) && Directory.EnumerateFileSystemEntries(data).Any())
        {
            throw new SettingException("data", $"'{data}' is not empty; the demo begins with an empty data folder");
        }
    }

    private static int Between(string option, int value, int low, int high) =>
        value >= low && value <= high ? value : throw new SettingException(option, $"{value} does not lie between {low} and {high}");
}
