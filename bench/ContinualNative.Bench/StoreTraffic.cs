using System.Globalization;
using System.Text;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Bench;

/// <summary>
/// Made-up traffic: request number n is the same in every run, so a file can be filled further and asked for any of its requests. Chats of some 300 bytes,
/// embeddings of 256 numbers; 20 tasks, 50 keys, 20,000 users; a new adapter every quarter of a million requests; 100,000 requests a day.
/// </summary>
internal sealed class StoreTraffic
{
    public const int Tasks = 20;
    public const int EmbeddingLength = 256;

    private const int RequestsPerDay = 100_000;
    private const int RequestsPerAdapter = 250_000;

    // Common words, so that the texts compress about as English does.
    private static readonly string[] Words = (
        "the a to and of in is it you that for on with as are this be have from or one had by word but not what all were we when your can said there use an each which she do how their if " +
        "will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now " +
        "find long down day did get come made may part order invoice account delivery refund customer price payment address contract please thanks question answer item password login shipping receipt cancel " +
        "subscription monthly report table error update install server network printer screen battery warranty return exchange discount code email phone office meeting calendar schedule flight hotel booking").Split(' ');

    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly StringBuilder _text = new();

    public static string TaskName(long number) => "task-" + (number % Tasks).ToString("00", CultureInfo.InvariantCulture);

    public static string AdapterName(long number) => number / RequestsPerAdapter == 0 ? "base" : "adapter-" + (number / RequestsPerAdapter).ToString(CultureInfo.InvariantCulture);

    public static DateOnly DayOf(long number) => DateOnly.FromDateTime(Start.UtcDateTime).AddDays((int)(number / RequestsPerDay));

    public static string Id(long number)
    {
        Span<byte> id = stackalloc byte[12];
        Random random = RandomOf(number, 1);
        random.NextBytes(id);
        // The number itself, mixed, keeps ids apart.
        BitConverter.TryWriteBytes(id, (ulong)number * 0x9E3779B97F4A7C15);
        return Convert.ToHexStringLower(id);
    }

    // Shares of a fifth and a twentieth, by numbers that have no factor in common with that of the tasks: every task gets its part.
    public static bool HasOutcome(long number) => number % 11 < 2;

    public static bool HasLabel(long number) => number % 19 == 7;

    public RequestRecord Request(long number)
    {
        Random random = RandomOf(number, 2);
        float[] embedding = new float[EmbeddingLength];
        double square = 0;
        for (int i = 0; i < embedding.Length; i++)
        {
            embedding[i] = random.NextSingle() - 0.5f;
            square += embedding[i] * embedding[i];
        }
        float scale = (float)(1 / Math.Sqrt(square));
        for (int i = 0; i < embedding.Length; i++)
        {
            embedding[i] *= scale;
        }
        double p = random.NextDouble();
        return new RequestRecord
        {
            Id = Id(number),
            At = Start.AddSeconds(number * 86_400.0 / RequestsPerDay),
            Kind = RequestKind.Chat,
            KeyId = "key-" + (number % 50).ToString(CultureInfo.InvariantCulture),
            User = "user-" + random.Next(20_000).ToString(CultureInfo.InvariantCulture),
            Task = TaskName(number),
            Model = "model",
            Adapter = AdapterName(number),
            Decision = new RouteDecision
            {
                Route = Route.Local,
                Reason = RouteReason.Confident,
                PCorrect = p,
                Threshold = 0.5,
                Features = new RoutingFeatures(-random.NextSingle(), -3 * random.NextSingle(), random.NextSingle(), random.NextSingle(), random.Next(10, 60), random.Next(40, 90), random.NextSingle(), false, false),
                Calibration = number / RequestsPerAdapter,
                Audited = number % 57 == 7,
                AuditProbability = 0.02,
            },
            PromptTokens = 60,
            CachedTokens = 20,
            CompletionTokens = 25,
            LocalTime = TimeSpan.FromMicroseconds(random.Next(100_000, 900_000)),
            TotalTime = TimeSpan.FromMicroseconds(random.Next(900_000, 999_000)),
            Prompt = $$$"""{"messages":[{"role":"system","content":"You help customers of a shop for office machines."},{"role":"user","content":"{{{Text(random, 190)}}}"}]}""",
            LocalAnswer = Text(random, 120),
            Embedding = embedding,
        };
    }

    public static LedgerEntry Cost(long number) => new()
    {
        At = Start.AddSeconds(number * 86_400.0 / RequestsPerDay),
        Kind = LedgerKind.Serving,
        Amount = new Money(1000 + (number % 977)),
        RequestId = Id(number),
        Task = TaskName(number),
        PromptTokens = 60,
        CompletionTokens = 25,
        Seconds = 0.4,
    };

    public static Outcome Outcome(long number) => new()
    {
        RequestId = Id(number),
        Kind = (number % 25) switch { 2 => OutcomeKind.Rejected, 7 => OutcomeKind.Corrected, _ => OutcomeKind.Accepted },
        Correction = number % 25 == 7 ? "It should have said that the order was sent on Monday." : null,
        Source = "app",
        At = Start.AddSeconds((number + 50) * 86_400.0 / RequestsPerDay),
        KeyId = "key-" + (number % 50).ToString(CultureInfo.InvariantCulture),
    };

    public TeacherLabel Label(long number)
    {
        Random random = RandomOf(number, 3);
        return new TeacherLabel
        {
            RequestId = Id(number),
            At = Start.AddSeconds((number + 10) * 86_400.0 / RequestsPerDay),
            Endpoint = "frontier",
            Teacher = "teacher-" + (number / 1_000_000).ToString(CultureInfo.InvariantCulture),
            Reason = LabelReason.Audit,
            Answer = Text(random, 120),
            Agreement = random.NextDouble(),
            Correct = random.Next(10) > 0,
            Measure = "exact",
            PromptTokens = 60,
            CompletionTokens = 25,
            Cost = new Money(40_000),
            Latency = TimeSpan.FromMilliseconds(700),
            TrainingAllowed = true,
        };
    }

    private string Text(Random random, int length)
    {
        _text.Clear();
        while (_text.Length < length)
        {
            // Small numbers are drawn more often, as frequent words are.
            double u = random.NextDouble();
            _text.Append(Words[(int)(u * u * Words.Length)]).Append(random.Next(12) == 0 ? ". " : " ");
        }
        return _text.ToString(0, length);
    }

    private static Random RandomOf(long number, int purpose) => new(unchecked((int)(number * 4) + purpose));
}
