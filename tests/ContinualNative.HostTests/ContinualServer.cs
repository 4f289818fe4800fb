using System.Collections;
using System.CommandLine;
using ContinualNative.Engine;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace ContinualNative.HostTests;

/// <summary>The real server in this process, on a free port of the loopback address, with a data folder of its own.</summary>
public sealed class ContinualServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly bool _ownsData;

    private ContinualServer(WebApplication app, string data, bool ownsData)
    {
        _app = app;
        _ownsData = ownsData;
        DataDirectory = data;
        BaseAddress = ServerBuilder.AddressOf(app);
        Client = new HttpClient { BaseAddress = BaseAddress, Timeout = TimeSpan.FromMinutes(2) };
    }

    public Uri BaseAddress { get; }

    public HttpClient Client { get; }

    public string DataDirectory { get; }

    internal ServerState State => _app.Services.GetRequiredService<ServerState>();

    internal SignalHub Signal => _app.Services.GetRequiredService<SignalHub>();

    internal CycleService Cycles => _app.Services.GetRequiredService<CycleService>();

    public InferenceEngine Engine => State.Model.Engine;

    /// <summary>Starts <c>continual serve --model ...</c> and waits until it is ready. <paramref name="args"/> are further flags.</summary>
    public static Task<ContinualServer> StartAsync(string modelPath, params string[] args) => StartAsync(modelPath, null, args);

    /// <summary>The same; <paramref name="before"/> is given the services before anything runs.</summary>
    internal static async Task<ContinualServer> StartAsync(string modelPath, Action<IServiceProvider>? before, string[] args)
    {
        bool ownsData = !args.Contains("--data");
        string data = ownsData ? Directory.CreateTempSubdirectory("continual-test-").FullName : args[Array.IndexOf(args, "--data") + 1];
        List<string> all = ["serve", "--model", modelPath, .. args];
        if (!args.Contains("--listen"))
        {
            all.AddRange(["--listen", "http://127.0.0.1:0"]);
        }
        // Tests run side by side: threads that wait for each other at every product would wait for the other tests' too, hundreds of times as long.
        if (!args.Contains("--threads"))
        {
            all.AddRange(["--threads", "1"]);
        }
        if (ownsData)
        {
            all.AddRange(["--data", data]);
        }
        ParseResult parsed = CommandLine.Root().Parse(all);
        Assert.Empty(parsed.Errors);
        ServeOptions options = ServeSettings.Read(parsed, null, new Hashtable());
        options.Validate();
        WebApplication app = ServerBuilder.Build(options, ownsProcess: false);
        try
        {
            before?.Invoke(app.Services);
            await app.StartAsync();
            await app.Services.GetRequiredService<ServerState>().Ready.WaitAsync(TimeSpan.FromMinutes(2));
            return new ContinualServer(app, data, ownsData);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
    }

    /// <summary>Begins to stop as a signal would; completes when the server has drained.</summary>
    public Task StopAsync() => _app.StopAsync();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        if (_ownsData)
        {
            Directory.Delete(DataDirectory, recursive: true);
        }
    }
}
