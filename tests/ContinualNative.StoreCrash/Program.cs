using System.Globalization;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using ContinualNative.StoreCrash;

// Arguments: the file, and the number of the first request, or "cycles" to run update cycles instead. Requests and labels go in as fast as the store takes them; the id
// of each request whose outcome was acknowledged is printed the moment that happened. Ends only by being killed.
string path = args[0];
bool cycles = args[1] == "cycles";
long first = cycles ? 0 : long.Parse(args[1], CultureInfo.InvariantCulture);
Lock console = new();
Stream output = Console.OpenStandardOutput();
await using TrafficStore store = TrafficStore.Open(new StoreOptions { Path = path, QueueCapacity = 512, BatchSize = 64, BatchDelay = TimeSpan.FromMilliseconds(2) });
if (cycles)
{
    await new CycleLoop(store, Tell).RunAsync();
}
Random random = new((int)first);
for (long number = first; ; number++)
{
    string id = number.ToString("x24", CultureInfo.InvariantCulture);
    await store.RecordAsync(new RequestRecord
    {
        Id = id,
        At = DateTimeOffset.UtcNow,
        Kind = RequestKind.Chat,
        KeyId = "key",
        User = "user-" + random.Next(50),
        Task = "task",
        Model = "model",
        Adapter = "base",
        Decision = new RouteDecision
        {
            Route = Route.Local,
            Reason = RouteReason.Confident,
            Features = new RoutingFeatures(-0.1f, -1, 0.5f, 0.7f, 5, 20, 0.3f, false, false),
        },
        Prompt = $"Prompt {number} " + new string('p', random.Next(2000)),
        LocalAnswer = $"Answer {number}",
        Embedding = new float[64],
    });
    if (random.Next(4) == 0)
    {
        await store.RecordAsync(new TeacherLabel { RequestId = id, At = DateTimeOffset.UtcNow, Endpoint = "up", Teacher = "t", Reason = LabelReason.Audit, Answer = "yes", Agreement = 1, Correct = true });
    }
    Task report = ReportAsync(id);
    if (random.Next(16) == 0)
    {
        await report;
    }
}

async Task ReportAsync(string id)
{
    try
    {
        OutcomeVerdict verdict = await store.AddOutcomeAsync(new Outcome { RequestId = id, Kind = OutcomeKind.Corrected, Correction = "Correction of " + id, At = DateTimeOffset.UtcNow, Source = "crash" });
        if (verdict != OutcomeVerdict.Stored)
        {
            return;
        }
    }
    catch (StoreException e) when (e.Error == StoreError.Overloaded)
    {
        return;
    }
    Tell(id);
}

void Tell(string text)
{
    byte[] line = System.Text.Encoding.ASCII.GetBytes(text + "\n");
    lock (console)
    {
        // One write for a line: a killed process leaves whole lines in the pipe.
        output.Write(line);
        output.Flush();
    }
}
