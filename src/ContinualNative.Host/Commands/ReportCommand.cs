using System.CommandLine;
using ContinualNative.Host.Reporting;
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
        Command command = new(Name, "Costs of each route, the price a request beside that of a frontier model alone, and the quality of both, from the traffic store. Prices that are not told are taken from continual.json and the environment, as the server's are.")
        {
            days, task,
        };
        return StoreAccess.On(command, Name, ["machine-price", "frontier-price-in", "frontier-price-cached", "frontier-price-out", "policy"], (call, _) =>
        {
            int number = call.Parsed.GetValue(days);
            if (number is < 1 or > TrafficReports.MostDays)
            {
                throw new SettingException("days", $"{number} does not lie between 1 and {TrafficReports.MostDays}");
            }
            call.Options.ValidateAmounts();
            string? only = call.Parsed.GetValue(task);
            if (only is not null && !call.Store.Tasks().Contains(only))
            {
                throw new SettingException("task", $"no request of a task '{only}' is stored; there are {string.Join(", ", call.Store.Tasks().DefaultIfEmpty("none"))}");
            }
            DateOnly today = DateOnly.FromDateTime(DateTime.UtcNow);
            StoreReport report = TrafficReports.Read(call.Store, today, number, only, call.Options.MachinePrice, TrafficReports.PricesOf(call.Options));
            if (call.Json)
            {
                CommandRun.WriteJson(json => TrafficReports.Write(json, report));
            }
            else
            {
                ReportScreen.Print(report, Console.Out, terminal: !Console.IsOutputRedirected);
            }
            return Task.FromResult(ExitCodes.Ok);
        });
    }
}
