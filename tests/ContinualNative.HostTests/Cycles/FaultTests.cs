using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.HostTests.Signal;

namespace ContinualNative.HostTests.Cycles;

/// <summary>What breaks under a cycle: the disk, adapters' files, the teacher. The server goes on with its champion, and the cycle says what is wrong.</summary>
[Collection(CycleCollection.Name)]
public sealed class FaultTests(CycleFixture fixture)
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("adapters")]
    [InlineData("cycles")]
    public async Task Without_a_place_for_its_files_a_cycle_fails_with_a_remedy_and_the_next_one_works(string folder)
    {
        string data = await fixture.TaughtAsync();
        string place = Path.Combine(data, folder);
        try
        {
            await File.WriteAllTextAsync(place, "", Cancelled);
            await using ContinualServer server = await fixture.StartAsync(data, """{"shadow_least":0,"canary_requests":0}""");
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.Equal(CycleState.Failed, cycle.State);
            Assert.Contains(place, cycle.Outcome, StringComparison.Ordinal);
            Assert.Matches("Make room|Free some space", cycle.Outcome);
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            File.Delete(place);
            cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
            await server.UntilChampionAsync(cycle.Candidate);
            CycleCalls.CheckPromotions(server.Signal.Store!);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Theory]
    [InlineData("adapters", 16)]
    [InlineData("cycles", 64)]
    public async Task A_full_disk_in_training_fails_the_cycle_and_not_the_server(string folder, int kibibytes)
    {
        string data = await fixture.TaughtAsync();
        string place = Path.Combine(data, folder);
        Directory.CreateDirectory(place);
        if (await RunAsync("mount", "-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={kibibytes}k"), "continual-test", place) != 0)
        {
            CycleFixture.Delete(data);
            Assert.Skip("no permission to mount a small file system");
        }
        try
        {
            await using ContinualServer server = await fixture.StartAsync(data);
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.Equal(CycleState.Failed, cycle.State);
            TestContext.Current.TestOutputHelper?.WriteLine(cycle.Outcome);
            Assert.Contains(place, cycle.Outcome, StringComparison.Ordinal);
            Assert.Matches("Make room|Free some space", cycle.Outcome);
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            Assert.Empty(server.Signal.Store!.Promotions(10));
        }
        finally
        {
            Assert.Equal(0, await RunAsync("umount", place));
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_candidate_whose_file_breaks_before_the_canary_never_answers()
    {
        string data = await fixture.TaughtAsync();
        try
        {
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                await server.UntilAsync(await server.BeginCycleAsync(), static c => c.State >= CycleState.Shadow);
            }
            Truncate(Path.Combine(data, "adapters", "c1.gguf"));
            await using (ContinualServer server = await fixture.StartAsync(data))
            {
                CycleRecord cycle = await server.UntilEndedAsync(1);
                Assert.Equal(CycleState.Failed, cycle.State);
                Assert.Contains("The file of adapter 'c1' is not what it was", cycle.Outcome, StringComparison.Ordinal);
                Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
                Assert.Empty(server.Signal.Store!.Promotions(10));
            }
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task A_champion_whose_file_breaks_gives_way_to_the_one_before_and_cycles_go_on_from_there()
    {
        string data = await fixture.ChampionAsync();
        try
        {
            await using (ContinualServer before = await fixture.StartAsync(data))
            {
                // One that was taken back is not what to fall back to.
                Assert.Equal(201, (await before.PostAsync("/admin/adapters", JsonSerializer.Serialize(new { id = "bad", path = fixture.Files.Adapter }))).Status);
                Assert.Equal(200, (await before.PostAsync("/admin/adapters/bad/promote", "{}")).Status);
                Assert.Equal(200, (await before.PostAsync("/admin/rollback", "")).Status);
            }
            Truncate(Path.Combine(data, "adapters", "c1.gguf"));
            await using ContinualServer server = await fixture.StartAsync(data, """{"shadow_least":0,"canary_requests":0}""");
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            PromotionRecord fall = server.Signal.Store!.LastPromotion()!;
            Assert.Equal(("base", "c1", PromotionReason.Rollback), (fall.Adapter, fall.Previous, fall.Reason));
            Assert.Contains("The file of adapter 'c1'", fall.Evidence, StringComparison.Ordinal);
            await server.TeachAsync(fixture);
            CycleRecord cycle = await server.UntilEndedAsync(await server.BeginCycleAsync());
            Assert.True(cycle.State == CycleState.Promoted, cycle.Outcome);
            await server.UntilChampionAsync("c2");
            Assert.Equal(("c2", CycleFixture.Right), await server.AskNewAsync(fixture));
            CycleCalls.CheckPromotions(server.Signal.Store!);
        }
        finally
        {
            CycleFixture.Delete(data);
        }
    }

    [Fact]
    public async Task Without_its_teacher_the_gate_goes_by_what_it_has()
    {
        const int Labels = 6;
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            // Nothing is audited: the gate asks the teacher itself, about what is held out.
            await using ContinualServer server = await fixture.StartAsync(data, """{"gate_labels":100,"shadow_hours":0.0003}""", "--audit", "0", "--holdout", "0.5", "--teach-per-day", "1");
            await server.TeachAsync(fixture, train: 30, judged: 40);
            Func<string, CancellationToken, Task<bool>> ask = server.Signal.AskTeacher;
            int asked = 0;
            server.Signal.AskTeacher = (request, cancel) =>
            {
                if (Interlocked.Increment(ref asked) > Labels)
                {
                    fixture.Teacher.Fail(new SimulatedFailures { RefuseRate = 1, RefuseStatus = 503 });
                }
                return ask(request, cancel);
            };
            long id = await server.BeginCycleAsync();
            CycleRecord cycle = await server.UntilEndedAsync(id);
            Assert.Equal(CycleState.Rejected, cycle.State);
            Assert.Contains("Too few to tell", cycle.Outcome, StringComparison.Ordinal);
            GateVerdict verdict = GateVerdictJson.Read(server.Signal.Store!.Evaluations("c1")[^1].Json);
            Assert.Equal(Labels, verdict.Fresh);
            Assert.Equal("base", (await server.AskNewAsync(fixture)).Adapter);
            Assert.Empty(server.Signal.Store!.Promotions(10));
        }
        finally
        {
            fixture.Teacher.Fail(null);
            CycleFixture.Delete(data);
        }
    }

    private static void Truncate(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Write);
        file.SetLength(file.Length / 2);
    }

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            await process.WaitForExitAsync();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }
}
