namespace ContinualNative.HostTests.Commands;

/// <summary><c>continual demo</c>: what is wrong is said before the work begins. That it works is shown by running it.</summary>
public sealed class DemoCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("continual-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("--out")]
    [InlineData("--data")]
    public async Task A_folder_that_can_not_be_written_into_is_named(string option)
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "a file");
        string other = option == "--out" ? "--data" : "--out";
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "demo", "--quick", option, Path.Combine(file, "folder"), other, Path.Combine(_folder, "other"));
        Assert.Equal(2, code);
        Assert.Empty(output);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"continual demo: {option}", line, StringComparison.Ordinal);
        Assert.Contains(file, line, StringComparison.Ordinal);
        Assert.Equal("a file", File.ReadAllText(file));
    }

    [Fact]
    public async Task A_data_folder_with_something_in_it_stays_as_it_is()
    {
        string kept = Path.Combine(_folder, "traffic.db");
        File.WriteAllText(kept, "kept");
        (int code, _, string error) = await ContinualProcess.RunAsync("", "demo", "--quick", "--data", _folder, "--out", Path.Combine(_folder, "out"));
        Assert.Equal(2, code);
        Assert.Contains("not empty", error, StringComparison.Ordinal);
        Assert.Equal([kept], Directory.EnumerateFileSystemEntries(_folder));
        Assert.Equal("kept", File.ReadAllText(kept));
    }
}
