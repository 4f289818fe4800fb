using System.Text.Json;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Admin;

/// <summary>For supervisors and dashboards: alive, ready, figures.</summary>
internal static class HealthEndpoints
{
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/health", static http => Write(http, "ok", 200));
        routes.MapGet("/ready", static http =>
        {
            ServerState state = http.RequestServices.GetRequiredService<ServerState>();
            return state.IsDraining ? Write(http, "draining", 503) : state.IsReady ? Write(http, "ready", 200) : Write(http, "loading", 503);
        });
        routes.MapGet("/metrics", static async http =>
        {
            http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
            // Gathered first: the exporter writes synchronously, which Kestrel does not allow.
            using MemoryStream text = new();
            await http.RequestServices.GetRequiredService<ServerMetrics>().WriteAsync(text, http.RequestAborted);
            http.Response.ContentLength = text.Length;
            await http.Response.Body.WriteAsync(text.GetBuffer().AsMemory(0, (int)text.Length), http.RequestAborted);
        });
    }

    private static Task Write(HttpContext http, string status, int code) => JsonOut.WriteAsync(http, status, static (Utf8JsonWriter json, string s) =>
    {
        json.WriteStartObject();
        json.WriteString("status", s);
        json.WriteEndObject();
    }, code);
}
