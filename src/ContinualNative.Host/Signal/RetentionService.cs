using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>Removes from the store what is kept long enough (<c>--keep-days</c>, <c>--keep-bytes</c>), a minute after the start and then every hour.</summary>
internal sealed partial class RetentionService(SignalHub hub, ServeOptions options, ILoggerFactory loggers) : BackgroundService
{
    private readonly ILogger _logger = loggers.CreateLogger("ContinualNative.Storage");

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (hub.Store is not { } store || (options.KeepDays == 0 && options.KeepBytes == 0))
        {
            return;
        }
        TimeSpan pause = TimeSpan.FromMinutes(1);
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(pause, hub.Time, stoppingToken);
                pause = TimeSpan.FromHours(1);
                if (await store.ExpireAsync(stoppingToken) is > 0 and long expired)
                {
                    LogExpired(_logger, expired);
                }
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (StoreException e)
            {
                LogFailed(_logger, e.Message);
            }
        }
    }

    [LoggerMessage(1441, LogLevel.Information, "The texts of {Requests} requests were removed: they are older or more than is kept")]
    private static partial void LogExpired(ILogger logger, long requests);

    [LoggerMessage(1442, LogLevel.Warning, "Old requests could not be removed, it is tried again in an hour: {Reason}")]
    private static partial void LogFailed(ILogger logger, string reason);
}
