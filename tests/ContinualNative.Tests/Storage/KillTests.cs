using System.Diagnostics;
using System.Globalization;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage;

namespace ContinualNative.Tests.Storage;

public sealed class KillTests
{
    private const int Seed = 11;

    private static int Kills => int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_KILLS"), CultureInfo.InvariantCulture, out int asked) ? asked : 3;

    /// <summary>Three kills, or as many as <c>CONTINUAL_KILLS</c> says, one after the other on the same file.</summary>
    [Fact]
    public async Task A_killed_process_loses_no_acknowledged_outcome()
    {
        int kills = Kills;
        string folder = Directory.CreateTempSubdirectory("continual-kill-").FullName;
        string path = Path.Combine(folder, "traffic.db");
        Random random = new(Seed);
        long acknowledged = 0;
        for (int kill = 1; kill <= kills; kill++)
        {
            List<string> ids = await RunAndKillAsync(path, (kill * 1_000_000_000L).ToString(CultureInfo.InvariantCulture), TimeSpan.FromMilliseconds(random.Next(0, 400)));
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

    /// <summary>As many kills, in whatever state the cycles are: each process takes up what the one before it left.</summary>
    [Fact]
    public async Task A_killed_process_loses_no_state_of_a_cycle_and_promotes_nothing_by_accident()
    {
        string folder = Directory.CreateTempSubdirectory("continual-kill-").FullName;
        string path = Path.Combine(folder, "traffic.db");
        Random random = new(Seed);
        for (int kill = 1; kill <= Kills; kill++)
        {
            List<string> told = await RunAndKillAsync(path, "cycles", TimeSpan.FromMilliseconds(random.Next(0, 200)));
            await using TrafficStore store = TrafficStore.Open(new StoreOptions { Path = path });
            Assert.Empty(store.Check());
            foreach (string[] words in told.Select(t => t.Split(' ')))
            {
                Assert.True((int)store.Cycle(long.Parse(words[0], CultureInfo.InvariantCulture))!.State >= int.Parse(words[1], CultureInfo.InvariantCulture), string.Join(' ', words));
            }
            MustAgree(store);
        }
        Directory.Delete(folder, recursive: true);
    }

    // States of cycles, promotions and adapters as one: whatever a kill left, no transaction is there by half.
    private static void MustAgree(TrafficStore store)
    {
        IReadOnlyList<CycleRecord> cycles = store.Cycles(int.MaxValue);
        IReadOnlyList<PromotionRecord> promotions = store.Promotions(int.MaxValue);
        Assert.Equal(Enumerable.Range(1, cycles.Count).Reverse().Select(i => (long)i), cycles.Select(c => c.Id));
        Assert.All(cycles.Skip(1), c => Assert.False(c.IsActive));
        Assert.Equal(cycles.Where(c => c.State == CycleState.Promoted).Select(c => (long?)c.Id), promotions.Select(p => p.Cycle));
        Assert.Equal(promotions.Take(1).Select(p => p.Adapter), store.Adapters().Where(a => a.Status == AdapterStatus.Champion).Select(a => a.Id));
        foreach (CycleRecord cycle in cycles)
        {
            Assert.True(cycle.State < CycleState.Training || store.Dataset(cycle.Id)!.Value.Examples.Count == 200);
            Assert.True(cycle.State < CycleState.Evaluating || store.Adapter(cycle.Candidate) is not null);
            Assert.True(cycle.State < CycleState.Shadow || store.Evaluations(cycle.Candidate).Count == 1);
        }
    }

    // What the process told before it was killed, some time after the first line.
    private static async Task<List<string>> RunAndKillAsync(string path, string work, TimeSpan after)
    {
        string program = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "ContinualNative.StoreCrash.exe" : "ContinualNative.StoreCrash");
        using Process process = Process.Start(new ProcessStartInfo(program, [path, work]) { RedirectStandardOutput = true })!;
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
