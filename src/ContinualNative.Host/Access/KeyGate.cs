using System.Collections.Concurrent;
using System.Net;
using ContinualNative.Core.Access;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Access;

/// <summary>Who may do what: API keys, their limits, and the loopback rule of <c>/admin</c>; and no new requests while the server drains.</summary>
internal sealed class KeyGate(ServeOptions options, ApiKeyStore keys, ServerState state)
{
    private static readonly object KeyItem = new();

    private readonly ConcurrentDictionary<string, int> _running = new(StringComparer.Ordinal);

    /// <summary>The key that a request showed, or null where none is asked for.</summary>
    public static ApiKeyRecord? KeyOf(HttpContext http) => http.Items[KeyItem] as ApiKeyRecord;

    public async Task InvokeAsync(HttpContext http, RequestDelegate next)
    {
        PathString path = http.Request.Path;
        bool admin = path.StartsWithSegments("/admin");
        bool api = path.StartsWithSegments("/v1");
        if (!admin && !api && !path.StartsWithSegments("/metrics"))
        {
            await next(http);
            return;
        }
        ApiKeyRecord? key = options.KeysInForce ? Authenticate(http) : null;
        http.Items[KeyItem] = key;
        if (admin)
        {
            RequireAdmin(http, key);
        }
        if (!admin && !api)
        {
            await next(http);
            return;
        }
        if (!state.TryEnter())
        {
            throw ApiException.Unavailable("shutting_down", "The server is shutting down and takes no new requests. Try again in a moment.");
        }
        try
        {
            if (key?.MaxConcurrent is { } limit)
            {
                await WithinLimitAsync(http, next, key.Id, limit);
            }
            else
            {
                await next(http);
            }
        }
        finally
        {
            state.Exit();
        }
    }

    private async Task WithinLimitAsync(HttpContext http, RequestDelegate next, string id, int limit)
    {
        int running = _running.AddOrUpdate(id, 1, static (_, n) => n + 1);
        try
        {
            if (running > limit)
            {
                throw ApiException.TooMany($"This key may run {limit} requests at the same time, and {limit} are running.");
            }
            await next(http);
        }
        finally
        {
            _running.AddOrUpdate(id, 0, static (_, n) => n - 1);
        }
    }

    private ApiKeyRecord Authenticate(HttpContext http)
    {
        string header = http.Request.Headers.Authorization.ToString();
        if (header.Length == 0)
        {
            throw ApiException.Unauthorized("An API key is required: send it in the header 'Authorization: Bearer cnk_...'. 'continual keys create' makes one.");
        }
        const string Scheme = "Bearer ";
        string? shown = header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? header[Scheme.Length..].Trim() : null;
        return keys.Find(shown) ?? throw ApiException.Unauthorized("The API key is not valid. 'continual keys list' shows which there are, 'continual keys create' makes a new one.");
    }

    // Decision: without keys, /admin is for the machine itself. Being on the loopback address is not enough to tell: a proxy on this machine
    // passes on strangers (it says so in a Forwarded header), and a web page can rebind a name of its own to 127.0.0.1 (the Host header shows it).
    private void RequireAdmin(HttpContext http, ApiKeyRecord? key)
    {
        if (options.KeysInForce)
        {
            if (key is not { Admin: true })
            {
                throw ApiException.Forbidden("admin_required", "This key has no admin scope. 'continual keys create --admin' makes one that has.");
            }
            return;
        }
        bool local = http.Connection.RemoteIpAddress is { } remote
            && IPAddress.IsLoopback(remote.IsIPv4MappedToIPv6 ? remote.MapToIPv4() : remote)
            && http.Request.Headers["X-Forwarded-For"].Count == 0
            && http.Request.Headers["Forwarded"].Count == 0
            && (http.Request.Host.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || IPAddress.TryParse(http.Request.Host.Host.Trim('[', ']'), out _));
        if (!local)
        {
            throw ApiException.Forbidden("loopback_only", "Without API keys, /admin answers on this machine only, by IP address or as localhost. Start the server with --require-key to administer it from elsewhere.");
        }
    }
}
