using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace ContinualNative.Tests.House;

/// <summary>
/// The pinned llama.cpp: one version wherever it is written, and a lock file that fixes every byte without fixing an address.
/// </summary>
/// <remarks>
/// The build's errors are provoked by hand, because each needs a build of its own, best of
/// <c>src/ContinualNative.Interop</c> with <c>native/engine/node_modules</c> deleted first:
/// CN1001 <c>-p:EngineRuntime=osx-arm64</c>; CN1004 a PATH with dotnet but no node; CN1005 a PATH with node but no npm, or
/// <c>npm_config_registry=http://127.0.0.1:9 npm_config_cache=EMPTY</c> (cannot be reached), or one letter of an
/// <c>integrity</c> in the lock file changed (does not match its hash), or a version changed in <c>package.json</c> only (do not
/// agree); CN1007 the version in <c>node_modules/@node-llama-cpp/*/package.json</c> changed after a good build;
/// CN1009 <c>dotnet publish -r linux-arm64</c> on another processor; CN1011 a PATH without cmake and no <c>native/build</c>;
/// CN1012 <c>CXX=/no/such</c>. A second build with neither npm, node nor cmake on the PATH must succeed.
/// </remarks>
public sealed partial class EnginePackageTests
{
    private static readonly JsonElement Manifest = Json("package.json");
    private static readonly JsonElement Locked = Json("package-lock.json").GetProperty("packages");

    [Fact]
    public void Every_locked_package_has_a_hash_and_no_address()
    {
        JsonProperty[] packages = [.. Locked.EnumerateObject().Where(package => package.Name.Length > 0)];
        Assert.NotEmpty(packages);
        Assert.All(packages, package =>
        {
            Assert.Matches("^sha512-[A-Za-z0-9+/]{86}==$", package.Value.GetProperty("integrity").GetString());
            Assert.False(package.Value.TryGetProperty("resolved", out _), $"{package.Name} names an address: npm config set omit-lockfile-registry-resolved true.");
        });
    }

    [Fact]
    public void Lock_file_and_manifest_name_the_same_versions()
    {
        foreach ((string name, string version) in Dependencies())
        {
            Assert.Matches(@"^\d+\.\d+\.\d+$", version);
            Assert.Equal(version, Locked.GetProperty($"node_modules/{name}").GetProperty("version").GetString());
        }
        Assert.Equal(
            Dependencies().Select(dependency => $"node_modules/{dependency.Name}").Order(),
            Locked.EnumerateObject().Select(package => package.Name).Where(name => name.Length > 0).Order());
    }

    [Fact]
    public void Build_expects_the_versions_that_npm_fetches()
    {
        XDocument targets = XDocument.Load(Repository.PathOf("native", "engine", "Engine.targets"));
        string engine = Property(targets, "EnginePackageVersion");
        string jinja = Property(targets, "JinjaPackageVersion");
        (string Name, string Version)[] engines = [.. Dependencies().Where(dependency => dependency.Name.StartsWith("@node-llama-cpp/", StringComparison.Ordinal))];
        Assert.NotEmpty(engines);
        Assert.All(engines, dependency => Assert.Equal(engine, dependency.Version));
        Assert.Equal(jinja, Dependencies().Single(dependency => dependency.Name == "@huggingface/jinja").Version);
    }

    [Fact]
    public void Every_platform_that_the_build_offers_has_a_locked_package()
    {
        XDocument targets = XDocument.Load(Repository.PathOf("native", "engine", "Engine.targets"));
        string[] platforms = [.. targets.Descendants("EnginePlatform").Select(element => element.Value).Distinct()];
        Assert.Contains("linux-x64", platforms);
        Assert.Equal(
            platforms.Select(platform => $"@node-llama-cpp/{platform}").Order(),
            Dependencies().Select(dependency => dependency.Name).Where(name => name.StartsWith("@node-llama-cpp/", StringComparison.Ordinal)).Order());
    }

    [Fact]
    public void Engine_beside_these_tests_is_the_pinned_release()
    {
        Assert.SkipUnless(string.IsNullOrEmpty(Environment.GetEnvironmentVariable("CONTINUAL_LLAMA_DIR")), "skipped: CONTINUAL_LLAMA_DIR is set");
        string release = Property(XDocument.Load(Repository.PathOf("Directory.Build.props")), "LlamaCppRelease");
        string folder = Path.Combine(AppContext.BaseDirectory, "engine");
        string[] names = [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path))];
        Assert.Contains($"libllama.v{release}.so", names);
        Assert.Contains($"libggml.v{release}.so", names);
        Assert.Contains("libggml-base.so", names);
        Assert.Contains(names, name => name.StartsWith("libggml-cpu-", StringComparison.Ordinal));
        Assert.Contains(names, name => name.Contains("continual_native", StringComparison.Ordinal));
        Assert.Contains("LICENSE.llama.cpp.txt", names);
        Assert.Contains("LICENSE.jinja.txt", names);
        Assert.DoesNotContain(names, name => name.EndsWith(".node", StringComparison.Ordinal) || name.Contains("common", StringComparison.Ordinal));
    }

    [Fact]
    public void Build_error_codes_are_used_once_each_and_name_a_way_out()
    {
        string[] files = ["native/engine/Engine.targets", "native/Native.targets", "Directory.Build.targets"];
        XElement[] errors = [.. files.SelectMany(file => XDocument.Load(Repository.PathOf(file)).Descendants("Error"))];
        string[] codes = [.. errors.Select(error => (string)error.Attribute("Code")!)];
        Assert.All(codes, code => Assert.Matches(ErrorCode(), code));
        Assert.Equal(codes.Order(), codes.Distinct().Order());
        // Those whose text is made by fetch.mjs and build.cmake name theirs there.
        Assert.All(
            errors.Select(error => (string)error.Attribute("Text")!).Where(text => !text.StartsWith('@') && !text.StartsWith("$(", StringComparison.Ordinal)),
            text => Assert.Matches("(?i)\\b(set|install|delete|add|build)\\b", text));
    }

    [GeneratedRegex(@"^CN10\d\d$")]
    private static partial Regex ErrorCode();

    private static string Property(XDocument project, string name) => project.Descendants(name).First().Value;

    private static IEnumerable<(string Name, string Version)> Dependencies() =>
        new[] { "dependencies", "optionalDependencies" }
            .SelectMany(group => Manifest.GetProperty(group).EnumerateObject())
            .Select(dependency => (dependency.Name, dependency.Value.GetString()!));

    private static JsonElement Json(string name)
    {
        using JsonDocument document = JsonDocument.Parse(Repository.Read("native", "engine", name));
        return document.RootElement.Clone();
    }
}
