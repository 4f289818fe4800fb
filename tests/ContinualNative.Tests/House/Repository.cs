namespace ContinualNative.Tests.House;

/// <summary>The source tree that these tests were built from.</summary>
internal static class Repository
{
    private static readonly string[] Generated = [".git", ".vs", ".idea", "bin", "obj", "node_modules", "publish", "continual-demo", "TestResults", "BenchmarkDotNet.Artifacts"];

    /// <summary>The folder that holds ContinualNative.sln.</summary>
    public static string Root { get; } = FindRoot();

    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    public static string Read(params string[] parts) => File.ReadAllText(PathOf(parts));

    /// <summary>Every source file, as a path from the root with forward slashes; nothing that a build makes.</summary>
    public static IEnumerable<string> Files()
    {
        Stack<string> folders = new([Root]);
        while (folders.TryPop(out string? folder))
        {
            // In a linked work tree .git is a file.
            foreach (string file in Directory.EnumerateFiles(folder).Where(file => Path.GetFileName(file) != ".git"))
            {
                yield return Path.GetRelativePath(Root, file).Replace('\\', '/');
            }
            foreach (string child in Directory.EnumerateDirectories(folder))
            {
                string relative = Path.GetRelativePath(Root, child).Replace('\\', '/');
                if (!Generated.Contains(Path.GetFileName(child)) && relative != "native/build" && new DirectoryInfo(child).LinkTarget is null)
                {
                    folders.Push(child);
                }
            }
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "ContinualNative.sln")))
            {
                return folder.FullName;
            }
        }
        throw new InvalidOperationException($"No ContinualNative.sln above '{AppContext.BaseDirectory}': run the tests from the repository they were built in.");
    }
}
