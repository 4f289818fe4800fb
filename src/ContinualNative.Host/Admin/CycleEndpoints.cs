using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Http;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Admin;

/// <summary><c>/admin/cycles</c>: begin, follow and cancel update cycles; <c>POST /admin/rollback</c>; <c>GET /admin/promotions</c>.</summary>
internal static class CycleEndpoints
{
    private const int MostListed = 100;

    public static void MapCycles(this IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder cycles = routes.MapGroup("/admin/cycles");
        cycles.MapGet("", ListAsync);
        cycles.MapPost("", BeginAsync);
        cycles.MapGet("/{id:long}", ShowAsync);
        cycles.MapDelete("/{id:long}", CancelAsync);
        routes.MapPost("/admin/rollback", RollBackAsync);
        routes.MapGet("/admin/promotions", PromotionsAsync);
    }

    private static CycleService Service(HttpContext http) => http.RequestServices.GetRequiredService<CycleService>();

    private static TrafficStore Store(HttpContext http) => StoreEndpoints.StoreOf(http.RequestServices.GetRequiredService<SignalHub>());

    private static Task ListAsync(HttpContext http) =>
        JsonOut.WriteAsync(http, (Cycles: Store(http).Cycles(MostListed), Service(http).Progress), static (json, page) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            foreach (CycleRecord cycle in page.Cycles)
            {
                CycleText.Write(json, cycle, page.Progress, detail: false);
            }
            json.WriteEndArray();
            json.WriteEndObject();
        });

    private static async Task BeginAsync(HttpContext http)
    {
        string cause = "asked for";
        if (http.Request.ContentLength is not (null or 0))
        {
            using JsonDocument body = await RequestBody.ReadObjectAsync(http);
            foreach (JsonProperty field in body.RootElement.EnumerateObject())
            {
                cause = field.Name == "cause" ? JsonIn.Text(field.Value, "cause") : throw ApiException.Unknown(JsonIn.Short(field.Name));
            }
        }
        CycleRecord cycle = await Service(http).BeginAsync(CycleTrigger.Manual, cause, null, http.RequestAborted);
        await JsonOut.WriteAsync(http, cycle, static (json, c) => CycleText.Write(json, c, null, detail: false), 201);
    }

    private static Task ShowAsync(HttpContext http)
    {
        CycleRecord cycle = Store(http).Cycle(IdOf(http)) ?? throw NotFound(http);
        return JsonOut.WriteAsync(http, (cycle, Service(http).Progress), static (json, c) => CycleText.Write(json, c.cycle, c.Progress, detail: true));
    }

    private static async Task CancelAsync(HttpContext http)
    {
        if (!Service(http).Cancel(IdOf(http)))
        {
            throw Store(http).Cycle(IdOf(http)) is null
                ? NotFound(http)
                : new ApiException(409, "invalid_request_error", "cycle_not_running", "The cycle does not run: there is nothing to cancel.", "id");
        }
        await JsonOut.WriteAsync(http, IdOf(http), static (json, id) =>
        {
            json.WriteStartObject();
            json.WriteNumber("id", id);
            json.WriteString("object", "cycle");
            json.WriteBoolean("cancelling", true);
            json.WriteEndObject();
        }, 202);
    }

    private static async Task RollBackAsync(HttpContext http)
    {
        PromotionRecord promotion = await Service(http).RollBackAsync("POST /admin/rollback", http.RequestAborted);
        await JsonOut.WriteAsync(http, promotion, static (json, p) => CycleText.Write(json, p, evidence: false));
    }

    private static Task PromotionsAsync(HttpContext http) =>
        JsonOut.WriteAsync(http, Store(http).Promotions(MostListed), static (json, list) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            CycleText.Write(json, "data", list);
            json.WriteEndObject();
        });

    private static long IdOf(HttpContext http) => long.Parse((string)http.GetRouteValue("id")!, CultureInfo.InvariantCulture);

    private static ApiException NotFound(HttpContext http) =>
        new(404, "invalid_request_error", "cycle_not_found", $"There is no cycle {IdOf(http)}. GET /admin/cycles lists them.", "id");
}
