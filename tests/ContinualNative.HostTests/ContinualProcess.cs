using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;

namespace ContinualNative.HostTests;

/// <summary>The executable as a process of its own.</summary>
internal sealed class ContinualProcess : IDisposable
{
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _errors = new();
    private readonly Task _errorsRead;

    public ContinualProcess(params string[] args)
    {
        ProcessStartInfo start = new(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "continual.dll"));
        foreach (string arg in args)
        {
            start.ArgumentList.Add(arg);
        }
        _process = Process.Start(start)!;
        _errorsRead = Task.Run(async () =>
        {
            while (await _process.StandardError.ReadLineAsync() is { } line)
            {
                _errors.Enqueue(line);
            }
        });
    }

    public int Id => _process.Id;

    public string Errors => string.Join('\n', _errors);

    /// <summary>Runs to its end; exit code, standard output, standard error.</summary>
    public static async Task<(int Exit, string Output, string Errors)> RunAsync(params string[] args)
    {
        using ContinualProcess process = new(args);
        string output = await process._process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        return (await process.ExitAsync(), output, process.Errors);
    }

    /// <summary>The startup line of <c>serve --json</c>.</summary>
    public async Task<JsonElement> StartedAsync()
    {
        string? line = await _process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        Assert.True(line is not null, Errors);
        using JsonDocument document = JsonDocument.Parse(line);
        return document.RootElement.Clone();
    }

    /// <summary>Asks it to stop, as a supervisor does.</summary>
    public void Terminate()
    {
        using Process kill = Process.Start("kill", ["-TERM", _process.Id.ToString()]);
        kill.WaitForExit();
    }

    /// <summary>Ends it in the middle of whatever it does (SIGKILL).</summary>
    public void Kill()
    {
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
    }

    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        await _errorsRead;
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }
        _process.Dispose();
    }
}
