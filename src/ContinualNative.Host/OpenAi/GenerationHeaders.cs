using System.Globalization;
using ContinualNative.Core.Routing;

namespace ContinualNative.Host.OpenAi;

/// <summary>What every generated answer tells beside OpenAI's own fields.</summary>
internal static class GenerationHeaders
{
    public const string LocalRoute = "local";

    /// <summary>Sets the headers known before the first byte.</summary>
    public static void Set(HttpContext http, string adapter)
    {
        http.Response.Headers["x-continual-route"] = LocalRoute;
        http.Response.Headers["x-continual-adapter"] = adapter;
    }

    public static void SetConfidence(HttpContext http, Confidence confidence) =>
        http.Response.Headers["x-continual-confidence"] = confidence.Score.ToString("0.####", CultureInfo.InvariantCulture);
}
