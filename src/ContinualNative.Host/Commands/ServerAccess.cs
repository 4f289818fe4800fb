using System.CommandLine;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary>No server answers; the message says what to do.</summary>
internal sealed class NoServerException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The server has refused; the message is its own.</summary>
internal sealed class RefusedException(HttpStatusCode status, string message) : Exception(message)
{
    public HttpStatusCode Status { get; } = status;
}

/// <summary>Talks to a running server's admin API, for commands. Owns its HTTP client.</summary>
internal sealed class ServerAccess : IDisposable
{
    private const string DefaultUrl = "http://127.0.0.1:8080";

    private readonly HttpClient _client;

    private ServerAccess(Uri address, string? key)
    {
        _client = new HttpClient { BaseAddress = address };
        if (key is not null)
        {
            _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
    }

    /// <summary>Where the server is.</summary>
    public string Address => _client.BaseAddress!.GetLeftPart(UriPartial.Authority);

    /// <summary>A command with the options that say where the server is; it is guarded, and what the server refuses ends it.</summary>
    /// <param name="command">The command with its own options.</param>
    /// <param name="name">How errors call it, such as <c>cycle run</c>.</param>
    /// <param name="action">What it does; gives the exit code.</param>
    public static Command On(Command command, string name, Func<ParseResult, ServerAccess, CancellationToken, Task<int>> action)
    {
        Options options = Options.AddTo(command);
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync(name, () => RunAsync(name, options, parsed, server => action(parsed, server, cancel))));
        return command;
    }

    /// <summary>Runs something with the server that the options name; a server that is not there, and what it refuses, become exit codes.</summary>
    public static async Task<int> RunAsync(string name, Options options, ParseResult parsed, Func<ServerAccess, Task<int>> action)
    {
        using ServerAccess server = new(AddressOf(parsed.GetValue(options.Url) ?? DefaultUrl), options.KeyOf(parsed));
        try
        {
            return await action(server);
        }
        catch (NoServerException e)
        {
            return CommandRun.Fail(name, e.Message, ExitCodes.BadInput);
        }
        catch (RefusedException e)
        {
            bool usage = e.Status is HttpStatusCode.NotFound or HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden;
            string hint = e.Status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden ? " Pass the key of an admin in --key-env VAR; 'continual keys create --admin' makes one." : "";
            return CommandRun.Fail(name, e.Message + hint, usage ? ExitCodes.BadInput : ExitCodes.Failed);
        }
    }

    /// <summary>The API key in an environment variable. Throws <see cref="SettingException"/> when there is none.</summary>
    public static string KeyIn(string variable)
    {
        string? key = Environment.GetEnvironmentVariable(variable);
        return IsKey(key)
            ? key!.Trim()
            : throw new SettingException("key-env", $"the environment variable '{variable}' {(string.IsNullOrWhiteSpace(key) ? "is not set; put the API key into it" : "holds no API key: it has characters that none has")}");
    }

    /// <summary>Asks, and gives the answer's object. Throws <see cref="NoServerException"/> and <see cref="RefusedException"/>.</summary>
    public async Task<JsonElement> SendAsync(HttpMethod method, string path, string? body, CancellationToken cancellationToken)
    {
        using HttpRequestMessage request = new(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        string text;
        HttpStatusCode status;
        try
        {
            using HttpResponseMessage response = await _client.SendAsync(request, cancellationToken);
            status = response.StatusCode;
            text = await response.Content.ReadAsStringAsync(cancellationToken);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            string reason = e is OperationCanceledException ? "no answer in time" : e.InnerException is SocketException socket ? socket.Message : e.Message;
            throw new NoServerException($"No server answers at {Address} ({reason.TrimEnd('.')}). Start it with 'continual serve', or say where it is with --url.", e);
        }
        JsonElement answer = ObjectOf(text) ?? throw new NoServerException($"What answers at {Address} is no server of continual ({(int)status}, no JSON). Say where it is with --url.");
        return (int)status is >= 200 and < 300 ? answer : throw new RefusedException(status, ReasonOf(answer) ?? $"The server answered {(int)status}.");
    }

    /// <summary>Asks for something.</summary>
    public Task<JsonElement> GetAsync(string path, CancellationToken cancellationToken) => SendAsync(HttpMethod.Get, path, null, cancellationToken);

    public void Dispose() => _client.Dispose();

    private static Uri AddressOf(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https") || url.Query.Length > 0 || url.AbsolutePath is not ("/" or "/v1" or "/v1/"))
        {
            throw new SettingException("url", $"'{text}' is not the address of a server; it must look like {DefaultUrl}");
        }
        return new Uri(url.GetLeftPart(UriPartial.Authority));
    }

    private static bool IsKey(string? key) => !string.IsNullOrWhiteSpace(key) && !key.Any(static c => char.IsControl(c) || c > '~');

    private static JsonElement? ObjectOf(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? ReasonOf(JsonElement answer) =>
        answer.TryGetProperty("error", out JsonElement error) && error.ValueKind == JsonValueKind.Object && error.TryGetProperty("message", out JsonElement message) && message.ValueKind == JsonValueKind.String
            ? CommandRun.Printable(message.GetString()!)
            : null;

    /// <summary>The options that say where a server is and who asks.</summary>
    internal sealed record Options(Option<string> Url, Option<string> Key, Option<string> KeyEnv)
    {
        /// <summary>Adds them to a command.</summary>
        public static Options AddTo(Command command)
        {
            Options options = new(
                new Option<string>("--url") { Description = $"The running server (default: {DefaultUrl}).", HelpName = "URL" },
                new Option<string>("--key") { Description = "The API key of an admin, where the server asks for one; others on this machine may see it here: --key-env hides it.", HelpName = "KEY" },
                new Option<string>("--key-env") { Description = "The environment variable that holds that key.", HelpName = "VAR" });
            command.Options.Add(options.Url);
            command.Options.Add(options.Key);
            command.Options.Add(options.KeyEnv);
            return options;
        }

        internal string? KeyOf(ParseResult parsed)
        {
            if (parsed.GetValue(Key) is { } key)
            {
                return IsKey(key) ? key.Trim() : throw new SettingException("key", "it is no API key: it is empty, or has characters that none has");
            }
            return parsed.GetValue(KeyEnv) is { } variable ? KeyIn(variable) : null;
        }
    }
}
