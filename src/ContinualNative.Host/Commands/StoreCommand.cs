using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual store check|backup|expire|erase</c>: looking after the traffic store, beside a running server too.</summary>
internal static class StoreCommand
{
    public static Command Create() => new("store", "Check, back up and empty the traffic store.") { Check(), Back(), Expire(), Erase() };

    private static Command Check() => StoreAccess.On(new Command("check", "Check that the store is sound."), "store check", [], static (call, cancel) => Task.Run(
        () =>
        {
            IReadOnlyList<string> problems = call.Store.Check();
            StoreStatistics statistics = call.Store.Statistics;
            IReadOnlyList<FlaggedKey> flagged = call.Store.FlaggedKeys();
            if (call.Json)
            {
                CommandRun.WriteJson(json =>
                {
                    json.WriteBoolean("ok", problems.Count == 0);
                    Strings(json, "problems", problems);
                    json.WriteNumber("requests", statistics.Requests);
                    json.WriteNumber("outcomes", statistics.Outcomes);
                    json.WriteNumber("labels", statistics.Labels);
                    json.WriteNumber("bytes", statistics.Bytes);
                    Strings(json, "flagged_keys", flagged.Select(static k => k.KeyId));
                });
            }
            else
            {
                Console.Out.WriteLine(FormattableString.Invariant($"{statistics.Requests} requests, {statistics.Outcomes} outcomes, {statistics.Labels} labels, {ByteText.Of(statistics.Bytes)}"));
                foreach (FlaggedKey key in flagged)
                {
                    Console.Out.WriteLine(FormattableString.Invariant($"{(key.KeyId.Length > 0 ? $"key {key.KeyId}" : "clients without a key")}: {key.Refused} reports refused since {key.Since:yyyy-MM-dd HH:mm}, more than are kept"));
                }
                foreach (string problem in problems)
                {
                    Console.Out.WriteLine(problem);
                }
                Console.Out.WriteLine(problems.Count == 0 ? "ok" : "The store is damaged: restore it from a backup, or move it away and start with an empty one.");
            }
            return problems.Count == 0 ? ExitCodes.Ok : ExitCodes.Failed;
        },
        cancel));

    private static Command Back()
    {
        Argument<string> file = new("FILE") { Description = "The copy; it must not exist yet." };
        return StoreAccess.On(new Command("backup", "Copy the store into a new file, as it is at one moment, while the server writes on.") { file }, "store backup", [], async (call, cancel) =>
        {
            string path = Path.GetFullPath(call.Parsed.GetValue(file)!);
            if (Path.Exists(path))
            {
                throw new SettingException("FILE", $"'{path}' exists already; name a file that does not", "FILE");
            }
            Stopwatch watch = Stopwatch.StartNew();
            await ConsoleProgress.RunAsync("copying", 1, _ => $"for {ConsoleProgress.Time(watch.Elapsed)}", async _ =>
            {
                await call.Store.BackUpAsync(path, cancel);
                return true;
            });
            long bytes = new FileInfo(path).Length;
            if (call.Json)
            {
                CommandRun.WriteJson(json =>
                {
                    json.WriteString("backup", path);
                    json.WriteNumber("bytes", bytes);
                });
            }
            else
            {
                Console.Out.WriteLine($"{path}  {ByteText.Of(bytes)}");
                Console.Error.WriteLine("What is erased from the store later stays in this copy: erase it there too, or delete the copy.");
            }
            return ExitCodes.Ok;
        });
    }

    private static Command Expire() => StoreAccess.On(
        new Command("expire", "Remove now what is older or more than is kept, as a running server does every hour."), "store expire", ["keep-days", "keep-bytes"], static async (call, cancel) =>
        {
            if (call.Options is { KeepDays: 0, KeepBytes: 0 })
            {
                throw new SettingException("keep-days", "nothing says what to remove; pass --keep-days or --keep-bytes, or set them in continual.json");
            }
            if (call.Options.KeepDays is < 0 or > 36_500 || call.Options.KeepBytes < 0)
            {
                throw new SettingException("keep-days", "days lie between 0 and 36500, bytes are not negative");
            }
            long expired = await call.Store.ExpireAsync(cancel);
            if (call.Json)
            {
                CommandRun.WriteJson(json => json.WriteNumber("expired", expired));
            }
            else
            {
                Console.Out.WriteLine($"{expired} requests lost their texts or were removed.");
            }
            return ExitCodes.Ok;
        });

    private static Command Erase()
    {
        Option<string> user = new("--user") { Description = "The user, as requests named them ('safety_identifier' or 'user').", HelpName = "ID" };
        Option<string> key = new("--key") { Description = "An API key's id: all its requests and reports.", HelpName = "ID" };
        Option<string> request = new("--request") { Description = "One request.", HelpName = "ID" };
        Option<bool> yes = new("--yes") { Description = "Do not ask back." };
        Command command = new("erase", "Erase the texts and traces of a user, a key or one request, and list the adapters that learned from them. It can't be undone.") { user, key, request, yes };
        return StoreAccess.On(command, "store erase", [], async (call, cancel) =>
        {
            Erasure erasure = Erasure.Of(call.Parsed.GetValue(user), call.Parsed.GetValue(key), call.Parsed.GetValue(request))
                ?? throw new SettingException("user", "say what to erase, by one of --user, --key and --request", "--user");
            if (!call.Parsed.GetValue(yes) && !Confirm(erasure))
            {
                return ExitCodes.Failed;
            }
            ErasureResult result = await erasure.RunAsync(call.Store, cancel);
            if (call.Json)
            {
                CommandRun.WriteJson(json => Erasure.Write(json, result));
                return ExitCodes.Ok;
            }
            Console.Out.WriteLine($"The texts of {(result.Requests == 1 ? "one request" : $"{result.Requests} requests")} were erased.");
            foreach (string adapter in result.Adapters)
            {
                Console.Out.WriteLine(adapter);
            }
            foreach (string advice in Erasure.Advice(result))
            {
                Console.Error.WriteLine(advice);
            }
            return ExitCodes.Ok;
        });
    }

    // Decision: where nobody can be asked, nothing is erased without --yes: a script with a wrong variable would do what can't be undone.
    private static bool Confirm(Erasure erasure)
    {
        if (Console.IsInputRedirected || Console.IsErrorRedirected)
        {
            throw new SettingException("yes", "there is no terminal to ask back on; pass --yes to erase", "--yes");
        }
        Console.Error.Write($"Erase all texts of {erasure.Name}? It can't be undone. [y/N] ");
        if (Console.ReadLine()?.Trim().ToUpperInvariant() is "Y" or "YES")
        {
            return true;
        }
        Console.Error.WriteLine("Nothing was erased.");
        return false;
    }

    private static void Strings(Utf8JsonWriter json, string name, IEnumerable<string> values)
    {
        json.WriteStartArray(name);
        foreach (string value in values)
        {
            json.WriteStringValue(value);
        }
        json.WriteEndArray();
    }
}
