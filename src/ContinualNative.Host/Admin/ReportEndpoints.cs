using ContinualNative.Host.Http;
using ContinualNative.Host.Reporting;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Admin;

/// <summary><c>GET /admin/report</c> and <c>GET /admin/requests/{id}</c>: what <c>continual report</c> and <c>continual explain</c> say, while the server runs.</summary>
internal static class ReportEndpoints
{
    public static void MapReport(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/admin/report", ReportAsync);
        routes.MapGet("/admin/requests/{id}", ExplainAsync);
    }

    private static async Task ReportAsync(HttpContext http)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        TrafficStore store = StoreEndpoints.StoreOf(signal);
        int days = 30;
        string? task = null;
        foreach ((string name, Microsoft.Extensions.Primitives.StringValues values) in http.Request.Query)
        {
            switch (name)
            {
                case "days":
                    days = int.TryParse(values.ToString(), System.Globalization.CultureInfo.InvariantCulture, out int number) && number is >= 1 and <= TrafficReports.MostDays
                        ? number
                        : throw ApiException.WrongValue("days", $"Invalid 'days': it must be a whole number between 1 and {TrafficReports.MostDays}.");
                    break;
                case "task":
                    task = values.ToString();
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(name));
            }
        }
        DateOnly today = DateOnly.FromDateTime(signal.Time.GetUtcNow().UtcDateTime);
        // So that whoever asks right after an answer finds it.
        await store.FlushAsync(http.RequestAborted);
        StoreReport report = await Task.Run(() => TrafficReports.Read(store, today, days, task, signal.Options.MachinePrice, TrafficReports.PricesOf(signal.Options)), http.RequestAborted);
        await JsonOut.WriteAsync(http, report, static (json, r) =>
        {
            json.WriteStartObject();
            TrafficReports.Write(json, r);
            json.WriteEndObject();
        });
    }

    private static async Task ExplainAsync(HttpContext http)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        TrafficStore store = StoreEndpoints.StoreOf(signal);
        string id = (string)http.GetRouteValue("id")!;
        bool texts = http.Request.Query["texts"].ToString() switch
        {
            "" or "false" or "0" => false,
            "true" or "1" => true,
            _ => throw ApiException.WrongValue("texts", "Invalid 'texts': it is true or false."),
        };
        await StoreEndpoints.RecordedAsync(signal, id, http.RequestAborted);
        await store.FlushAsync(http.RequestAborted);
        RequestExplanation explanation = RequestExplanation.Find(store, id.ToLowerInvariant(), signal.Options.MachinePrice)
            ?? throw new ApiException(404, "invalid_request_error", "request_not_found", $"There is no request '{JsonIn.Short(id)}'. Its id is in the header x-continual-request-id of its answer.", "id");
        await JsonOut.WriteAsync(http, (explanation, texts), static (json, e) =>
        {
            json.WriteStartObject();
            e.explanation.Write(json, e.texts);
            json.WriteEndObject();
        });
    }
}
