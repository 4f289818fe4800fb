using ContinualNative.Core.Access;

namespace ContinualNative.HostTests.Access;

public sealed class ApiKeyStoreTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "continual-keys-" + Guid.NewGuid().ToString("N"));

    [Fact]
    public void A_key_is_found_by_itself_only_and_not_stored()
    {
        ApiKeyStore store = new(_folder);
        (string key, ApiKeyRecord record) = store.Create("ci", admin: true, maxConcurrent: 3, maxTokensPerRequest: 100);
        Assert.StartsWith("cnk_", key, StringComparison.Ordinal);
        Assert.Equal(record.Id, key.Substring(4, 8));
        ApiKeyRecord found = new ApiKeyStore(_folder).Find(key)!;
        Assert.Equal(("ci", true, 3, 100), (found.Name, found.Admin, found.MaxConcurrent, found.MaxTokensPerRequest));
        string wrong = key[..^1] + (key[^1] == 'A' ? 'B' : 'A');
        Assert.Null(store.Find(wrong));
        Assert.Null(store.Find(null));
        Assert.Null(store.Find(""));
        Assert.Null(store.Find(record.Id));
        Assert.Null(store.Find(key + "A"));
        Assert.DoesNotContain(key[12..], File.ReadAllText(store.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void The_file_is_for_its_owner_only()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("skipped: no file modes");
            return;
        }
        ApiKeyStore store = new(_folder);
        store.Create();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(store.Path));
    }

    [Fact]
    public async Task Another_process_s_changes_are_noticed()
    {
        ApiKeyStore server = new(_folder);
        ApiKeyStore command = new(_folder);
        Assert.True(server.IsEmpty);
        (string key, ApiKeyRecord record) = command.Create();
        await Task.Delay(ApiKeyStore.RefreshInterval * 1.5, TestContext.Current.CancellationToken);
        Assert.NotNull(server.Find(key));
        Assert.True(command.Revoke(record.Id));
        Assert.False(command.Revoke(record.Id));
        await Task.Delay(ApiKeyStore.RefreshInterval * 1.5, TestContext.Current.CancellationToken);
        Assert.Null(server.Find(key));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("""{"version":2,"keys":[]}""")]
    [InlineData("""{"version":1}""")]
    [InlineData("""{"version":1,"keys":[{"id":"aaaaaaaa","created":"2026-01-01T00:00:00Z","salt":"AAAA","hash":"AAAA"}]}""")]
    public void A_damaged_file_is_told_of_and_left_alone(string text)
    {
        Directory.CreateDirectory(_folder);
        string path = Path.Combine(_folder, "keys.json");
        File.WriteAllText(path, text);
        Assert.Throws<ApiKeyStoreException>(() => new ApiKeyStore(_folder));
        Assert.Equal(text, File.ReadAllText(path));
    }

    [Fact]
    public async Task A_damaged_reload_keeps_the_keys_in_force_and_writes_refuse()
    {
        ApiKeyStore store = new(_folder);
        (string key, _) = store.Create();
        int failures = 0;
        store.ReloadFailed = _ => failures++;
        File.WriteAllText(store.Path, "{ damaged");
        await Task.Delay(ApiKeyStore.RefreshInterval * 1.5, TestContext.Current.CancellationToken);
        Assert.NotNull(store.Find(key));
        Assert.Equal(1, failures);
        Assert.Throws<ApiKeyStoreException>(() => store.Create());
        Assert.Equal("{ damaged", File.ReadAllText(store.Path));
    }

    [Fact]
    public void Writers_take_turns_and_lose_nothing()
    {
        Parallel.For(0, 24, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => new ApiKeyStore(_folder).Create($"k{i}"));
        Assert.Equal(24, new ApiKeyStore(_folder).List().Count);
        Assert.DoesNotContain(Directory.GetFiles(_folder), f => f.EndsWith(".tmp", StringComparison.Ordinal));
    }

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }
}
