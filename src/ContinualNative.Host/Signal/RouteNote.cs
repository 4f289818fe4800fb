using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Signal;

/// <summary>What a client is told of the route that its request took: the headers, and the field <c>continual</c>.</summary>
internal sealed record RouteNote
{
    public required RouteDecision Decision { get; init; }

    public required string Task { get; init; }

    /// <summary>The adapter of the local answer, or <c>base</c>; empty where the local model was not asked.</summary>
    public string Adapter { get; init; } = "";

    /// <summary>Of the local answer; null without one.</summary>
    public Confidence? Confidence { get; init; }

    /// <summary>The endpoint that answered and the model that it says it used; null for local answers.</summary>
    public string? Endpoint { get; init; }

    public string? FrontierModel { get; init; }

    /// <summary>For what only the local model does.</summary>
    public static RouteNote Plain(string adapter) => new() { Decision = new RouteDecision { Route = Route.Local, Reason = RouteReason.NotPortable }, Task = "", Adapter = adapter };

    /// <summary>Sets the headers that are known before the first byte.</summary>
    public void SetHeaders(HttpContext http)
    {
        IHeaderDictionary headers = http.Response.Headers;
        headers["x-continual-route"] = NameOf(Decision.Route);
        headers["x-continual-reason"] = NameOf(Decision.Reason);
        headers["x-continual-adapter"] = Adapter.Length > 0 ? Adapter : "none";
        if (Confidence is { } confidence)
        {
            headers["x-continual-confidence"] = confidence.Score.ToString("0.####", CultureInfo.InvariantCulture);
        }
        if (Decision.PCorrect is { } p)
        {
            headers["x-continual-p-correct"] = p.ToString("0.####", CultureInfo.InvariantCulture);
        }
    }

    /// <summary>The value of <c>continual</c>.</summary>
    public static void Write(Utf8JsonWriter json, RouteNote note)
    {
        json.WriteStartObject();
        json.WriteString("route", NameOf(note.Decision.Route));
        json.WriteString("reason", NameOf(note.Decision.Reason));
        json.WriteString("task", note.Task);
        json.WriteString("adapter", note.Adapter.Length > 0 ? note.Adapter : null);
        if (note.Confidence is { } confidence)
        {
            json.WriteNumber("confidence", float.IsFinite(confidence.Score) ? confidence.Score : 0);
        }
        if (note.Decision.PCorrect is { } p)
        {
            json.WriteNumber("p_correct", Math.Round(p, 6));
        }
        if (note.Decision.Threshold is { } threshold && double.IsFinite(threshold))
        {
            json.WriteNumber("threshold", Math.Round(threshold, 6));
        }
        if (note.Endpoint is not null)
        {
            json.WriteString("endpoint", note.Endpoint);
            json.WriteString("frontier_model", note.FrontierModel);
        }
        json.WriteEndObject();
    }

    public static string NameOf(Route route) => route == Route.Frontier ? "frontier" : "local";

    public static string NameOf(RouteReason reason) => reason switch
    {
        RouteReason.Confident => "confident",
        RouteReason.Uncertain => "uncertain",
        RouteReason.Requested => "requested",
        RouteReason.KeyPolicy => "key_policy",
        RouteReason.NoFrontier => "no_frontier",
        RouteReason.NotPortable => "not_portable",
        RouteReason.FrontierDown => "frontier_down",
        RouteReason.OverBudget => "over_budget",
        RouteReason.Uncalibrated => "uncalibrated",
        RouteReason.LocalFailed => "local_failed",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, null),
    };
}
