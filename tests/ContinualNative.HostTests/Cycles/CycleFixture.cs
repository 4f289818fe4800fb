using System.Text;
using System.Text.Json.Nodes;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace ContinualNative.HostTests.Cycles;

/// <summary>
/// A tiny model, and a frontier that answers every question with the same short text. The model's random weights never say it, and an adapter learns to within seconds:
/// so a candidate that was trained on it truly beats the champion, and one that was not does not.
/// </summary>
public sealed class CycleFixture : IAsyncLifetime
{
    public const string Right = "yes, we do";
    public const string Wrong = "no, never";

    private readonly SimulatedKnowledge _knowledge = new();
    private readonly Random _random = new(20261126);
    private readonly SemaphoreSlim _gate = new(1, 1);
    private WebApplication _frontier = null!;
    private string? _taught;
    private string? _champion;

    public ModelFiles Files { get; } = new();

    public Uri Frontier { get; private set; } = null!;

    internal SimulatedModel Teacher => _frontier.Services.GetRequiredService<SimulatedModel>();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _frontier = SimulatedFrontier.Build(new SimulatedFrontierOptions
        {
            Knowledge = _knowledge,
            Releases = [new SimulatedRelease { Name = "sim-1" }, new SimulatedRelease { Name = "sim-2", After = long.MaxValue }],
        });
        await _frontier.StartAsync(Cancelled);
        Frontier = ServerBuilder.AddressOf(_frontier);
    }

    /// <summary>New questions that the frontier answers with <paramref name="answer"/>. All their words differ, so that none is taken for another one.</summary>
    public string[] Questions(int count, string answer = Right)
    {
        string[] questions = new string[count];
        lock (_random)
        {
            for (int i = 0; i < count; i++)
            {
                questions[i] = $"{Word()} {Word()} {Word()}?";
                _knowledge.Add(questions[i], answer, []);
            }
        }
        return questions;

        string Word() => string.Concat(Enumerable.Range(0, 3).Select(_ => $"{"bdfgklmnprstvz"[_random.Next(14)]}{"aeiou"[_random.Next(5)]}"));
    }

    /// <summary>Flags of a server whose every local answer is audited, and nothing of what the router judges goes up.</summary>
    /// <param name="update">Changes of the policy's <c>update</c>, as JSON.</param>
    public string[] Flags(string update = "{}")
    {
        JsonObject policy = JsonNode.Parse("""
            {
              "tasks": [{ "name": "stock", "measure": "normalized" }],
              "teaching": { "daily_labels": 0 },
              "curation": { "near_duplicate": 1, "pairs": false, "replay_ratio": 0, "max_examples": 24 },
              "update":
              {
                "label_count": 0, "on_drift": false, "on_new_teacher": false, "minimum_examples": 10, "from_base_every": 0, "anchor": 0.05, "epochs": 12, "learning_rate": 0.01, "rank": 8,
                "gate_labels": 0, "shadow_least": 4, "shadow_hours": 0.05, "canary_share": 0.5, "canary_requests": 6, "canary_hours": 0.05, "watch_requests": 60,
                "gate": { "minimum_fresh": 16, "most_fresh": 40, "latency_limit": 1000 }
              }
            }
            """)!.AsObject();
        JsonObject target = policy["update"]!.AsObject();
        foreach ((string key, JsonNode? value) in JsonNode.Parse(update)!.AsObject())
        {
            target[key] = value?.DeepClone();
        }
        string file = Files.Write($"policy-{Guid.NewGuid():N}.json", Encoding.UTF8.GetBytes(policy.ToJsonString()));
        return
        [
            "--parallel", "4", "--ctx", "256", "--policy", file, "--frontier-url", new Uri(Frontier, "v1").ToString(), "--frontier-model", "sim", "--frontier-price-in", "3",
            "--frontier-price-out", "15", "--frontier-training-allowed", "--max-escalation", "0", "--audit", "1", "--holdout", "0.01",
        ];
    }

    /// <summary>A server whose cycles look for traffic often; of equal flags in <paramref name="more"/> and <see cref="Flags"/> the former count.</summary>
    public Task<ContinualServer> StartAsync(string data, string update = "{}", params string[] more) =>
        ContinualServer.StartAsync(Files.Llama, static services => services.GetRequiredService<CycleService>().Interval = TimeSpan.FromMilliseconds(50), Merge([.. Flags(update), "--data", data, .. more]));

    /// <summary>A copy of a data folder with traffic that a cycle can learn from and be judged on.</summary>
    public async Task<string> TaughtAsync() => Copy(await OnceAsync(() => _taught, f => _taught = f, async folder =>
    {
        await using ContinualServer server = await StartAsync(folder);
        await server.TeachAsync(this);
    }));

    /// <summary>A copy of a data folder whose champion, <c>c1</c>, knows the answer.</summary>
    public async Task<string> ChampionAsync() => Copy(await OnceAsync(() => _champion, f => _champion = f, async folder =>
    {
        await using ContinualServer server = await StartAsync(folder, """{"shadow_least":0,"canary_requests":0,"watch_requests":0}""");
        await server.TeachAsync(this);
        CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
        Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
    }));

    public async ValueTask DisposeAsync()
    {
        await _frontier.StopAsync();
        await _frontier.DisposeAsync();
        _gate.Dispose();
        Files.Dispose();
        foreach (string folder in new[] { _taught, _champion }.OfType<string>())
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string[] Merge(string[] flags)
    {
        Dictionary<string, string?> merged = new(StringComparer.Ordinal);
        for (int i = 0; i < flags.Length; i++)
        {
            merged[flags[i]] = i + 1 < flags.Length && !flags[i + 1].StartsWith("--", StringComparison.Ordinal) ? flags[++i] : null;
        }
        return [.. merged.SelectMany(static f => f.Value is null ? (string[])[f.Key] : [f.Key, f.Value])];
    }

    private async Task<string> OnceAsync(Func<string?> known, Action<string> keep, Func<string, Task> make)
    {
        await _gate.WaitAsync(Cancelled);
        try
        {
            if (known() is { } folder)
            {
                return folder;
            }
            string made = Directory.CreateTempSubdirectory("continual-test-").FullName;
            await make(made);
            keep(made);
            return made;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Takes a copy away.</summary>
    public static void Delete(string folder) => Directory.Delete(folder, recursive: true);

    private static string Copy(string folder)
    {
        string copy = Directory.CreateTempSubdirectory("continual-test-").FullName;
        foreach (string file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(copy, Path.GetRelativePath(folder, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
        return copy;
    }
}

/// <summary>Tests of cycles share what they begin with, and run one after the other: each trains.</summary>
[CollectionDefinition(Name)]
public sealed class CycleCollection : ICollectionFixture<CycleFixture>
{
    public const string Name = "cycles";
}

/// <summary>Those that take longest, beside the others.</summary>
[CollectionDefinition(Name)]
public sealed class LongCycleCollection : ICollectionFixture<CycleFixture>
{
    public const string Name = "cycles that are cut off, and by the clock";
}
