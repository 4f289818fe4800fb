using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Signal;

/// <summary>What <c>--policy FILE</c> holds: <c>{"frontiers":[...],"tasks":[...],"redaction":{...},"teaching":{...}}</c>, each optional.</summary>
internal sealed record PolicyFile
{
    public static readonly PolicyFile Empty = new();

    public IReadOnlyList<FrontierEndpointOptions> Frontiers { get; init; } = [];

    public IReadOnlyList<TaskDefinition> Tasks { get; init; } = [];

    public RedactionOptions Redaction { get; init; } = new();

    /// <summary>How labels are chosen; the day's money is <c>--teach-per-day</c>.</summary>
    public TeachingOptions Teaching { get; init; } = new();

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
                    "tasks" => policy with { Tasks = TaskDefinition.Parse(value) },
                    "redaction" => policy with { Redaction = RedactionOptions.Parse(value) },
                    "teaching" => policy with { Teaching = TeachingOptions.Parse(value) },
                    _ => throw new SettingException(entry.Name, "there is no such key; known are frontiers, tasks, redaction, teaching", $"{path}: {entry.Name}"),
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
}
