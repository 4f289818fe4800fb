using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>One version of the simulated frontier model.</summary>
internal sealed record SimulatedRelease
{
    /// <summary>What answers name as their model.</summary>
    public required string Name { get; init; }

    /// <summary>The share of known prompts that it answers right, 0 to 1. Whatever a release knows, every release of higher quality knows too.</summary>
    public double Quality { get; init; } = 1;

    /// <summary>Requests after which it becomes the current one; 0: from the start.</summary>
    public long After { get; init; }

    /// <summary>Median time to an answer's beginning.</summary>
    public TimeSpan Latency { get; init; }

    /// <summary>Spread of that time: the standard deviation of its logarithm (the times are log-normal).</summary>
    public double LatencySpread { get; init; }

    /// <summary>Pace of streams; 0: as fast as it goes.</summary>
    public double TokensPerSecond { get; init; }

    public TokenPrices Prices { get; init; } = new(0, 0, 0);

    public SimulatedFailures Failures { get; init; } = new();

    /// <summary>Reads <c>{"releases":[…]}</c> or the list by itself from a file; throws <see cref="SettingException"/>.</summary>
    public static IReadOnlyList<SimulatedRelease> ReadFile(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            JsonElement root = document.RootElement;
            return Parse(root.ValueKind == JsonValueKind.Object && root.TryGetProperty("releases", out JsonElement list) ? list : root, path);
        }
        catch (JsonException e)
        {
            throw new SettingException("releases", $"'{path}' is not valid JSON: {e.Message.TrimEnd('.')}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException("releases", $"'{path}' cannot be read: {e.Message.TrimEnd('.')}");
        }
    }

    /// <summary>Reads a list of releases; throws <see cref="SettingException"/>.</summary>
    public static IReadOnlyList<SimulatedRelease> Parse(JsonElement array, string source)
    {
        if (array.ValueKind != JsonValueKind.Array || array.GetArrayLength() == 0)
        {
            throw new SettingException("releases", "it must be a list of at least one release", source);
        }
        List<SimulatedRelease> releases = [];
        foreach (JsonElement item in array.EnumerateArray())
        {
            SettingReader fields = new(item, $"{source}[{releases.Count}]");
            TokenPrices prices = new(0, 0, 0);
            SimulatedRelease release = new()
            {
                Name = fields.Text("name") ?? throw fields.Missing("name"),
                Quality = fields.Number("quality") ?? 1,
                After = fields.Whole("after") ?? 0,
                Latency = TimeSpan.FromMilliseconds(fields.Number("latency_ms") ?? 0),
                LatencySpread = fields.Number("latency_spread") ?? 0,
                TokensPerSecond = fields.Number("tokens_per_second") ?? 0,
            };
            if (fields.Take("prices") is { } table)
            {
                SettingReader inner = new(table, fields.Source + ".prices");
                decimal prompt = inner.Amount("prompt") ?? 0;
                prices = new TokenPrices(prompt, inner.Amount("cached_prompt") ?? prompt, inner.Amount("completion") ?? 0);
                inner.End();
            }
            release = release with { Prices = prices, Failures = SimulatedFailures.Read(fields, new SimulatedFailures()) };
            fields.End();
            release.Validate(fields);
            if (releases.Exists(r => r.Name == release.Name))
            {
                throw fields.Wrong("name", $"there are two releases named '{release.Name}'");
            }
            releases.Add(release);
        }
        return releases;
    }

    private void Validate(SettingReader fields)
    {
        if (Name.Length is 0 or > 128 || Name.Any(char.IsControl))
        {
            throw fields.Wrong("name", "a release's name has 1 to 128 characters");
        }
        if (Quality is not (>= 0 and <= 1))
        {
            throw fields.Wrong("quality", "it must lie between 0 and 1");
        }
        if (After < 0)
        {
            throw fields.Wrong("after", "it must not be negative");
        }
        if (Latency < TimeSpan.Zero || Latency > TimeSpan.FromHours(1))
        {
            throw fields.Wrong("latency_ms", "it must lie between 0 and an hour");
        }
        if (LatencySpread is not (>= 0 and <= 5))
        {
            throw fields.Wrong("latency_spread", "it must lie between 0 and 5");
        }
        if (TokensPerSecond is not (>= 0 and <= 1e6))
        {
            throw fields.Wrong("tokens_per_second", "it must lie between 0 and 1000000");
        }
    }
}
