using System.Diagnostics;
using System.Globalization;
using ContinualNative.Storage;

namespace ContinualNative.Tests.Storage;

public sealed class KillTests
{
    private const int Seed = 11;

    /// <summary>Three kills, or as many as <c>CONTINUAL_KILLS</c> says, one after the other on the same file.</summary>
    [Fact]
    public async Task A_killed_process_loses_no_acknowledged_outcome()
    {
        int kills = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_KILLS"), CultureInfo.InvariantCulture, out int asked) ? asked : 3;
        string folder = Directory.CreateTempSubdirectory("continual-kill-").FullName;
        string path = Path.Combine(folder, "traffic.db");
        Random random = new(Seed);
        long acknowledged = 0;
        for (int kill = 1; kill <= kills; kill++)
        {
            List<string> ids = await RunAndKillAsync(path, first: kill * 1_000_000_000L, TimeSpan.FromMilliseconds(random.Next(0, 400)));
            Assert.NotEmpty(ids);
            acknowledged += ids.Count;
            await using TrafficStore store = TrafficStore.Open(new StoreOptions { Path = path });
            Assert.Empty(store.Check());
            foreach (string id in ids)
            {
                StoredRequest? stored = store.Find(id);
                Assert.True(stored is not null, $"Kill {kill} lost request {id}.");
                Assert.Equal("Correction of " + id, Assert.Single(stored.Outcomes).Correction);
            }
            // All of a batch or nothing: totals and counts agree with what is there.
            Assert.Equal(store.Statistics.Requests, store.Traffic(DateOnly.MinValue, DateOnly.MaxValue).Sum(t => t.Requests));
            Assert.True(store.Statistics.Outcomes >= acknowledged);
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{kills} kills, {acknowledged} acknowledged outcomes, none lost.");
        Directory.Delete(folder, recursive: true);
    }

    // Ids of the outcomes that were acknowledged before the process was killed, some time after the first of them.
    private static async Task<List<string>> RunAndKillAsync(string path, long first, TimeSpan after)
    {
        string program = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "ContinualNative.StoreCrash.exe" : "ContinualNative.StoreCrash");
        using Process process = Process.Start(new ProcessStartInfo(program, [path, first.ToString(CultureInfo.InvariantCulture)]) { RedirectStandardOutput = true })!;
        try
        {
            List<string> ids = [];
            string? line = await process.StandardOutput.ReadLineAsync();
            Task killing = Task.Run(async () =>
            {
                await Task.Delay(after);
                process.Kill();
            });
            for (; line is not null; line = await process.StandardOutput.ReadLineAsync())
            {
                ids.Add(line);
            }
            await killing;
            await process.WaitForExitAsync();
            Assert.NotEqual(0, process.ExitCode);
            return ids;
        }
        finally
        {
            process.Kill();
        }
    }
}
