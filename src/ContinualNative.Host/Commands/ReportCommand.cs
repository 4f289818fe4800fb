using System.CommandLine;
using ContinualNative.Core.Adapters;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Reporting.Learning;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual report</c>: what the traffic cost, what it saved, and how good the answers were.</summary>
internal static class ReportCommand
{
    private const string Name = "report";

    public static Command Create()
    {
        Option<int> days = new("--days") { Description = "The last N days (UTC), today included (default: 30).", HelpName = "N", DefaultValueFactory = static _ => 30 };
        Option<string> task = new("--task") { Description = "Only this task.", HelpName = "NAME" };
        Option<string> figure = new("--figure") { Description = "Write quality and price over time, by weeks, as a figure.", HelpName = "FILE.svg|FILE.png" };
        Option<string> html = new("--html") { Description = "Write the figure with its table and what they mean as one HTML file.", HelpName = "FILE.html" };
        Command command = new(Name, "Costs of each route, the price a request beside that of a frontier model alone, and the quality of both, from the traffic store. Prices that are not told are taken from continual.json and the environment, as the server's are.")
        {
            days, task, figure, html,
        };
        return StoreAccess.On(command, Name, ["machine-price", "frontier-price-in", "frontier-price-cached", "frontier-price-out", "policy"], (call, _) =>
        {
            int number = call.Parsed.GetValue(days);
            if (number is < 1 or > TrafficReports.MostDays)
            {
                throw new SettingException("days", $"{number} does not lie between 1 and {TrafficReports.MostDays}");
            }
            string? figureFile = call.Parsed.GetValue(figure);
            if (figureFile is not null && !LearningFigure.IsFigure(figureFile))
            {
                throw new SettingException("figure", $"'{figureFile}' ends neither in .svg nor in .png");
            }
            call.Options.ValidateAmounts();
            string? only = call.Parsed.GetValue(task);
            if (only is not null && !call.Store.Tasks().Contains(only))
            {
                throw new SettingException("task", $"no request of a task '{only}' is stored; there are {string.Join(", ", call.Store.Tasks().DefaultIfEmpty("none"))}");
            }
            DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow);
            StoreReport report = TrafficReports.Read(call.Store, today, number, only, call.Options.MachinePrice, TrafficReports.PricesOf(call.Options));
            IReadOnlyList<PromotionRecord> promotions = call.Store.Promotions(Promoter.MostRead);
            LearningHistory history = LearningReports.FromStore(report, promotions);
            if (call.Json)
            {
                CommandRun.WriteJson(json =>
                {
                    TrafficReports.Write(json, report);
                    json.WriteStartObject("learning");
                    LearningJson.Write(json, history);
                    json.WriteEndObject();
                });
            }
            else
            {
                ReportScreen.Print(report, Console.Out, terminal: !Console.IsOutputRedirected);
                if (history.Periods.Count == 0 && call.Store.Traffic(DateOnly.FromDayNumber(0), today) is [.., var last])
                {
                    Console.Out.WriteLine($"The last request is of {TrafficReports.DayText(last.Day)}: --days {today.DayNumber - last.Day.DayNumber + 1} goes back to it.");
                }
            }
            return Task.FromResult(Save(history, figureFile, call.Parsed.GetValue(html)));
        });
    }

    private static int Save(LearningHistory history, string? figure, string? html)
    {
        if (history.Periods.Count == 0 && (figure ?? html) is { } file)
        {
            return CommandRun.Fail(Name, $"no request was recorded in these days, so {file} was not written.", ExitCodes.Failed);
        }
        if (figure is not null)
        {
            LearningFigure.Save(figure, history);
        }
        if (html is not null)
        {
            LearningPage.Save(html, history);
        }
        return ExitCodes.Ok;
    }
}
