using ContinualNative.Storage;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class BackupTests
{
    [Fact]
    public async Task A_backup_made_while_writing_goes_on_is_one_consistent_state()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(2000);
        using CancellationTokenSource enough = new();
        Task writing = Task.Run(async () =>
        {
            for (int i = 2001; !enough.IsCancellationRequested; i++)
            {
                await fixture.Store.RecordAsync(Request(i));
                await fixture.Store.RecordAsync(Label(i));
            }
        });
        string path = Path.Combine(fixture.Folder, "backup.db");
        await fixture.Store.BackUpAsync(path);
        await enough.CancelAsync();
        await writing;
        await using (TrafficStore backup = TrafficStore.Open(fixture.Options with { Path = path }))
        {
            Assert.Empty(backup.Check());
            long requests = backup.Traffic(DateOnly.MinValue, DateOnly.MaxValue).Sum(t => t.Requests);
            Assert.True(requests >= 2000);
            Assert.Equal(requests, backup.Statistics.Requests);
            Assert.NotNull(backup.Find(Id((int)requests)));
            Assert.Null(backup.Find(Id((int)requests + 1)));
        }
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        }
    }

    [Fact]
    public async Task A_backup_replaces_nothing_and_leaves_nothing_half_done()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        string path = Path.Combine(fixture.Folder, "there");
        await File.WriteAllTextAsync(path, "mine", TestContext.Current.CancellationToken);
        Assert.Equal(StoreError.Inaccessible, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.BackUpAsync(path))).Error);
        Assert.Equal("mine", await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken));
        Assert.Equal(StoreError.Inaccessible, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.BackUpAsync(Path.Combine(fixture.Folder, "no", "such", "folder")))).Error);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fixture.Store.BackUpAsync(Path.Combine(fixture.Folder, "cancelled"), new CancellationToken(true)));
        Assert.DoesNotContain(Directory.GetFiles(fixture.Folder), f => f.Contains("partial", StringComparison.Ordinal) || f.Contains("cancelled", StringComparison.Ordinal));
    }
}
