using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual cycle run|status|cancel|preview</c>: update cycles of a running server, and what the store tells of them.</summary>
internal static class CycleCommand
{
    private const int MostListed = 20;

    public static Command Create() => new("cycle", "Begin, follow, cancel and preview update cycles: curate, train, evaluate, shadow, canary, champion.") { Run(), Status(), Cancel(), PreviewCommand.Create() };

    private static Command Run()
    {
        Option<string> cause = new("--cause") { Description = "Why, for whoever reads of it later.", HelpName = "TEXT" };
        Option<bool> detach = new("--detach") { Description = "Begin it and don't wait for its end." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new("run", "Begin an update cycle in a running server and follow it to its end. Exit 0: its adapter is champion; 1: it is not; Ctrl-C leaves the cycle running.") { cause, detach, json };
        return ServerAccess.On(command, "cycle run", (parsed, server, cancel) => RunAsync(server, parsed.GetValue(cause), parsed.GetValue(detach), parsed.GetValue(json), cancel));
    }

    private static async Task<int> RunAsync(ServerAccess server, string? cause, bool detach, bool json, CancellationToken cancellationToken)
    {
        string body = cause is null ? "{}" : $$"""{"cause":{{JsonSerializer.Serialize(cause)}}}""";
        JsonElement cycle = await server.SendAsync(HttpMethod.Post, "/admin/cycles", body, cancellationToken);
        long id = cycle.GetProperty("id").GetInt64();
        if (detach)
        {
            if (json)
            {
                Print(cycle, []);
            }
            else
            {
                Console.Out.WriteLine($"Cycle {id} has begun. 'continual cycle status {id}' tells how it goes, and 'continual cycle cancel {id}' ends it.");
            }
            return ExitCodes.Ok;
        }
        try
        {
            cycle = await new CycleFollower(server, id).RunAsync(cancellationToken);
            IReadOnlyList<StoredEvaluation> evaluations = await EvaluationsOfAsync(server, id, cycle.GetProperty("candidate").GetString()!, cancellationToken);
            if (json)
            {
                Print(cycle, evaluations);
            }
            else
            {
                CycleScreen.Print(CycleView.Read(cycle), evaluations, Console.Out);
            }
            return CycleView.StateOf(cycle) == CycleState.Promoted
                ? ExitCodes.Ok
                : CommandRun.Fail("cycle run", $"cycle {id} was {CycleText.Name(CycleView.StateOf(cycle))}: {CommandRun.Printable(cycle.GetProperty("outcome").GetString()!)}", ExitCodes.Failed);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return CommandRun.Fail("cycle run", $"not followed any more. Cycle {id} goes on in the server: 'continual cycle status {id}' tells how, and 'continual cycle cancel {id}' ends it.", ExitCodes.Failed);
        }
        catch (NoServerException e)
        {
            return CommandRun.Fail("cycle run", $"the server has gone while cycle {id} ran ({e.Message.TrimEnd('.')}). A server that is started on the same data folder takes the cycle up again.", ExitCodes.Failed);
        }
    }

    // A candidate that was never trained is unknown.
    private static async Task<IReadOnlyList<StoredEvaluation>> EvaluationsOfAsync(ServerAccess server, long cycle, string candidate, CancellationToken cancellationToken)
    {
        try
        {
            JsonElement adapter = await server.GetAsync($"/admin/adapters/{candidate}", cancellationToken);
            return
            [
                .. adapter.GetProperty("evaluations").EnumerateArray()
                    .Select(static e => new StoredEvaluation(e.GetProperty("cycle").GetInt64(), e.GetProperty("kind").GetString()!, e.GetProperty("at").GetDateTimeOffset(), e.GetProperty("result").GetRawText()))
                    .Where(e => e.Cycle == cycle),
            ];
        }
        catch (RefusedException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return [];
        }
    }

    private static void Print(JsonElement cycle, IReadOnlyList<StoredEvaluation> evaluations) => CommandRun.WriteJson(json =>
    {
        json.WritePropertyName("cycle");
        cycle.WriteTo(json);
        CycleText.Write(json, "evaluations", evaluations);
    });

    private static Command Status()
    {
        Argument<long?> id = new("ID") { Description = "One cycle with all that it left; without it, the last ones.", Arity = ArgumentArity.ZeroOrOne };
        return StoreAccess.On(new Command("status", "The last update cycles, or one of them with the gate's verdict, from the store: no server is needed.") { id }, "cycle status", [], (call, _) =>
            Task.FromResult(call.Parsed.GetValue(id) is { } one ? Show(call, one) : List(call)));
    }

    private static int List(StoreCall call)
    {
        IReadOnlyList<CycleRecord> cycles = call.Store.Cycles(MostListed);
        if (call.Json)
        {
            CommandRun.WriteJson(json =>
            {
                json.WriteStartArray("cycles");
                foreach (CycleRecord cycle in cycles)
                {
                    CycleText.Write(json, cycle, null, detail: false);
                }
                json.WriteEndArray();
            });
            return ExitCodes.Ok;
        }
        if (cycles.Count == 0)
        {
            Console.Error.WriteLine("There was no update cycle yet. 'continual cycle run' begins one in a running server, and --schedule or --update-labels let it begin them by itself.");
        }
        foreach (CycleRecord cycle in cycles)
        {
            Console.Out.WriteLine(CycleScreen.Line(cycle));
        }
        return ExitCodes.Ok;
    }

    private static int Show(StoreCall call, long id)
    {
        CycleRecord cycle = call.Store.Cycle(id) ?? throw new SettingException("ID", $"there is no cycle {id}; 'continual cycle status' lists the last ones", "ID");
        IReadOnlyList<StoredEvaluation> evaluations = [.. call.Store.Evaluations(cycle.Candidate).Where(e => e.Cycle == id)];
        if (call.Json)
        {
            CommandRun.WriteJson(json =>
            {
                json.WritePropertyName("cycle");
                CycleText.Write(json, cycle, null, detail: true);
                CycleText.Write(json, "evaluations", evaluations);
            });
        }
        else
        {
            CycleScreen.Print(cycle, evaluations, Console.Out);
        }
        return ExitCodes.Ok;
    }

    private static Command Cancel()
    {
        Argument<long> id = new("ID") { Description = "The cycle that runs." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        return ServerAccess.On(new Command("cancel", "Cancel the update cycle that a server runs; the champion stays.") { id, json }, "cycle cancel", async (parsed, server, cancel) =>
        {
            long cycle = parsed.GetValue(id);
            await server.SendAsync(HttpMethod.Delete, string.Create(CultureInfo.InvariantCulture, $"/admin/cycles/{cycle}"), null, cancel);
            if (parsed.GetValue(json))
            {
                CommandRun.WriteJson(writer => writer.WriteNumber("cancelling", cycle));
            }
            else
            {
                Console.Out.WriteLine($"Cycle {cycle} is being cancelled; the champion stays.");
            }
            return ExitCodes.Ok;
        });
    }
}
