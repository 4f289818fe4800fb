using System.CommandLine;
using ContinualNative.Host.Diagnosis;
using Spectre.Console;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual doctor</c>: what this machine has, what is missing, and what to do.</summary>
internal static class DoctorCommand
{
    private const string Name = "doctor";

    public static Command Create()
    {
        Option<string> model = new("--model") { Description = "Also check a GGUF model: sound, small enough, able to chat.", HelpName = "FILE" };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new(Name, "Show what this machine has for serving, what is missing and what to do. Exits with 0 when it can serve.") { model, json };
        command.SetAction(parsed => CommandRun.GuardAsync(Name, () => Task.FromResult(Run(parsed.GetValue(model), parsed.GetValue(json)))));
        return command;
    }

    private static int Run(string? model, bool json)
    {
        Machine machine = new();
        IEnumerable<Finding> findings = new MachineDoctor(machine).Examine();
        if (model is not null)
        {
            findings = findings.Concat(new ModelDoctor(machine).Examine(model));
        }
        List<Finding> all = [];
        foreach (Finding finding in findings)
        {
            all.Add(finding);
            if (!json)
            {
                Print(finding);
            }
        }
        bool healthy = all.TrueForAll(static f => f.Severity != Severity.Problem);
        if (json)
        {
            WriteJson(all, healthy);
        }
        else
        {
            int warnings = all.Count(static f => f.Severity == Severity.Warning);
            Console.Out.WriteLine(healthy ? $"\nThis machine can serve{(warnings > 0 ? $"; {warnings} {(warnings == 1 ? "warning" : "warnings")}" : "")}." : $"\nThis machine can't serve{(model is null ? "" : " this model")} yet: see the problems above.");
        }
        return healthy ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static void Print(Finding finding)
    {
        (string word, string colour) = finding.Severity switch
        {
            Severity.Ok => ("ok", "green"),
            Severity.Warning => ("warning", "yellow"),
            _ => ("problem", "red"),
        };
        string detail = finding.Detail.ReplaceLineEndings(" ");
        string? advice = finding.Advice?.ReplaceLineEndings(" ");
        if (Console.IsOutputRedirected)
        {
            Console.Out.WriteLine($"{word,-8} {finding.Name,-16} {detail}{(advice is null ? "" : $" -> {advice}")}");
            return;
        }
        AnsiConsole.MarkupLine($"[{colour}]{word,-8}[/] [bold]{Markup.Escape(finding.Name),-16}[/] {Markup.Escape(detail)}");
        if (advice is not null)
        {
            AnsiConsole.MarkupLine($"         [{colour}]→[/] {Markup.Escape(advice)}");
        }
    }

    private static void WriteJson(List<Finding> findings, bool healthy) => CommandRun.WriteJson(json =>
    {
        json.WriteBoolean("ok", healthy);
        json.WriteStartArray("checks");
        foreach (Finding finding in findings)
        {
            json.WriteStartObject();
            json.WriteString("name", finding.Name);
            json.WriteString("status", finding.Severity.ToString().ToLowerInvariant());
            json.WriteString("detail", finding.Detail);
            json.WriteString("advice", finding.Advice);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    });
}
