using ContinualNative.Interop.Llama;
using Microsoft.Extensions.Logging;

namespace ContinualNative.Engine;

/// <summary>llama.cpp's log as an <see cref="ILogger"/> of the category <c>llama.cpp</c>. The log is one per process: the factory connected last gets it.</summary>
internal static partial class LlamaLogBridge
{
    public static void Connect(ILoggerFactory loggers)
    {
        ILogger logger = loggers.CreateLogger("llama.cpp");
        LlamaLog.Sink = (level, text) =>
        {
            switch (level)
            {
                case LlamaLogLevel.Error:
                    LogError(logger, text);
                    break;
                case LlamaLogLevel.Warning:
                    LogWarning(logger, text);
                    break;
                default:
                    // llama.cpp calls a hundred lines per load "info": they are details to anyone but its authors.
                    LogDetail(logger, text);
                    break;
            }
        };
    }

    [LoggerMessage(200, LogLevel.Error, "{Text}")]
    private static partial void LogError(ILogger logger, string text);

    [LoggerMessage(201, LogLevel.Warning, "{Text}")]
    private static partial void LogWarning(ILogger logger, string text);

    [LoggerMessage(202, LogLevel.Debug, "{Text}")]
    private static partial void LogDetail(ILogger logger, string text);
}
