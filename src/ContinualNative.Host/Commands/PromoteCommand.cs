using System.CommandLine;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual adapters promote|rollback</c>: changes the champion in a running server, or in the store of one that does not run.</summary>
internal static class PromoteCommand
{
    public static Command Promote()
    {
        Argument<string> id = new("ID") { Description = "The adapter; 'base': the bare model." };
        return On(
            new Command("promote", "Make an adapter the champion: requests that come from now on are answered by it.") { id },
            "adapters promote",
            parsed => $"/admin/adapters/{Uri.EscapeDataString(parsed.GetValue(id)!)}/promote",
            (parsed, options, store, cancel) => PromoteAsync(parsed.GetValue(id)!, options, store, cancel));
    }

    public static Command RollBack() => On(
        new Command("rollback", "Take the champion back: the one before it answers again."),
        "adapters rollback",
        static _ => "/admin/rollback",
        static (_, options, store, cancel) => RollBackAsync(options, store, cancel));

    private static Command On(Command command, string name, Func<ParseResult, string> path, Func<ParseResult, ServeOptions, TrafficStore, CancellationToken, Task<PromotionRecord>> offline)
    {
        Option<bool> store = new("--offline") { Description = "Write it into the data folder of a server that does not run; it holds from its next start." };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        ServerAccess.Options server = ServerAccess.Options.AddTo(command);
        command.Options.Add(store);
        ServeSettings.AddTo(command, "data", "store-key-env");
        command.Options.Add(json);
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(name, async () =>
        {
            if (!parsed.GetValue(store))
            {
                return await ServerAccess.RunAsync(name, server, parsed, async access => Told(await access.SendAsync(HttpMethod.Post, path(parsed), "{}", cancel), parsed.GetValue(json), ""));
            }
            if (parsed.GetResult(server.Url) is not null)
            {
                throw new SettingException("offline", "it goes with no --url: the change is either a running server's or is written into its data folder");
            }
            ServeOptions options = ServeSettings.Read(parsed, null, Environment.GetEnvironmentVariables());
            await using TrafficStore opened = StoreAccess.Open(options);
            PromotionRecord promotion;
            try
            {
                promotion = await offline(parsed, options, opened, cancel);
            }
            catch (StoreException e) when (e.Error == StoreError.Conflict)
            {
                return CommandRun.Fail(name, e.Message, ExitCodes.Failed);
            }
            return Told(JsonOf(promotion), parsed.GetValue(json), " from the server's next start on");
        }));
        return command;
    }

    private static async Task<PromotionRecord> PromoteAsync(string id, ServeOptions options, TrafficStore store, CancellationToken cancellationToken)
    {
        PromotionRecord? last = store.LastPromotion();
        string champion = last?.Adapter ?? ModelAddress.Base;
        // One that was only named when the server started stays by being promoted.
        return id == champion && last?.Reason != PromotionReason.Start
            ? throw new StoreException(StoreError.Conflict, $"'{id}' is the champion already.")
            : await WriteAsync(id, champion, PromotionReason.Manual, options, store, cancellationToken);
    }

    private static async Task<PromotionRecord> RollBackAsync(ServeOptions options, TrafficStore store, CancellationToken cancellationToken)
    {
        IReadOnlyList<PromotionRecord> promotions = store.Promotions(Promoter.MostRead);
        string champion = promotions.Count > 0 ? promotions[0].Adapter : ModelAddress.Base;
        return Promoter.PreviousOf(promotions, champion) is { } previous
            ? await WriteAsync(previous, champion, PromotionReason.ManualRollback, options, store, cancellationToken)
            : throw new StoreException(StoreError.Conflict, $"There is nothing to roll back to: '{champion}' followed no other champion.");
    }

    // A server that starts on a broken champion answers by another one; better to say so now.
    private static async Task<PromotionRecord> WriteAsync(string id, string previous, PromotionReason reason, ServeOptions options, TrafficStore store, CancellationToken cancellationToken)
    {
        if (id != ModelAddress.Base)
        {
            AdapterFile.Read(new AdapterShelf(options.Data, store).Verify(AdaptersCommand.Find(store, id)));
        }
        return await store.PromoteAsync(
            new PromotionRecord
            {
                At = DateTimeOffset.UtcNow,
                Adapter = id,
                Previous = previous,
                Reason = reason,
                Evidence = Promoter.ByHand("continual adapters --offline", store.LastSequence()),
            },
            cancellationToken: cancellationToken);
    }

    private static JsonElement JsonOf(PromotionRecord promotion)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            CycleText.Write(json, promotion, evidence: false);
        }
        using JsonDocument document = JsonDocument.Parse(stream.ToArray());
        return document.RootElement.Clone();
    }

    private static int Told(JsonElement promotion, bool json, string when)
    {
        if (json)
        {
            CommandRun.WriteJson(writer =>
            {
                writer.WritePropertyName("promotion");
                promotion.WriteTo(writer);
            });
            return ExitCodes.Ok;
        }
        string champion = CommandRun.Printable(promotion.GetProperty("champion").GetString()!);
        string before = promotion.TryGetProperty("previous", out JsonElement previous) && previous.GetString() is { } one && one != champion ? $" in place of '{CommandRun.Printable(one)}'" : "";
        Console.Out.WriteLine($"'{champion}' is champion{before}{when}.");
        return ExitCodes.Ok;
    }
}
