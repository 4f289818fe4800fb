using System.Reflection;
using System.Runtime.Loader;
using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Signal;

/// <summary>What <c>--policy FILE</c> holds: <c>{"frontiers":[...],"tasks":[...],"redaction":{...},"teaching":{...},"update":{...},"curation":{...}}</c>, each optional.</summary>
internal sealed record PolicyFile
{
    public static readonly PolicyFile Empty = new();

    public IReadOnlyList<FrontierEndpointOptions> Frontiers { get; init; } = [];

    public IReadOnlyList<TaskDefinition> Tasks { get; init; } = [];

    public RedactionOptions Redaction { get; init; } = new();

    /// <summary>Rules of the user's own, from <c>"redaction_plugins"</c>: paths of .NET assemblies with public classes that implement <see cref="IRedactionRule"/>.</summary>
    public IReadOnlyList<IRedactionRule> Rules { get; init; } = [];

    /// <summary>How labels are chosen; the day's money is <c>--teach-per-day</c>.</summary>
    public TeachingOptions Teaching { get; init; } = new();

    /// <summary>How the model is updated; the schedule may be a flag.</summary>
    public CycleOptions Cycles { get; init; } = new();

    /// <summary>What an update trains on.</summary>
    public CurationOptions Curation { get; init; } = new();

    /// <summary>Reads it; throws <see cref="SettingException"/> that names the key.</summary>
    public static PolicyFile Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                File.ReadAllBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new SettingException("policy", $"'{path}' must hold a JSON object, not {JsonKind.Of(document.RootElement)}");
            }
            PolicyFile policy = new();
            foreach (JsonProperty entry in document.RootElement.EnumerateObject())
            {
                // What is read points into the document, which is disposed: so it is cloned.
                JsonElement value = entry.Value.Clone();
                policy = entry.Name switch
                {
                    "frontiers" => policy with { Frontiers = FrontierOptions.Parse(value, $"{path}: frontiers") },
                    "update" => policy with { Cycles = CycleOptions.Parse(value) },
                    "curation" => policy with { Curation = CurationOptions.Parse(value) },
                    "tasks" => policy with { Tasks = TaskDefinition.Parse(value) },
                    "redaction" => policy with { Redaction = RedactionOptions.Parse(value) },
                    "redaction_plugins" => policy with { Rules = LoadRules(value, path) },
                    "teaching" => policy with { Teaching = TeachingOptions.Parse(value) },
                    _ => throw new SettingException(entry.Name, "there is no such key; known are frontiers, tasks, redaction, redaction_plugins, teaching, update, curation", $"{path}: {entry.Name}"),
                };
            }
            return policy;
        }
        catch (PolicyOptionException e)
        {
            throw new SettingException(e.Key, e.Message.TrimEnd('.'), path);
        }
        catch (JsonException e)
        {
            throw new SettingException("policy", $"'{path}' is not valid JSON: {e.Message.TrimEnd('.')}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException("policy", $"'{path}' cannot be read: {e.Message.TrimEnd('.')}");
        }
    }

    // Decision: loaded into the program itself, not into a context of their own. Whoever writes the policy file decides what runs here anyway, and a rule must
    // implement this program's interface, not a copy's.
    private static List<IRedactionRule> LoadRules(JsonElement value, string path)
    {
        string source = $"{path}: redaction_plugins";
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw new SettingException("redaction_plugins", $"it must be a list of paths, not {JsonKind.Of(value)}", source);
        }
        List<IRedactionRule> rules = [];
        foreach (JsonElement item in value.EnumerateArray())
        {
            string file = item.ValueKind == JsonValueKind.String ? item.GetString()! : throw new SettingException("redaction_plugins", $"it must hold paths, not {JsonKind.Of(item)}", source);
            // Beside the policy file, as its author sees it.
            string full = Path.GetFullPath(file, Path.GetDirectoryName(Path.GetFullPath(path))!);
            try
            {
                Type[] types = [.. AssemblyLoadContext.Default.LoadFromAssemblyPath(full).GetExportedTypes().Where(static t => t is { IsClass: true, IsAbstract: false } && t.IsAssignableTo(typeof(IRedactionRule)))];
                if (types.Length == 0)
                {
                    throw new SettingException("redaction_plugins", $"'{file}' has no public class that implements {nameof(IRedactionRule)}", source);
                }
                rules.AddRange(types.Select(static t => (IRedactionRule)Activator.CreateInstance(t)!));
            }
            catch (Exception e) when (e is IOException or BadImageFormatException or MissingMethodException or TargetInvocationException or ReflectionTypeLoadException or UnauthorizedAccessException)
            {
                throw new SettingException("redaction_plugins", $"'{file}' cannot be used: {(e.InnerException ?? e).Message.TrimEnd('.')}", source);
            }
        }
        return rules;
    }
}
