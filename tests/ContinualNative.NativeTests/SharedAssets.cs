namespace ContinualNative.NativeTests;

/// <summary>Material beside the checkout that a user's clone does not have.</summary>
internal static class SharedAssets
{
    /// <summary>The repository's root.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Full path of a file under <c>../shared</c>; skips the test where there is none.</summary>
    public static string Path(string relative)
    {
        string path = System.IO.Path.Combine(Root, "..", "shared", relative);
        if (!File.Exists(path))
        {
            Assert.Skip("skipped: no ../shared");
        }
        return System.IO.Path.GetFullPath(path);
    }

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(System.IO.Path.Combine(directory.FullName, "ContinualNative.sln")))
        {
            directory = directory.Parent;
        }
        return directory?.FullName ?? throw new InvalidOperationException("The tests run outside the repository.");
    }
}
