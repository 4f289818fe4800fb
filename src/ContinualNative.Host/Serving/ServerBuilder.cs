using System.Net;
using ContinualNative.Core.Access;
using ContinualNative.Host.Access;
using ContinualNative.Host.Admin;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Signal;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Logging.Console;

namespace ContinualNative.Host.Serving;

/// <summary>The composition root of the server.</summary>
internal static partial class ServerBuilder
{
    /// <summary>Builds the server; it listens once started, and loads the model then. Throws <see cref="ApiKeyStoreException"/> for damaged keys,
    /// <see cref="SettingException"/> for settings that show only here to be wrong, and <see cref="Storage.StoreException"/> for a store that can't be opened.</summary>
    /// <param name="options">Validated options.</param>
    /// <param name="ownsProcess">Whether signals of this process stop the server, and its log goes to standard error.</param>
    /// <param name="time">The clock of everything that is stored; null: the system's.</param>
    /// <param name="logging">Where the log goes when the process is not the server's own; null: nowhere.</param>
    public static WebApplication Build(ServeOptions options, bool ownsProcess, TimeProvider? time = null, Action<ILoggingBuilder>? logging = null)
    {
        // Decision: an empty builder. The usual one also reads appsettings.json and ASPNETCORE_*, ways to change the server that no help text names.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "continual", EnvironmentName = Environments.Production });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            ListenEndpoint endpoint = options.Endpoint();
            kestrel.Listen(endpoint.Address, endpoint.Port);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.MaxBody;
        });
        if (ownsProcess)
        {
            builder.Logging.AddSimpleConsole(static console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss ";
                console.ColorBehavior = LoggerColorBehavior.Disabled;
            });
            builder.Services.Configure<ConsoleLoggerOptions>(static console => console.LogToStandardErrorThreshold = LogLevel.Trace);
            builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
            // The commands tell of a failed start themselves, in one line.
            builder.Logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        }
        logging?.Invoke(builder.Logging);
        builder.Services.AddRoutingCore();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.DrainTimeout + TimeSpan.FromSeconds(10));
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(new ApiKeyStore(options.Data));
        builder.Services.AddSingleton<ServerState>();
        builder.Services.AddSingleton<ServerMetrics>();
        builder.Services.AddSingleton<KeyGate>();
        builder.Services.AddSingleton(time ?? TimeProvider.System);
        builder.Services.AddSingleton(static services => SignalParts.Build(
            services.GetRequiredService<ServeOptions>(), services.GetRequiredService<ILoggerFactory>(), services.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<SignalHub>();
        builder.Services.AddHostedService<ModelLoader>();
        builder.Services.AddHostedService<CalibrationService>();
        builder.Services.AddHostedService<TeacherService>();
        builder.Services.AddHostedService<RetentionService>();
        builder.Services.AddSingleton<CycleService>();
        builder.Services.AddHostedService(static services => services.GetRequiredService<CycleService>());
        if (ownsProcess)
        {
            builder.Services.AddSingleton<IHostLifetime, SignalLifetime>();
        }
        else
        {
            builder.Services.AddSingleton<IHostLifetime, EmbeddedLifetime>();
        }
        WebApplication app = builder.Build();
        try
        {
            // Made here and not by the first request: a wrong setting or a store that can't be opened ends the start.
            app.Services.GetRequiredService<SignalHub>();
        }
        catch
        {
            ((IDisposable)app).Dispose();
            throw;
        }
        ApiKeyStore keys = app.Services.GetRequiredService<ApiKeyStore>();
        keys.ReloadFailed = e => KeysNotReloaded(app.Logger, e.Message);
        if (options.KeysInForce && keys.IsEmpty)
        {
            NoKeysYet(app.Logger, options.Data);
        }
        app.Use(static next => http => RequestPipeline.InvokeAsync(http, next));
        app.UseRouting();
        KeyGate gate = app.Services.GetRequiredService<KeyGate>();
        app.Use(next => http => gate.InvokeAsync(http, next));
        app.MapOpenAi();
        app.MapFeedback();
        app.MapAdapters();
        app.MapReport();
        app.MapStore();
        app.MapCycles();
        app.MapHealth();
        return app;
    }

    /// <summary>Where a started server listens, with the port that the system chose.</summary>
    public static Uri AddressOf(WebApplication app)
    {
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        UriBuilder uri = new(address);
        if (IPAddress.TryParse(uri.Host.Trim('[', ']'), out IPAddress? ip) && (ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any)))
        {
            uri.Host = ip.Equals(IPAddress.Any) ? "127.0.0.1" : "[::1]";
        }
        return uri.Uri;
    }

    [LoggerMessage(1101, LogLevel.Warning, "{Reason} The keys read before stay in force.")]
    private static partial void KeysNotReloaded(ILogger logger, string reason);

    [LoggerMessage(1102, LogLevel.Warning, "An API key is required and none exists: create one with 'continual keys create --data {Data}'. The server notices it by itself.")]
    private static partial void NoKeysYet(ILogger logger, string data);
}
