using System.Diagnostics;
using System.Text;

namespace ContinualNative.HostTests.Commands;

/// <summary>The built executable as a process of its own.</summary>
internal sealed class ContinualProcess : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _error = new();

    public ContinualProcess(params IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "continual.exe" : "continual"), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = Path.GetTempPath(),
        };
        start.Environment.Remove("CONTINUAL_TEST_KEY");
        _process = Process.Start(start)!;
        Reading = Task.WhenAll(ReadAsync(_process.StandardOutput, _output), ReadAsync(_process.StandardError, _error));
    }

    public StreamWriter Input => _process.StandardInput;

    public int Id => _process.Id;

    public string Output => Text(_output);

    public string Error => Text(_error);

    private Task Reading { get; }

    /// <summary>Runs to the end with some input.</summary>
    public static async Task<(int Code, string Output, string Error)> RunAsync(string input, params IEnumerable<string> arguments)
    {
        using ContinualProcess process = new(arguments);
        await process.Input.WriteAsync(input);
        process.Input.Close();
        return await process.EndAsync();
    }

    public async Task<(int Code, string Output, string Error)> EndAsync()
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(3));
        await _process.WaitForExitAsync(limit.Token);
        await Reading;
        return (_process.ExitCode, Output, Error);
    }

    /// <summary>Ends the process as <c>kill -9</c> does; false if it had ended by itself before.</summary>
    public async Task<bool> KillAfterAsync(TimeSpan delay)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(delay);
        try
        {
            await _process.WaitForExitAsync(limit.Token);
            return false;
        }
        catch (OperationCanceledException) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            _process.Kill();
            await _process.WaitForExitAsync(TestContext.Current.CancellationToken);
            return true;
        }
    }

    /// <summary>The same, as soon as something holds.</summary>
    public async Task<bool> KillOnceAsync(Func<bool> holds)
    {
        while (!holds() && !_process.HasExited)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
        return await KillAfterAsync(TimeSpan.Zero);
    }

    /// <summary>The lines of an error stream that are no progress, which a slow machine brings about.</summary>
    public static IReadOnlyList<string> WithoutProgress(string error) =>
        [.. error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(static l => !l.StartsWith("loading the model: ", StringComparison.Ordinal) && !l.StartsWith("evaluating: ", StringComparison.Ordinal))];

    /// <summary>A file beside the checkout that a user's clone does not have; skips the test where there is none.</summary>
    public static string SharedFile(string relative)
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "ContinualNative.sln")))
        {
            directory = directory.Parent;
        }
        string path = Path.GetFullPath(Path.Combine(directory!.FullName, "..", "shared", relative));
        if (!File.Exists(path))
        {
            Assert.Skip("skipped: no ../shared");
        }
        return path;
    }

    /// <summary>Waits until something holds.</summary>
    public static async Task UntilAsync(Func<bool> holds, string what)
    {
        for (Stopwatch watch = Stopwatch.StartNew(); !holds(); await Task.Delay(20, TestContext.Current.CancellationToken))
        {
            Assert.True(watch.Elapsed < TimeSpan.FromMinutes(2), $"waited in vain: {what}");
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }
        _process.Dispose();
    }

    private static async Task ReadAsync(StreamReader reader, StringBuilder into)
    {
        char[] buffer = new char[256];
        for (int read; (read = await reader.ReadAsync(buffer)) > 0;)
        {
            lock (into)
            {
                into.Append(buffer, 0, read);
            }
        }
    }

    private static string Text(StringBuilder builder)
    {
        lock (builder)
        {
            return builder.ToString();
        }
    }
}
