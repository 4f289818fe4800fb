namespace ContinualNative.HostTests;

/// <summary>Where the tests' own repository is.</summary>
internal static class Repository
{
    /// <summary>Full path of a file under <c>../shared</c>; skips the test where there is none.</summary>
    public static string Shared(string relative)
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "ContinualNative.sln")))
        {
            folder = folder.Parent;
        }
        string path = Path.GetFullPath(Path.Combine(folder?.FullName ?? throw new InvalidOperationException("The tests run outside the repository."), "..", "shared", relative));
        if (!File.Exists(path))
        {
            Assert.Skip("skipped: no ../shared");
        }
        return path;
    }
}
