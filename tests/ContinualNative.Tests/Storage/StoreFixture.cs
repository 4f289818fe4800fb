using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;

namespace ContinualNative.Tests.Storage;

/// <summary>A store in a folder of its own, with a clock that is set by hand, and records to put into it.</summary>
internal sealed class StoreFixture : IAsyncDisposable
{
    public static readonly DateTimeOffset Start = new(2026, 3, 4, 5, 6, 7, TimeSpan.Zero);

    private StoreFixture(StoreOptions options, ManualTime time, TrafficStore store)
    {
        (Options, Time, Store) = (options, time, store);
    }

    public StoreOptions Options { get; private set; }

    public ManualTime Time { get; }

    public TrafficStore Store { get; private set; }

    public string Folder => Path.GetDirectoryName(Options.Path)!;

    /// <param name="change">Changes the options, which write without waiting for company.</param>
    public static StoreFixture Open(Func<StoreOptions, StoreOptions>? change = null)
    {
        StoreOptions options = new() { Path = Path.Combine(Directory.CreateTempSubdirectory("continual-store-").FullName, "data", "traffic.db"), BatchDelay = TimeSpan.Zero };
        options = change?.Invoke(options) ?? options;
        ManualTime time = new(Start);
        return new StoreFixture(options, time, TrafficStore.Open(options, time: time));
    }

    /// <summary>Closes and opens again, with other options.</summary>
    public async Task ReopenAsync(Func<StoreOptions, StoreOptions>? change = null)
    {
        await Store.DisposeAsync();
        Options = change?.Invoke(Options) ?? Options;
        Store = TrafficStore.Open(Options, time: Time);
    }

    public async ValueTask DisposeAsync()
    {
        await Store.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(Folder)!, recursive: true);
    }

    /// <summary>Stores requests 1 to <paramref name="count"/>.</summary>
    public async Task FillAsync(int count, Func<int, RequestRecord>? make = null)
    {
        for (int i = 1; i <= count; i++)
        {
            await Store.RecordAsync(make?.Invoke(i) ?? Request(i));
        }
        await Store.FlushAsync();
    }

    public static string Id(int number) => number.ToString("x24");

    public static RequestRecord Request(int number) => new()
    {
        Id = Id(number),
        At = Start.AddSeconds(number),
        Kind = RequestKind.Chat,
        KeyId = "key-a",
        User = "user-" + (number % 3),
        Task = "support",
        Model = "tiny",
        Adapter = "base",
        Decision = new RouteDecision
        {
            Route = Route.Local,
            Reason = RouteReason.Confident,
            PCorrect = 0.75,
            Threshold = 0.5,
            Features = new RoutingFeatures(-0.5f, -2.25f, 0.125f, 1.5f, 7, 11, 0.0625f, false, true, 0.375f),
            Calibration = 3,
            Audited = number % 2 == 0,
            AuditProbability = 0.02,
        },
        PromptTokens = 11,
        CachedTokens = 4,
        CompletionTokens = 7,
        LocalTime = TimeSpan.FromMilliseconds(250),
        TotalTime = TimeSpan.FromMilliseconds(300),
        Prompt = $$"""{"messages":[{"role":"user","content":"Question number {{number}}"}]}""",
        LocalAnswer = "Answer number " + number,
        Embedding = Embedding(number),
    };

    /// <summary>Four numbers of unit length that a half holds exactly.</summary>
    public static float[] Embedding(int number) => number % 2 == 0 ? [0.5f, -0.5f, 0.5f, 0.5f] : [1, 0, 0, 0];

    public static Outcome Outcome(int number, OutcomeKind kind, string source = "app", string? correction = null, double? score = null, string? key = "key-a", DateTimeOffset? at = null) => new()
    {
        RequestId = Id(number),
        Kind = kind,
        Source = source,
        Correction = correction,
        Score = score,
        KeyId = key,
        At = at ?? Start.AddHours(1),
    };

    public static TeacherLabel Label(int number, bool? correct = true, string teacher = "frontier-1", LabelReason reason = LabelReason.Audit, bool trainingAllowed = true) => new()
    {
        RequestId = Id(number),
        At = Start.AddMinutes(5),
        Endpoint = "up",
        Teacher = teacher,
        Reason = reason,
        Answer = "Teacher's answer to " + number,
        Agreement = correct is null ? null : correct.Value ? 1 : 0.25,
        Correct = correct,
        Measure = "exact",
        PromptTokens = 20,
        CachedTokens = 5,
        CompletionTokens = 9,
        Cost = new Money(12_345),
        Latency = TimeSpan.FromMilliseconds(800),
        TrainingAllowed = trainingAllowed,
    };
}
