using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using Microsoft.Data.Sqlite;

namespace ContinualNative.HostTests.Commands;

public sealed class StoreCommandTests : IDisposable
{
    private readonly TestStore _store = new();

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task A_sound_store_is_ok_and_its_backup_is_a_store_of_its_own()
    {
        await _store.FillAsync(further: 20);
        (int code, string output, string error) = await _store.RunAsync("store", "check", "--json");
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.True(json.GetProperty("ok").GetBoolean());
        Assert.Equal((22, 2), (json.GetProperty("requests").GetInt32(), json.GetProperty("labels").GetInt32()));
        using TestStore other = new();
        (code, output, error) = await _store.RunAsync("store", "backup", other.Database, "--json");
        Assert.True(code == 0, error);
        Assert.Equal(new FileInfo(other.Database).Length, JsonDocument.Parse(output).RootElement.GetProperty("bytes").GetInt64());
        Assert.Equal(0, (await other.RunAsync("explain", TestStore.Up)).Code);
        (code, _, error) = await _store.RunAsync("store", "backup", other.Database);
        Assert.Equal(2, code);
        Assert.Contains("exists already", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_erasure_takes_the_texts_and_names_the_adapters_that_learned_from_them()
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync("store", "erase", "--user", "ada", "--yes", "--json");
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal(1, json.GetProperty("requests").GetInt32());
        Assert.Equal(["first"], json.GetProperty("adapters").EnumerateArray().Select(static a => a.GetString()));
        Assert.Contains("Train one without it", json.GetProperty("advice")[0].GetString(), StringComparison.Ordinal);
        await using (TrafficStore store = _store.Open())
        {
            StoredRequest erased = store.Find(TestStore.Local)!;
            Assert.True(erased.Erased);
            Assert.Null(erased.Request.Prompt);
            Assert.NotNull(store.Find(TestStore.Up)!.Request.Prompt);
        }
        (_, string explained, _) = await _store.RunAsync("explain", TestStore.Local, "--texts");
        Assert.Contains("were erased. The adapters that learned from it still carry what they learned.", explained, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-word", explained, StringComparison.Ordinal);
        // Once more: there is nothing left of that user.
        (code, output, _) = await _store.RunAsync("store", "erase", "--user", "ada", "--yes");
        Assert.Equal((0, true), (code, output.StartsWith("The texts of 0 requests", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("--request", TestStore.Up)]
    [InlineData("--key", "k1")]
    public async Task Requests_and_keys_can_be_erased(string by, string id)
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync("store", "erase", by, id, "--yes", "--json");
        Assert.True(code == 0, error);
        Assert.Equal(1, JsonDocument.Parse(output).RootElement.GetProperty("requests").GetInt32());
    }

    [Theory]
    [InlineData("one of", "store", "erase", "--yes")]
    [InlineData("one of", "store", "erase", "--user", "a", "--key", "b", "--yes")]
    [InlineData("--request", "store", "erase", "--request", "nonsense", "--yes")]
    [InlineData("--yes", "store", "erase", "--user", "ada")]
    [InlineData("--keep-days", "store", "expire")]
    public async Task Wrong_usage_changes_nothing_and_exits_with_2(string named, params string[] arguments)
    {
        await _store.FillAsync();
        (int code, string output, string error) = await _store.RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.Empty(output);
        Assert.Contains(named, error, StringComparison.Ordinal);
        await using TrafficStore store = _store.Open();
        Assert.NotNull(store.Find(TestStore.Local)!.Request.Prompt);
    }

    [Fact]
    public async Task Expiry_by_size_removes_the_oldest_requests()
    {
        await _store.FillAsync(further: 300);
        (int code, string output, string error) = await _store.RunAsync("store", "expire", "--keep-bytes", "1", "--json");
        Assert.True(code == 0, error);
        Assert.True(JsonDocument.Parse(output).RootElement.GetProperty("expired").GetInt64() > 250, output);
        await using TrafficStore store = _store.Open();
        Assert.Null(store.Find(TestStore.Local));
    }

    [Fact]
    public async Task All_commands_work_while_another_process_writes_to_the_store()
    {
        await using TrafficStore server = _store.Open();
        await TestStore.FillAsync(server);
        using CancellationTokenSource stop = new();
        long written = 0;
        Task writing = Task.Run(
            async () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    StoredRequest like = server.Find(TestStore.Up)!;
                    await server.RecordAsync(like.Request with { Id = TestStore.Id((int)written++) });
                    await server.FlushAsync();
                }
            },
            TestContext.Current.CancellationToken);
        string reports = _store.Write("reports.jsonl", string.Join('\n', Enumerable.Range(0, 2).Select(static i => $$"""{"request_id":"{{(i == 0 ? TestStore.Local : TestStore.Up)}}","outcome":"accepted"}""")));
        foreach (string[] arguments in (string[][])[["report"], ["explain", TestStore.Local], ["feedback", "import", reports], ["store", "check"], ["store", "backup", Path.Combine(_store.Folder, "copy.db")], ["store", "erase", "--request", TestStore.Local, "--yes"]])
        {
            (int code, _, string error) = await _store.RunAsync(arguments);
            Assert.True(code == 0, $"{string.Join(' ', arguments)}: {error}");
        }
        await stop.CancelAsync();
        await writing;
        // What the other process did is seen here at once, and nothing of this one's is lost.
        Assert.True(server.Find(TestStore.Local)!.Erased);
        Assert.Equal(OutcomeKind.Accepted, Assert.Single(server.Find(TestStore.Up)!.Outcomes).Kind);
        Assert.All(Enumerable.Range(0, (int)written), i => Assert.NotNull(server.Find(TestStore.Id(i))));
        Assert.Empty(server.Check());
    }

    [Theory]
    [InlineData("report")]
    [InlineData("explain", TestStore.Local)]
    [InlineData("store", "check")]
    [InlineData("store", "erase", "--user", "ada", "--yes")]
    public async Task Without_a_store_commands_say_so_and_make_none(params string[] arguments)
    {
        (int code, string output, string error) = await _store.RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.Empty(output);
        Assert.Contains("there is no traffic store", Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        Assert.False(File.Exists(_store.Database));
    }

    [Fact]
    public async Task A_damaged_a_foreign_and_a_newer_store_exit_with_2_and_stay_as_they_are()
    {
        File.WriteAllBytes(_store.Database, Encoding.UTF8.GetBytes("this is no database, however long one looks at it" + new string(' ', 4096)));
        await RefusedAsync("traffic.db");
        File.Delete(_store.Database);
        Execute("CREATE TABLE others (a); INSERT INTO others VALUES (1)");
        await RefusedAsync("another program");
        File.Delete(_store.Database);
        await _store.FillAsync();
        Execute("PRAGMA user_version = 999");
        await RefusedAsync("newer program");

        async Task RefusedAsync(string why)
        {
            byte[] before = File.ReadAllBytes(_store.Database);
            (int code, string output, string error) = await _store.RunAsync("report");
            Assert.True(code == 2, error);
            Assert.Empty(output);
            Assert.Contains(why, Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
            Assert.Equal(before, File.ReadAllBytes(_store.Database));
        }
    }

    [Fact]
    public async Task A_store_that_another_process_locks_exits_with_1()
    {
        await _store.FillAsync();
        await using SqliteConnection holder = Connection();
        await holder.OpenAsync(TestContext.Current.CancellationToken);
        await using SqliteCommand command = holder.CreateCommand();
        command.CommandText = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE meta SET value = value WHERE name = 'requests'; COMMIT";
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        (int code, _, string error) = await _store.RunAsync("feedback", "import", _store.Write("r.jsonl", $$"""{"request_id":"{{TestStore.Local}}","outcome":"accepted"}"""));
        Assert.True(code == 1, error);
        Assert.Contains("locked by another process", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_encrypted_store_needs_its_key()
    {
        await _store.FillAsync(cipher: new AesGcmTextCipher(Enumerable.Range(1, 32).Select(static i => (byte)i).ToArray(), 1));
        (int code, _, string error) = await _store.RunAsync("explain", TestStore.Local, "--texts");
        Assert.Equal(2, code);
        Assert.Contains("encrypted", error, StringComparison.Ordinal);
        (code, _, error) = await _store.RunAsync("explain", TestStore.Local, "--store-key-env", "CONTINUAL_TEST_KEY");
        Assert.Equal(2, code);
        Assert.Contains("CONTINUAL_TEST_KEY", error, StringComparison.Ordinal);
    }

    private SqliteConnection Connection() => new(new SqliteConnectionStringBuilder { DataSource = _store.Database, Pooling = false }.ToString());

    private void Execute(string sql)
    {
        using SqliteConnection connection = Connection();
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
