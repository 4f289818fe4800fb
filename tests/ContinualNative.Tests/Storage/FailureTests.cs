using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using ContinualNative.Storage.Schema;
using Microsoft.Data.Sqlite;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

/// <summary>Files that cannot be opened, and disks and locks that fail while the store runs.</summary>
public sealed class FailureTests
{
    [Fact]
    public async Task A_database_of_a_newer_version_is_refused_and_left_alone()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(1);
        await fixture.Store.DisposeAsync();
        Execute(fixture.Options.Path, $"PRAGMA user_version = {Migrations.All[^1].Version + 1}");
        StoreException e = Assert.Throws<StoreException>(() => TrafficStore.Open(fixture.Options));
        Assert.Equal(StoreError.NewerVersion, e.Error);
        Assert.Contains("newer program", e.Message);
        Execute(fixture.Options.Path, $"PRAGMA user_version = {Migrations.All[^1].Version}");
        await fixture.ReopenAsync();
        Assert.NotNull(fixture.Store.Find(Id(1)));
    }

    [Fact]
    public void A_file_that_is_no_database_or_another_programs_is_refused_and_left_alone()
    {
        string folder = Directory.CreateTempSubdirectory("continual-store-").FullName;
        string text = Path.Combine(folder, "text.db");
        File.WriteAllText(text, string.Concat(Enumerable.Repeat("This is no database. ", 100)));
        string foreign = Path.Combine(folder, "foreign.db");
        Execute(foreign, "CREATE TABLE theirs (x)", create: true);
        foreach (string path in (string[])[text, foreign])
        {
            byte[] before = File.ReadAllBytes(path);
            Assert.Equal(StoreError.Damaged, Assert.Throws<StoreException>(() => TrafficStore.Open(new StoreOptions { Path = path })).Error);
            Assert.Equal(before, File.ReadAllBytes(path));
        }
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_damaged_file_is_found_out()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(500);
        await fixture.Store.DisposeAsync();
        using (FileStream file = File.OpenWrite(fixture.Options.Path))
        {
            file.Position = 4096;
            file.Write(new byte[8 * 4096]);
        }
        StoreException e = Assert.Throws<StoreException>(() =>
        {
            TrafficStore store = TrafficStore.Open(fixture.Options);
            if (store.Check() is { Count: > 0 } problems)
            {
                throw new StoreException(StoreError.Damaged, problems[0]);
            }
        });
        Assert.Equal(StoreError.Damaged, e.Error);
    }

    [Fact]
    public void A_folder_in_its_place_a_read_only_file_and_a_read_only_folder_are_told_apart()
    {
        string folder = Directory.CreateTempSubdirectory("continual-store-").FullName;
        StoreException inPlace = Assert.Throws<StoreException>(() => TrafficStore.Open(new StoreOptions { Path = folder }));
        Assert.Equal(StoreError.Inaccessible, inPlace.Error);
        Assert.Contains("is a folder", inPlace.Message);

        string path = Path.Combine(folder, "traffic.db");
        File.WriteAllBytes(path, []);
        File.SetAttributes(path, FileAttributes.ReadOnly);
        StoreException readOnly = Assert.Throws<StoreException>(() => TrafficStore.Open(new StoreOptions { Path = path }));
        Assert.Equal(StoreError.Inaccessible, readOnly.Error);
        Assert.Contains("read-only", readOnly.Message);
        File.SetAttributes(path, FileAttributes.Normal);
        File.Delete(path);

        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserExecute);
            StoreException closed = Assert.Throws<StoreException>(() => TrafficStore.Open(new StoreOptions { Path = path }));
            Assert.Equal(StoreError.Inaccessible, closed.Error);
            Assert.Contains("folder", closed.Message);
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Files_are_their_owners_only()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no modes");
            return;
        }
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(3);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(fixture.Folder));
        string[] files = Directory.GetFiles(fixture.Folder);
        Assert.Contains(fixture.Options.Path + "-wal", files);
        foreach (string file in files)
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        }
    }

    [Fact]
    public async Task A_locked_database_cannot_be_opened_for_the_first_time()
    {
        await using StoreFixture fixture = Open();
        await fixture.Store.DisposeAsync();
        File.Delete(fixture.Options.Path);
        using SqliteConnection other = Connect(fixture.Options.Path, create: true);
        Run(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (y);");
        Assert.Equal(StoreError.Locked, Assert.Throws<StoreException>(() => TrafficStore.Open(fixture.Options with { BusyTimeout = TimeSpan.FromMilliseconds(20) })).Error);
    }

    [Fact]
    public async Task While_another_process_holds_the_file_feedback_fails_and_traffic_is_kept()
    {
        await using StoreFixture fixture = Open(o => o with { BusyTimeout = TimeSpan.FromMilliseconds(20) });
        await fixture.FillAsync(1);
        using SqliteConnection other = Connect(fixture.Options.Path);
        Run(other, "BEGIN IMMEDIATE");
        await fixture.Store.RecordAsync(Request(2));
        StoreException e = await Assert.ThrowsAsync<StoreException>(() => fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(StoreError.Locked, e.Error);
        Assert.Equal(StoreError.Locked, fixture.Store.Statistics.Failing);
        Assert.Equal(StoreError.Locked, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.FlushAsync())).Error);
        Assert.Equal(1, fixture.Store.Statistics.Queued);
        Assert.Null(fixture.Store.Find(Id(2)));
        Run(other, "COMMIT");
        await RecoverAsync(fixture);
        Assert.NotNull(fixture.Store.Find(Id(2)));
        Assert.Equal(OutcomeVerdict.Stored, await fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(0, fixture.Store.Statistics.Dropped);
    }

    [Fact]
    public async Task On_a_full_disk_what_is_queued_is_kept_and_what_finds_no_room_is_dropped_and_counted()
    {
        await using StoreFixture fixture = Open(o => o with { QueueCapacity = 16, BatchSize = 4 });
        await fixture.FillAsync(4);
        // A limit of SQLite's own stands for the disk's: both are told as SQLITE_FULL, and this one can be lifted.
        fixture.Store.MostPages = 1;
        RequestRecord large = Request(5) with { Prompt = Noise(200_000) };
        await fixture.Store.RecordAsync(large);
        while (fixture.Store.Statistics.Failing is null)
        {
            await Task.Yield();
        }
        Assert.Equal(StoreError.DiskFull, fixture.Store.Statistics.Failing);
        for (int i = 6; i <= 30; i++)
        {
            ValueTask recorded = fixture.Store.RecordAsync(Request(i));
            Assert.True(recorded.IsCompletedSuccessfully);
        }
        Assert.Equal(StoreError.DiskFull, (await Assert.ThrowsAsync<StoreException>(() => fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)))).Error);
        Assert.Equal((16, 10), (fixture.Store.Statistics.Queued, fixture.Store.Statistics.Dropped));
        Assert.NotNull(fixture.Store.Find(Id(4)));
        fixture.Store.MostPages = 0;
        await RecoverAsync(fixture);
        await fixture.Store.FlushAsync();
        Assert.Equal(20, fixture.Store.Statistics.Requests);
        Assert.NotNull(fixture.Store.Find(Id(20)));
        Assert.Null(fixture.Store.Find(Id(21)));
        Assert.Empty(fixture.Store.Check());
    }

    [Fact]
    public async Task Who_waits_for_room_is_let_go_when_writing_begins_to_fail()
    {
        await using StoreFixture fixture = Open(o => o with { QueueCapacity = 2, BatchSize = 2, BusyTimeout = TimeSpan.FromMilliseconds(200) });
        using SqliteConnection other = Connect(fixture.Options.Path);
        Run(other, "BEGIN IMMEDIATE");
        await Task.WhenAll(Enumerable.Range(1, 9).Select(i => fixture.Store.RecordAsync(Request(i)).AsTask()));
        Assert.Equal(7, fixture.Store.Statistics.Dropped);
        Run(other, "COMMIT");
        await RecoverAsync(fixture);
        Assert.Equal(2, fixture.Store.Statistics.Requests);
    }

    [Fact]
    public async Task Closing_while_the_file_is_held_ends_and_says_what_was_lost()
    {
        StoreFixture fixture = Open(o => o with { BusyTimeout = TimeSpan.FromMilliseconds(20) });
        using SqliteConnection other = Connect(fixture.Options.Path);
        Run(other, "BEGIN IMMEDIATE");
        await fixture.Store.RecordAsync(Request(1));
        await fixture.Store.DisposeAsync();
        Assert.Equal(1, fixture.Store.Statistics.Dropped);
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await fixture.Store.RecordAsync(Request(2)));
        Run(other, "COMMIT");
        await fixture.DisposeAsync();
    }

    [Fact]
    public async Task Feedback_is_refused_when_the_queue_is_full_and_records_wait()
    {
        await using StoreFixture fixture = Open(o => o with { QueueCapacity = 4, BatchSize = 64, BatchDelay = TimeSpan.FromHours(1) });
        for (int i = 1; i <= 4; i++)
        {
            await fixture.Store.RecordAsync(Request(i));
        }
        StoreException e = await Assert.ThrowsAsync<StoreException>(() => fixture.Store.AddOutcomeAsync(Outcome(1, OutcomeKind.Accepted)));
        Assert.Equal(StoreError.Overloaded, e.Error);
        Task fifth = fixture.Store.RecordAsync(Request(5)).AsTask();
        Assert.False(fifth.IsCompleted);
        using CancellationTokenSource cancelled = new();
        Task sixth = fixture.Store.RecordAsync(Request(6), cancelled.Token).AsTask();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sixth);
        // The batch waits for company until its time is up.
        while (!fifth.IsCompleted)
        {
            fixture.Time.Advance(TimeSpan.FromHours(1));
            await Task.Yield();
        }
        await fifth;
    }

    [Fact]
    public async Task A_record_that_cannot_be_written_does_not_keep_its_neighbours_from_it()
    {
        await using StoreFixture fixture = Open(o => o with { Cipher = new PickyCipher() });
        await fixture.Store.RecordAsync(Request(1));
        await fixture.Store.RecordAsync(Request(2) with { Prompt = "poison" });
        await fixture.Store.RecordAsync(Request(3));
        await fixture.Store.FlushAsync();
        Assert.Equal([1, 0, 1], Enumerable.Range(1, 3).Select(i => fixture.Store.Find(Id(i)) is null ? 0 : 1));
        Assert.Equal((2, 1), (fixture.Store.Statistics.Requests, fixture.Store.Statistics.Dropped));
        Assert.Null(fixture.Store.Statistics.Failing);
    }

    [Fact]
    public void A_migration_that_fails_leaves_the_version_before_it()
    {
        string folder = Directory.CreateTempSubdirectory("continual-store-").FullName;
        string path = Path.Combine(folder, "traffic.db");
        int newest = Migrations.All[^1].Version;
        Migration bad = new(newest + 1, "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);");
        Assert.Throws<StoreException>(() => DatabaseFile.Prepare(path, TimeSpan.FromSeconds(1), [.. Migrations.All, bad]));
        using (SqliteConnection connection = Connect(path))
        {
            Assert.Equal(((long)newest, 0L), (Number(connection, "PRAGMA user_version"), Number(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'")));
        }
        DatabaseFile.Prepare(path, TimeSpan.FromSeconds(1), [.. Migrations.All, bad with { Sql = "CREATE TABLE half (x);" }]);
        DatabaseFile.Prepare(path, TimeSpan.FromSeconds(1), [.. Migrations.All, bad with { Sql = "CREATE TABLE half (x);" }]);
        using (SqliteConnection connection = Connect(path))
        {
            Assert.Equal((newest + 1L, DatabaseFile.ApplicationId), (Number(connection, "PRAGMA user_version"), (int)Number(connection, "PRAGMA application_id")));
        }
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Migrations_are_numbered_without_gaps() =>
        Assert.Equal(Enumerable.Range(1, Migrations.All.Count), Migrations.All.Select(m => m.Version));

    [Fact]
    public async Task Two_processes_take_turns_and_the_order_is_one()
    {
        await using StoreFixture fixture = Open();
        await using TrafficStore second = TrafficStore.Open(fixture.Options);
        await Task.WhenAll(
            Task.Run(() => FillAsync(fixture.Store, 1, 300)),
            Task.Run(() => FillAsync(second, 1001, 1300)));
        Assert.Equal(Enumerable.Range(1, 600).Select(i => (long)i), fixture.Store.Unlabelled(0, 1000).Select(u => u.Sequence));
        await second.EraseAsync("user-1", null, null);
        await fixture.Store.RecordAsync(Request(2000) with { User = "user-1" });
        await fixture.Store.FlushAsync();
        Assert.Equal(1, (await second.EraseAsync("user-1", null, null)).Requests);
        Assert.Empty(fixture.Store.Check());

        static async Task FillAsync(TrafficStore store, int from, int to)
        {
            for (int i = from; i <= to; i++)
            {
                await store.RecordAsync(Request(i));
            }
            await store.FlushAsync();
        }
    }

    private static string Noise(int length)
    {
        Random random = new(1);
        return string.Create(length, random, static (span, r) => { foreach (ref char c in span) { c = (char)r.Next(32, 127); } });
    }

    // Lets pauses pass until what is queued is written.
    private static async Task RecoverAsync(StoreFixture fixture)
    {
        while (fixture.Store.Statistics.Failing is not null)
        {
            fixture.Time.Advance(TimeSpan.FromSeconds(10));
            await Task.Yield();
        }
    }

    private static void Execute(string path, string sql, bool create = false)
    {
        using SqliteConnection connection = Connect(path, create);
        Run(connection, sql);
    }

    private static SqliteConnection Connect(string path, bool create = false)
    {
        SqliteConnection connection = new(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, Mode = create ? SqliteOpenMode.ReadWriteCreate : SqliteOpenMode.ReadWrite }.ToString());
        connection.Open();
        return connection;
    }

    private static void Run(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private static long Number(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!;
    }

    private sealed class PickyCipher : ITextCipher
    {
        public int KeyVersion => 1;

        public byte[] Encrypt(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> context) =>
            plain.SequenceEqual("poison"u8) ? throw new System.Security.Cryptography.CryptographicException("no") : plain.ToArray();

        public byte[] Decrypt(ReadOnlySpan<byte> encrypted, ReadOnlySpan<byte> context, int keyVersion) => encrypted.ToArray();
    }
}
