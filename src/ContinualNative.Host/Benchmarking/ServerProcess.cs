using System.Diagnostics;
using System.Text.Json;

namespace ContinualNative.Host.Benchmarking;

/// <summary>A <c>continual serve</c> of our own in a process of its own, on a port that the system chooses.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private readonly Process _process;

    private ServerProcess(Process process, Uri address, string model)
    {
        _process = process;
        Address = address;
        Model = model;
    }

    public Uri Address { get; }

    public string Model { get; }

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Starts it and waits until the model is loaded; throws <see cref="InvalidOperationException"/> with its last words.</summary>
    public static async Task<ServerProcess> StartAsync(IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "continual.dll"));
        }
        foreach (string argument in (IEnumerable<string>)["serve", "--listen", "http://127.0.0.1:0", "--json", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }
        Process process = Process.Start(start) ?? throw new InvalidOperationException("the server's process did not start");
        Queue<string> log = new();
        process.ErrorDataReceived += (_, e) =>
        {
            lock (log)
            {
                if (e.Data is { Length: > 0 } line)
                {
                    log.Enqueue(line);
                    while (log.Count > 5)
                    {
                        log.Dequeue();
                    }
                }
            }
        };
        process.BeginErrorReadLine();
        string? started = await process.StandardOutput.ReadLineAsync(cancellationToken);
        if (started is null)
        {
            await process.WaitForExitAsync(cancellationToken);
            lock (log)
            {
                throw new InvalidOperationException($"the server ended with code {process.ExitCode}: {string.Join(" / ", log)}");
            }
        }
        using JsonDocument json = JsonDocument.Parse(started);
        return new ServerProcess(process, new Uri(json.RootElement.GetProperty("listening").GetString()!), json.RootElement.GetProperty("model").GetString()!);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }
        _process.Dispose();
    }
}
