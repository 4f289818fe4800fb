using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Commands;

/// <summary>A data folder with a small store in it, as a server leaves one behind.</summary>
internal sealed class TestStore : IDisposable
{
    /// <summary>Answered locally, audited, right.</summary>
    public const string Local = "00000000000000000000000a";

    /// <summary>Routed up for uncertainty.</summary>
    public const string Up = "00000000000000000000000b";

    public const string Unknown = "0000000000000000000000ff";

    public string Folder { get; } = Directory.CreateTempSubdirectory("continual-store-").FullName;

    public string Database => Path.Combine(Folder, "traffic.db");

    public TrafficStore Open(ITextCipher? cipher = null) => TrafficStore.Open(new StoreOptions { Path = Database, Cipher = cipher });

    /// <summary>Two requests with labels and costs, one of them in the training data of the adapter <c>first</c>, and further plain local ones.</summary>
    public async Task FillAsync(int further = 0, ITextCipher? cipher = null)
    {
        await using TrafficStore store = Open(cipher);
        await FillAsync(store, further);
    }

    public static async Task FillAsync(TrafficStore store, int further = 0)
    {
        await store.RecordAsync(Request(Local, Route.Local, RouteReason.Confident) with
        {
            KeyId = "k1",
            User = "ada",
            Decision = new RouteDecision
            {
                Route = Route.Local,
                Reason = RouteReason.Confident,
                PCorrect = 0.97,
                Threshold = 0.8,
                Features = new RoutingFeatures(-0.1f, -0.5f, 0.9f, 0.2f, 4, 12, 0.3f, false, false),
                Audited = true,
                AuditProbability = 0.02,
            },
        });
        await store.RecordAsync(Label(Local, LabelReason.Audit, 0.002m) with { Agreement = 1, Correct = true });
        await store.RecordAsync(Request(Up, Route.Frontier, RouteReason.Uncertain) with
        {
            User = "bob",
            Decision = new RouteDecision
            {
                Route = Route.Frontier,
                Reason = RouteReason.Uncertain,
                PCorrect = 0.41,
                Threshold = 0.8,
                Features = new RoutingFeatures(-1.5f, -4f, 0.1f, 1.2f, 4, 12, 0.9f, false, true),
            },
        });
        await store.RecordAsync(Label(Up, LabelReason.Escalated, 0.01m) with { Agreement = 0, Correct = false, TrainingAllowed = true });
        for (int i = 0; i < further; i++)
        {
            await store.RecordAsync(Request(Id(i), Route.Local, RouteReason.Uncalibrated));
        }
        await store.FlushAsync();
        await store.RecordAdapterAsync("first", null, [Local]);
    }

    /// <summary>Ids of the further requests.</summary>
    public static string Id(int number) => $"f{number:x23}";

    public string Write(string name, byte[] bytes)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public string Write(string name, string text)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    /// <summary>Runs <c>continual ARGUMENTS --data FOLDER</c>.</summary>
    public Task<(int Code, string Output, string Error)> RunAsync(params IEnumerable<string> arguments) => ContinualProcess.RunAsync("", [.. arguments, "--data", Folder]);

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    internal static RequestRecord Request(string id, Route route, RouteReason reason) => new()
    {
        Id = id,
        At = DateTimeOffset.UtcNow,
        Kind = RequestKind.Chat,
        Task = "greeting",
        Model = "tiny",
        Adapter = "base",
        Decision = new RouteDecision { Route = route, Reason = reason },
        PromptTokens = 12,
        CachedTokens = 3,
        CompletionTokens = 4,
        LocalTime = TimeSpan.FromSeconds(0.5),
        TotalTime = TimeSpan.FromSeconds(0.75),
        Prompt = """{"messages":[{"role":"user","content":"hello secret-word"}]}""",
        LocalAnswer = "a local answer",
        Embedding = new float[] { 1, 0 },
    };

    private static TeacherLabel Label(string id, LabelReason reason, decimal cost) => new()
    {
        RequestId = id,
        At = DateTimeOffset.UtcNow,
        Endpoint = "frontier",
        Teacher = "big-1",
        Reason = reason,
        Answer = "a frontier's answer",
        Measure = "normalized",
        PromptTokens = 14,
        CompletionTokens = 5,
        Cost = Money.FromDollars(cost),
        Latency = TimeSpan.FromSeconds(1),
    };
}
