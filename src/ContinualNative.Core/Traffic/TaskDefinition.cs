using System.Text.Json;
using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Traffic;

/// <summary>A kind of request that is measured, calibrated and taught by itself, and how requests are known to be of it.</summary>
public sealed record TaskDefinition
{
    /// <summary>Longest name.</summary>
    public const int MaxNameLength = 64;

    private static readonly string[] Fields =
        ["name", "measure", "judge_prompt", "pass_mark", "target_risk", "max_escalation", "keys", "system_prompt", "system_prompt_prefix", "metadata"];

    /// <summary>1 to 64 ASCII letters, digits and <c>- _ . /</c>.</summary>
    public required string Name { get; init; }

    /// <summary>How a local answer is compared with the teacher's.</summary>
    public AgreementMeasure Measure { get; init; } = AgreementMeasure.Normalized;

    /// <summary>The judge's prompt with <c>{question}</c>, <c>{reference}</c> and <c>{answer}</c>, or null for the built-in one; only with <see cref="AgreementMeasure.Judge"/>.</summary>
    public string? JudgePrompt { get; init; }

    /// <summary>Agreement from which on an answer counts as right, 0 to 1; null: <see cref="Agreement.DefaultPassMark"/> of the measure.</summary>
    public double? PassMark { get; init; }

    /// <summary>Highest share of wrong answers among those sent from the local model, or null for the server's.</summary>
    public double? TargetRisk { get; init; }

    /// <summary>Highest share of requests sent up, or null for the server's.</summary>
    public double? MaxEscalation { get; init; }

    /// <summary>Ids of the API keys whose requests are of this task.</summary>
    public IReadOnlyList<string> Keys { get; init; } = [];

    /// <summary>The system prompt that requests of this task have (white space around it aside), or null.</summary>
    public string? SystemPrompt { get; init; }

    /// <summary>Whether <see cref="SystemPrompt"/> is only how it begins.</summary>
    public bool SystemPromptIsPrefix { get; init; }

    /// <summary>What requests say in <c>metadata.task</c> to be of this task, or null: the task's name.</summary>
    public string? Metadata { get; init; }

    /// <summary>Whether an agreement counts as right.</summary>
    public bool Passes(double agreement) => agreement >= (PassMark ?? Agreement.DefaultPassMark(Measure));

    /// <summary>Whether a text can be a task's name.</summary>
    public static bool IsName(string? name) =>
        name is { Length: >= 1 and <= MaxNameLength } && name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/');

    /// <summary>
    /// Reads <c>[{"name", "measure", "judge_prompt", "pass_mark", "target_risk", "max_escalation", "keys", "system_prompt" | "system_prompt_prefix", "metadata"}]</c>;
    /// only <c>name</c> must be there. Throws <see cref="PolicyOptionException"/>.
    /// </summary>
    /// <param name="array">The tasks.</param>
    /// <param name="path">How messages call them.</param>
    public static IReadOnlyList<TaskDefinition> Parse(JsonElement array, string path = "tasks")
    {
        if (array.ValueKind != JsonValueKind.Array)
        {
            throw new PolicyOptionException(path, $"it must be an array of tasks, not {JsonKind.Of(array)}");
        }
        List<TaskDefinition> tasks = new(array.GetArrayLength());
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (JsonElement element in array.EnumerateArray())
        {
            string place = $"{path}[{tasks.Count}]";
            TaskDefinition task = ParseOne(element, place);
            if (!names.Add(task.Name))
            {
                throw new PolicyOptionException($"{place}.name", $"there is another task of the name '{task.Name}'");
            }
            tasks.Add(task);
        }
        return tasks;
    }

    private static TaskDefinition ParseOne(JsonElement element, string path)
    {
        TaskDefinition task = new() { Name = "" };
        foreach ((string key, string place, JsonElement value) in OptionReader.Fields(element, path, Fields))
        {
            if (key is "system_prompt" or "system_prompt_prefix" && task.SystemPrompt is not null)
            {
                throw new PolicyOptionException(place, "a task has either 'system_prompt' or 'system_prompt_prefix', not both");
            }
            task = key switch
            {
                "name" => task with { Name = NameAt(value, place) },
                "measure" => task with
                {
                    Measure = Agreement.Named(OptionReader.Text(value, place))
                        ?? throw new PolicyOptionException(place, $"there is no such measure; known are {string.Join(", ", Agreement.Names)}"),
                },
                "judge_prompt" => task with { JudgePrompt = Template(OptionReader.Text(value, place), place) },
                "pass_mark" => task with { PassMark = OptionReader.Number(value, place, 0, 1) },
                "target_risk" => task with { TargetRisk = OptionReader.Number(value, place, 0, 1) },
                "max_escalation" => task with { MaxEscalation = OptionReader.Number(value, place, 0, 1) },
                "keys" => task with { Keys = Texts(value, place) },
                "system_prompt" => task with { SystemPrompt = OptionReader.Text(value, place) },
                "system_prompt_prefix" => task with { SystemPrompt = OptionReader.Text(value, place), SystemPromptIsPrefix = true },
                _ => task with { Metadata = NameAt(value, place) },
            };
        }
        if (task.Name.Length == 0)
        {
            throw new PolicyOptionException($"{path}.name", "it is missing; give the task a name");
        }
        if (task.JudgePrompt is not null && task.Measure != AgreementMeasure.Judge)
        {
            throw new PolicyOptionException($"{path}.judge_prompt", $"it needs the measure 'judge', and this task's is '{Agreement.NameOf(task.Measure)}'");
        }
        return task;
    }

    private static string NameAt(JsonElement value, string place) =>
        OptionReader.Text(value, place) is var name && IsName(name) ? name : throw new PolicyOptionException(place, "it must be 1 to 64 letters, digits and - _ . /");

    private static string Template(string template, string place) =>
        Teaching.JudgePrompt.Fault(template) is { } fault ? throw new PolicyOptionException(place, fault) : template;

    private static List<string> Texts(JsonElement value, string place)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw new PolicyOptionException(place, $"it must be an array of strings, not {JsonKind.Of(value)}");
        }
        List<string> texts = new(value.GetArrayLength());
        foreach (JsonElement text in value.EnumerateArray())
        {
            texts.Add(OptionReader.Text(text, $"{place}[{texts.Count}]"));
        }
        return texts;
    }
}
