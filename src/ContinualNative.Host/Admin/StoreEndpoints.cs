using System.Globalization;
using System.Text.Json;
using ContinualNative.Host.Http;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Admin;

/// <summary><c>POST /admin/erase</c>, <c>POST /admin/backup</c>, and <c>PUT</c> and <c>DELETE /admin/requests/{id}/golden</c>.</summary>
internal static class StoreEndpoints
{
    public static void MapStore(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/admin/erase", EraseAsync);
        routes.MapPost("/admin/backup", BackUpAsync);
        routes.MapPut("/admin/requests/{id}/golden", static http => SetGoldenAsync(http, true));
        routes.MapDelete("/admin/requests/{id}/golden", static http => SetGoldenAsync(http, false));
    }

    /// <summary>The server's store; throws <see cref="ApiException"/> when it has none.</summary>
    public static TrafficStore StoreOf(SignalHub signal) =>
        signal.Store ?? throw ApiException.Invalid("not_recorded", "This server stores no requests (--record off).");

    /// <summary>Waits for a request that has been answered and is still on its way into the store; throws <see cref="ApiException"/> when that takes too long.</summary>
    public static async Task RecordedAsync(SignalHub signal, string id, CancellationToken cancellationToken)
    {
        if (signal.Pending.TryGetValue(id, out Task? recorded))
        {
            try
            {
                await recorded.WaitAsync(TimeSpan.FromSeconds(30), cancellationToken);
            }
            catch (TimeoutException)
            {
                throw ApiException.Unavailable("not_recorded_yet", "The request is not stored yet. Try again in a moment.");
            }
        }
    }

    // Golden: kept when others expire, asked again of every new teacher, and what later adapters must not forget.
    private static async Task SetGoldenAsync(HttpContext http, bool golden)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        TrafficStore store = StoreOf(signal);
        string id = (string)http.GetRouteValue("id")!;
        bool labelled = false;
        if (FeedbackFields.IsRequestId(id))
        {
            await RecordedAsync(signal, id, http.RequestAborted);
            labelled = await store.SetGoldenAsync(id.ToLowerInvariant(), golden, http.RequestAborted);
        }
        if (!labelled)
        {
            throw new ApiException(404, "invalid_request_error", "request_not_found", $"There is no labelled request '{JsonIn.Short(id)}': only one that a teacher has answered can be golden.", "id");
        }
        await JsonOut.WriteAsync(http, (id, golden), static (json, r) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "request");
            json.WriteString("id", r.id);
            json.WriteBoolean("golden", r.golden);
            json.WriteEndObject();
        });
    }

    private static async Task EraseAsync(HttpContext http)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        TrafficStore store = StoreOf(signal);
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        string? user = null;
        string? key = null;
        string? request = null;
        foreach (JsonProperty field in body.RootElement.EnumerateObject())
        {
            switch (field.Name)
            {
                case "user":
                    user = JsonIn.Text(field.Value, "user");
                    break;
                case "key":
                    key = JsonIn.Text(field.Value, "key");
                    break;
                case "request":
                    request = JsonIn.Text(field.Value, "request");
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(field.Name));
            }
        }
        Erasure erasure;
        try
        {
            erasure = Erasure.Of(user, key, request) ?? throw ApiException.Invalid("missing_required_parameter", "Give one of 'user', 'key' and 'request', and only one.");
        }
        catch (SettingException)
        {
            throw ApiException.WrongValue("request", "Invalid 'request': a request's id has 24 hexadecimal digits, as in the header x-continual-request-id.");
        }
        // What has been answered already must be in the store before it is erased from it, or it would be stored afterwards.
        Task[] pending = erasure.RequestId is { } id ? (signal.Pending.TryGetValue(id, out Task? one) ? [one] : []) : [.. signal.Pending.Values];
        await Task.WhenAny(Task.WhenAll(pending), Task.Delay(TimeSpan.FromSeconds(30), signal.Time, http.RequestAborted));
        await store.FlushAsync(http.RequestAborted);
        ErasureResult result = await erasure.RunAsync(store, http.RequestAborted);
        signal.ForgetSessions();
        await JsonOut.WriteAsync(http, result, static (json, r) =>
        {
            json.WriteStartObject();
            Erasure.Write(json, r);
            json.WriteEndObject();
        });
    }

    // Decision: the server names the file. A path from outside would let an admin key write anywhere that the server may.
    private static async Task BackUpAsync(HttpContext http)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        TrafficStore store = StoreOf(signal);
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        foreach (JsonProperty field in body.RootElement.EnumerateObject())
        {
            throw ApiException.Unknown(JsonIn.Short(field.Name));
        }
        string folder = Path.Combine(signal.Options.Data, "backups");
        string path = Path.Combine(folder, $"traffic-{signal.Time.GetUtcNow().ToString("yyyyMMdd-HHmmss-fff", CultureInfo.InvariantCulture)}.db");
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StoreException(StoreError.Inaccessible, $"The folder for backups can't be made: {e.Message}", e);
        }
        await store.FlushAsync(http.RequestAborted);
        await store.BackUpAsync(path, http.RequestAborted);
        long bytes = new FileInfo(path).Length;
        await JsonOut.WriteAsync(
            http,
            (path, bytes),
            static (json, b) =>
            {
                json.WriteStartObject();
                json.WriteString("object", "backup");
                json.WriteString("path", b.path);
                json.WriteNumber("bytes", b.bytes);
                json.WriteEndObject();
            },
            201);
    }
}
