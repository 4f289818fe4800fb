using System.Diagnostics;
using ContinualNative.Host.Admin;

namespace ContinualNative.Host.Http;

/// <summary>Around every request: its id, its figures, and its failures as OpenAI errors.</summary>
internal static class RequestPipeline
{
    // nginx's status for a client that has gone; nobody receives it, the metrics show it.
    private const int ClientClosedRequest = 499;

    public static async Task InvokeAsync(HttpContext http, RequestDelegate next)
    {
        RequestIds.Assign(http);
        http.Response.Headers.XContentTypeOptions = "nosniff";
        long start = Stopwatch.GetTimestamp();
        try
        {
            await next(http);
            if (!http.Response.HasStarted && ApiErrors.FromStatus(http) is { } error)
            {
                await ApiErrors.WriteAsync(http, error);
            }
        }
        catch (Exception e) when (http.RequestAborted.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            http.Response.StatusCode = http.Response.HasStarted ? http.Response.StatusCode : ClientClosedRequest;
        }
        catch (Exception e)
        {
            ApiException error = e is OperationCanceledException ? ApiException.Unavailable("shutting_down", "The server stopped before the answer was complete.") : ApiErrors.From(e);
            if (error.Status >= 500 && e is not ApiException and not OperationCanceledException)
            {
                RequestLog.Failed(http, e);
            }
            if (http.Response.HasStarted)
            {
                http.Abort();
            }
            else
            {
                await ApiErrors.WriteAsync(http, error);
            }
        }
        finally
        {
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            http.RequestServices.GetRequiredService<ServerMetrics>().Request(RequestLog.RouteOf(http), http.Response.StatusCode, took);
            RequestLog.Answered(http, took.TotalMilliseconds);
        }
    }
}
