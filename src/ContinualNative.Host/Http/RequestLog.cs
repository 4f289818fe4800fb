namespace ContinualNative.Host.Http;

/// <summary>What is logged of requests: never prompts nor answers.</summary>
internal static partial class RequestLog
{
    public static void Answered(HttpContext http, double milliseconds) =>
        Answered(LoggerOf(http), RequestIds.Of(http), http.Request.Method, RouteOf(http), http.Response.StatusCode, milliseconds);

    public static void Failed(HttpContext http, Exception failure) => Failed(LoggerOf(http), failure, RequestIds.Of(http), RouteOf(http));

    public static void StreamFailed(HttpContext http, Exception failure, ApiException told)
    {
        if (told.Status == 500)
        {
            Failed(http, failure);
        }
        else
        {
            StreamEnded(LoggerOf(http), RequestIds.Of(http), told.Code);
        }
    }

    /// <summary>The route's pattern: it has no ids in it, so it is fit for metrics too.</summary>
    public static string RouteOf(HttpContext http) => (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "(none)";

    private static ILogger LoggerOf(HttpContext http) => http.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("ContinualNative.Host.Requests");

    [LoggerMessage(2001, LogLevel.Debug, "{RequestId} {Method} {Route}: {Status} in {Milliseconds:F1} ms")]
    private static partial void Answered(ILogger logger, string requestId, string method, string route, int status, double milliseconds);

    [LoggerMessage(2002, LogLevel.Error, "{RequestId} {Route} failed")]
    private static partial void Failed(ILogger logger, Exception failure, string requestId, string route);

    [LoggerMessage(2003, LogLevel.Information, "{RequestId}: the stream ended early ({Code})")]
    private static partial void StreamEnded(ILogger logger, string requestId, string? code);
}
