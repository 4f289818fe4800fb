using System.CommandLine;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary>What commands on the traffic store of a data folder share. They may run beside a server: both write by turns.</summary>
internal static class StoreAccess
{
    private static readonly string[] Always = ["data", "store-key-env"];

    /// <summary>A command with the settings that say where the store is and what its key is, and further ones; it is guarded and given the store.</summary>
    /// <param name="command">The command with its own options.</param>
    /// <param name="name">How errors call it, such as <c>store check</c>.</param>
    /// <param name="settings">Further settings of the server that it heeds.</param>
    /// <param name="action">What it does; gives the exit code.</param>
    /// <param name="change">How it opens the store; null: as the server does.</param>
    public static Command On(
        Command command,
        string name,
        IEnumerable<string> settings,
        Func<StoreCall, CancellationToken, Task<int>> action,
        Func<StoreOptions, StoreOptions>? change = null)
    {
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        ServeSettings.AddTo(command, [.. Always, .. settings]);
        command.Options.Add(json);
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(name, async () =>
        {
            ServeOptions options = ServeSettings.Read(parsed, null, Environment.GetEnvironmentVariables());
            await using TrafficStore store = Open(options, change);
            return await action(new StoreCall(parsed, options, store, parsed.GetValue(json)), cancel);
        }));
        return command;
    }

    /// <summary>The store of a data folder. Throws <see cref="SettingException"/> when there is none, and <see cref="StoreException"/>.</summary>
    public static TrafficStore Open(ServeOptions options, Func<StoreOptions, StoreOptions>? change = null)
    {
        string path = SignalParts.DatabaseOf(options.Data);
        // Opening would make an empty one, and hide that the folder is the wrong one.
        if (!Path.Exists(path))
        {
            throw new SettingException("data", $"there is no traffic store '{path}'; the server makes it when it starts. Name the server's data folder");
        }
        StoreOptions opened = SignalParts.StoreOf(options);
        return TrafficStore.Open(change?.Invoke(opened) ?? opened);
    }
}

/// <summary>One call of a command on the store.</summary>
/// <param name="Parsed">The command line.</param>
/// <param name="Options">The server's settings, as far as the command heeds them; not validated as a whole.</param>
/// <param name="Store">Open until the command ends.</param>
/// <param name="Json">Whether to answer with one JSON object.</param>
internal sealed record StoreCall(ParseResult Parsed, ServeOptions Options, TrafficStore Store, bool Json);
