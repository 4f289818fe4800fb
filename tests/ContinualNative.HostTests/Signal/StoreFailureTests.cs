using ContinualNative.Host.Commands;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Signal;

/// <summary>A server whose store is not as it should be.</summary>
public sealed class StoreFailureTests
{
    [Fact]
    public async Task A_store_that_is_none_ends_the_start_with_the_reason()
    {
        using ModelFiles files = new();
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        string path = Path.Combine(data, "traffic.db");
        try
        {
            await File.WriteAllTextAsync(path, string.Concat(Enumerable.Repeat("This is a letter and no database. ", 100)), TestContext.Current.CancellationToken);
            (int exit, _, string errors) = await ContinualProcess.RunAsync("serve", "--model", files.Llama, "--data", data, "--listen", "http://127.0.0.1:0");
            Assert.Equal(ExitCodes.BadInput, exit);
            Assert.Contains("traffic.db", errors, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task A_missing_or_wrong_key_of_the_store_is_named()
    {
        using ModelFiles files = new();
        string data = Directory.CreateTempSubdirectory("continual-test-").FullName;
        try
        {
            (int exit, _, string errors) = await ContinualProcess.RunAsync("serve", "--model", files.Llama, "--data", data, "--listen", "http://127.0.0.1:0", "--store-key-env", "CONTINUAL_NO_SUCH_KEY");
            Assert.Equal(ExitCodes.BadInput, exit);
            Assert.Contains("CONTINUAL_NO_SUCH_KEY", errors, StringComparison.Ordinal);
            Assert.Contains("openssl rand -hex 32", errors, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task A_store_that_cannot_be_written_fails_reports_and_no_requests()
    {
        using ModelFiles files = new();
        await using ContinualServer server = await ContinualServer.StartAsync(files.Llama, "--parallel", "2", "--ctx", "256");
        Reply first = await server.AskAsync("Hello");
        await server.StoredAsync(first.RequestId);
        // Another process holds the database for longer than the store waits for it.
        using Microsoft.Data.Sqlite.SqliteConnection other = new($"Data Source={Path.Combine(server.DataDirectory, "traffic.db")};Pooling=False");
        await other.OpenAsync(TestContext.Current.CancellationToken);
        using (Microsoft.Data.Sqlite.SqliteCommand begin = other.CreateCommand())
        {
            begin.CommandText = "BEGIN IMMEDIATE";
            begin.ExecuteNonQuery();
        }
        Reply served = await server.AskAsync("Hello again");
        Assert.Equal((200, "local"), (served.Status, served.Route));
        Reply refused = await server.ReportAsync(first.RequestId, "\"outcome\":\"accepted\"");
        Assert.Equal((503, "store_unavailable"), (refused.Status, refused.Json().GetProperty("error").GetProperty("code").GetString()));
        using (Microsoft.Data.Sqlite.SqliteCommand end = other.CreateCommand())
        {
            end.CommandText = "ROLLBACK";
            end.ExecuteNonQuery();
        }
        StoredRequest kept = await server.StoredAsync(served.RequestId);
        Assert.NotNull(kept.Request.LocalAnswer);
        for (int i = 0; ; i++)
        {
            Reply later = await server.ReportAsync(first.RequestId, "\"outcome\":\"accepted\"");
            if (later.Status == 200)
            {
                break;
            }
            Assert.True(i < 100, later.Body);
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }
    }
}
