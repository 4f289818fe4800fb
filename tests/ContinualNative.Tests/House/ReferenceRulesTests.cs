using System.Xml.Linq;

namespace ContinualNative.Tests.House;

/// <summary>Which project may know which: Engine, Training and Storage never see each other, and Core sees nothing.</summary>
public sealed class ReferenceRulesTests
{
    // Decision: exact sets, not upper bounds: a reference that nobody needs any more is removed here too. A project that has
    // no rule is an error, so that a new one is a choice made in the open.
    private static readonly Dictionary<string, string[]> Rules = new()
    {
        ["Core"] = [],
        ["Interop"] = [],
        ["Engine"] = ["Core", "Interop"],
        ["Training"] = ["Core", "Interop"],
        ["Storage"] = ["Core"],
        ["Host"] = ["Core", "Interop", "Engine", "Training", "Storage"],
    };

    private static readonly string[] SqlOrWeb = ["sqlite", "sqlclient", "npgsql", "dapper", "entityframework", "aspnetcore"];

    private const string Prefix = "ContinualNative.";

    [Fact]
    public void Every_project_references_exactly_what_its_rule_says()
    {
        Dictionary<string, XDocument> projects = Projects();
        Assert.NotEmpty(projects);
        Assert.All(projects.Keys, name => Assert.True(Rules.ContainsKey(name), $"{name} has no rule in this test."));
        foreach ((string name, XDocument project) in projects)
        {
            // Host references all that exist: a project is created when it has content.
            string[] expected = [.. Rules[name].Where(rule => name != "Host" || projects.ContainsKey(rule)).Order()];
            string[] actual = [.. References(project).Order()];
            Assert.True(expected.SequenceEqual(actual), $"{name} references [{string.Join(", ", actual)}], its rule says [{string.Join(", ", expected)}].");
        }
    }

    [Fact]
    public void Core_knows_neither_SQL_nor_the_web()
    {
        XDocument core = Projects()["Core"];
        Assert.DoesNotContain(core.Descendants("PackageReference").Select(Include), IsSqlOrWeb);
        Assert.Empty(core.Descendants("FrameworkReference"));
        Assert.Equal("Microsoft.NET.Sdk", (string?)core.Root!.Attribute("Sdk"));
    }

    [Fact]
    public void Native_side_knows_neither_SQL_nor_the_web()
    {
        (string, XDocument)[] native = [.. Projects().Where(project => project.Key is "Interop" or "Engine" or "Training").Select(project => (project.Key, project.Value))];
        Assert.True(native.Length >= 2);
        Assert.All(native, project =>
        {
            Assert.DoesNotContain(project.Item2.Descendants("PackageReference").Select(Include), IsSqlOrWeb);
            Assert.Empty(project.Item2.Descendants("FrameworkReference"));
        });
    }

    [Fact]
    public void Only_Interop_imports_native_functions()
    {
        string[] offenders = [.. Repository.Files()
            .Where(file => file.StartsWith("src/", StringComparison.Ordinal) && file.EndsWith(".cs", StringComparison.Ordinal))
            .Where(file => !file.StartsWith("src/ContinualNative.Interop/", StringComparison.Ordinal))
            .Where(file => Repository.Read(file) is string text && (text.Contains("[LibraryImport(", StringComparison.Ordinal) || text.Contains("[DllImport(", StringComparison.Ordinal)))];
        Assert.Empty(offenders);
    }

    private static bool IsSqlOrWeb(string package) => SqlOrWeb.Any(word => package.Contains(word, StringComparison.OrdinalIgnoreCase));

    private static Dictionary<string, XDocument> Projects() =>
        Directory.EnumerateFiles(Repository.PathOf("src"), "*.csproj", SearchOption.AllDirectories)
            .ToDictionary(path => Short(Path.GetFileNameWithoutExtension(path)), path => XDocument.Load(path));

    private static IEnumerable<string> References(XDocument project) =>
        project.Descendants("ProjectReference").Select(reference => Short(Path.GetFileNameWithoutExtension(Include(reference).Replace('\\', '/'))));

    private static string Include(XElement element) => (string?)element.Attribute("Include") ?? "";

    private static string Short(string project) => project.StartsWith(Prefix, StringComparison.Ordinal) ? project[Prefix.Length..] : project;
}
