using System.ComponentModel;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;

namespace ContinualNative.HostTests.Clients;

/// <summary>The scripts of the folder <c>node</c>, laid beside the tests, with the packages that their lock file names.</summary>
internal static class NodeProject
{
    private static readonly SemaphoreSlim Preparing = new(1);

    private static string Folder => Path.Combine(AppContext.BaseDirectory, "node");

    /// <summary>Runs a script that tells of its cases in lines of JSON; writes them to the test's output and fails with those that failed.</summary>
    public static async Task RunCasesAsync(string script, object argument)
    {
        await PrepareAsync();
        (int exit, string output, string errors) = await RunAsync("node", [script, JsonSerializer.Serialize(argument)]);
        List<string> failures = [];
        int cases = 0;
        foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonElement result = document.RootElement;
            string name = result.GetProperty("case").GetString()!;
            bool ok = result.GetProperty("ok").GetBoolean();
            cases++;
            TestContext.Current.TestOutputHelper?.WriteLine($"{(ok ? "passed" : "FAILED")}  {name}  ({result.GetProperty("milliseconds").GetInt32()} ms)");
            if (!ok)
            {
                failures.Add($"{name}: {result.GetProperty("error").GetString()}");
            }
        }
        Assert.True(failures.Count == 0, string.Join("\n\n", failures));
        Assert.True(exit == 0 && cases > 0, $"{script} ended with {exit} after {cases} cases: {errors}");
    }

    /// <summary>Fetches the packages once: while the stamp holds the lock file's hash there is nothing to do. Skips the test where npm is missing.</summary>
    private static async Task PrepareAsync()
    {
        await Preparing.WaitAsync(TestContext.Current.CancellationToken);
        try
        {
            string modules = Path.Combine(Folder, "node_modules");
            string stamp = Path.Combine(modules, ".stamp");
            string hash = Convert.ToHexString(SHA256.HashData([.. await File.ReadAllBytesAsync(Path.Combine(Folder, "package.json")), .. await File.ReadAllBytesAsync(Path.Combine(Folder, "package-lock.json"))]));
            if (File.Exists(stamp) && await File.ReadAllTextAsync(stamp) == hash)
            {
                return;
            }
            int exit;
            string errors;
            try
            {
                // npm is a .cmd on Windows, which only a shell starts.
                string[] ci = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
                (exit, _, errors) = OperatingSystem.IsWindows() ? await RunAsync("cmd", ["/c", "npm", .. ci]) : await RunAsync("npm", ci);
            }
            catch (Win32Exception)
            {
                Assert.Skip("skipped: no npm");
                return;
            }
            if (OperatingSystem.IsWindows() && exit == 9009)
            {
                Assert.Skip("skipped: no npm");
            }
            Assert.True(exit == 0, $"npm ci ended with {exit}: {errors}");
            await File.WriteAllTextAsync(stamp, hash);
        }
        finally
        {
            Preparing.Release();
        }
    }

    private static async Task<(int Exit, string Output, string Errors)> RunAsync(string program, IEnumerable<string> args)
    {
        ProcessStartInfo start = new(program, args) { WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(5));
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', args)} did not end: {await output}{await errors}");
        }
        return (process.ExitCode, await output, await errors);
    }
}
