using System.CommandLine;
using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual keys create|list|revoke</c>. A running server notices changes by itself.</summary>
internal static class KeysCommand
{
    public static Command Create() => new("keys", "Create, list and revoke API keys.") { CreateKey(), ListKeys(), RevokeKey() };

    private static Command CreateKey()
    {
        Option<string> name = new("--name") { Description = "What you call it.", DefaultValueFactory = static _ => "" };
        Option<bool> admin = new("--admin") { Description = "Let it use /admin." };
        Option<int?> concurrent = new("--max-concurrent") { Description = "Requests that may run at the same time." };
        Option<int?> tokens = new("--max-tokens-per-request") { Description = "Most tokens that one request may generate." };
        Option<RoutePreference> route = new("--route") { Description = "Which model answers its requests unless they say otherwise: auto, local, frontier.", DefaultValueFactory = static _ => RoutePreference.Auto };
        Option<double?> escalation = new("--max-escalation") { Description = "Largest share of its requests that is routed up, 0 to 1." };
        return WithStore(new Command("create", "Create a key and show it, this once.") { name, admin, concurrent, tokens, route, escalation }, (parsed, store, json) =>
        {
            if (parsed.GetValue(escalation) is { } share && !(share is >= 0 and <= 1))
            {
                Console.Error.WriteLine("continual keys create: --max-escalation must lie between 0 and 1.");
                return ExitCodes.BadInput;
            }
            if (parsed.GetValue(concurrent) is < 1 || parsed.GetValue(tokens) is < 1)
            {
                Console.Error.WriteLine("continual keys create: limits must be at least 1.");
                return ExitCodes.BadInput;
            }
            (string key, ApiKeyRecord record) = store.Create(parsed.GetValue(name)!, parsed.GetValue(admin), parsed.GetValue(concurrent), parsed.GetValue(tokens), parsed.GetValue(route), parsed.GetValue(escalation));
            if (json)
            {
                WriteJson(writer => Write(writer, record, key));
            }
            else
            {
                Console.Out.WriteLine(key);
                Console.Error.WriteLine($"Keep it now: only its hash is stored. Its id is {record.Id}.");
            }
            return ExitCodes.Ok;
        });
    }

    private static Command ListKeys() => WithStore(new Command("list", "List the keys, without their secrets."), static (_, store, json) =>
    {
        IReadOnlyList<ApiKeyRecord> keys = store.List();
        if (json)
        {
            WriteJson(writer =>
            {
                writer.WriteStartObject();
                writer.WriteStartArray("keys");
                foreach (ApiKeyRecord key in keys)
                {
                    Write(writer, key, null);
                }
                writer.WriteEndArray();
                writer.WriteEndObject();
            });
            return ExitCodes.Ok;
        }
        if (keys.Count == 0)
        {
            Console.Error.WriteLine("There are no keys. 'continual keys create' makes one.");
        }
        foreach (ApiKeyRecord key in keys)
        {
            Console.Out.WriteLine($"{key.Id}  {key.Created:yyyy-MM-dd HH:mm}  {(key.Admin ? "admin" : "user "),-5}  {Limit(key.MaxConcurrent, "concurrent")}{Limit(key.MaxTokensPerRequest, "tokens")}{key.Name}");
        }
        return ExitCodes.Ok;
    });

    private static Command RevokeKey()
    {
        Argument<string> id = new("ID") { Description = "The key's id." };
        return WithStore(new Command("revoke", "Revoke a key.") { id }, (parsed, store, json) =>
        {
            string revoked = parsed.GetValue(id)!;
            if (!store.Revoke(revoked))
            {
                Console.Error.WriteLine($"continual keys revoke: there is no key '{revoked}'. 'continual keys list' shows those there are.");
                return ExitCodes.BadInput;
            }
            if (json)
            {
                WriteJson(writer =>
                {
                    writer.WriteStartObject();
                    writer.WriteString("revoked", revoked);
                    writer.WriteEndObject();
                });
            }
            else
            {
                Console.Error.WriteLine($"Revoked {revoked}.");
            }
            return ExitCodes.Ok;
        });
    }

    private static string Limit(int? limit, string what) => limit is null ? "" : $"≤{limit} {what}  ";

    private static Command WithStore(Command command, Func<ParseResult, ApiKeyStore, bool, int> action)
    {
        Option<string> data = new("--data") { Description = "The server's data folder (default: the user's application data).", HelpName = "DIR" };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        command.Options.Add(data);
        command.Options.Add(json);
        command.SetAction(parsed =>
        {
            try
            {
                string folder = parsed.GetValue(data) ?? Environment.GetEnvironmentVariable(ServeSettings.EnvironmentPrefix + "DATA") ?? ServeOptions.DefaultData;
                return action(parsed, new ApiKeyStore(folder), parsed.GetValue(json));
            }
            catch (ApiKeyStoreException e)
            {
                Console.Error.WriteLine($"continual keys: {e.Message}");
                return ExitCodes.Failed;
            }
        });
        return command;
    }

    private static void Write(Utf8JsonWriter json, ApiKeyRecord record, string? key)
    {
        json.WriteStartObject();
        json.WriteString("id", record.Id);
        if (key is not null)
        {
            json.WriteString("key", key);
        }
        json.WriteString("name", record.Name);
        json.WriteBoolean("admin", record.Admin);
        json.WritePropertyName("max_concurrent");
        WriteLimit(json, record.MaxConcurrent);
        json.WritePropertyName("max_tokens_per_request");
        WriteLimit(json, record.MaxTokensPerRequest);
        json.WriteString("route", record.Route.ToString().ToLowerInvariant());
        json.WritePropertyName("max_escalation");
        if (record.MaxEscalation is { } share)
        {
            json.WriteNumberValue(share);
        }
        else
        {
            json.WriteNullValue();
        }
        json.WriteString("created", record.Created);
        json.WriteEndObject();
    }

    private static void WriteLimit(Utf8JsonWriter json, int? limit)
    {
        if (limit is { } value)
        {
            json.WriteNumberValue(value);
        }
        else
        {
            json.WriteNullValue();
        }
    }

    private static void WriteJson(Action<Utf8JsonWriter> write)
    {
        using Stream output = Console.OpenStandardOutput();
        using (Utf8JsonWriter json = new(output))
        {
            write(json);
        }
        output.WriteByte((byte)'\n');
    }
}
