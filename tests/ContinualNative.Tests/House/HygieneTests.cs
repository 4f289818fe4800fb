using System.Text.RegularExpressions;

namespace ContinualNative.Tests.House;

/// <summary>What must be in no file of the repository.</summary>
public sealed partial class HygieneTests
{
    private static readonly string[] Binary = [".gguf", ".so", ".dll", ".dylib", ".node", ".exe", ".safetensors", ".nupkg", ".tgz", ".zip"];

    // The demo's, whose recipe stands beside it.
    private const string EmbeddedModel = "src/ContinualNative.Host/Demo/Model/support-desk.gguf";

    [Fact]
    public void No_file_names_a_folder_of_somebodys_machine() => AssertNowhere(MachinePath(), "the absolute path");

    [Fact]
    public void No_file_names_a_package_registrys_host() => AssertNowhere(RegistryHost(), "the host");

    [Fact]
    public void No_test_asserts_a_constant() => AssertNowhere(ConstantAssertion(), "the assertion");

    [Fact]
    public void No_binaries_are_kept() =>
        Assert.DoesNotContain(Repository.Files(), file => file != EmbeddedModel && Binary.Contains(Path.GetExtension(file), StringComparer.OrdinalIgnoreCase));

    [Fact]
    public void Embedded_model_is_small() => Assert.InRange(new FileInfo(Repository.PathOf(EmbeddedModel)).Length, 1, 12_000_000);

    [Theory]
    [InlineData("/work" + "/main/x")]
    [InlineData("'/root" + "/.nuget'")]
    [InlineData("/home" + "/somebody/src")]
    [InlineData("C:\\Users" + "\\somebody")]
    public void Pattern_finds_a_machine_path(string text) => Assert.Matches(MachinePath(), text);

    [Theory]
    [InlineData("https://example.org/home/page")]
    [InlineData("network/main/x")]
    [InlineData("../work")]
    public void Pattern_leaves_other_text_alone(string text) => Assert.DoesNotMatch(MachinePath(), text);

    private static void AssertNowhere(Regex pattern, string what)
    {
        string[] files = [.. Repository.Files().Where(file => !Binary.Contains(Path.GetExtension(file)))];
        Assert.Contains("tests/ContinualNative.Tests/House/HygieneTests.cs", files);
        List<string> found = [];
        foreach (string file in files)
        {
            int number = 0;
            foreach (string line in File.ReadLines(Repository.PathOf(file)))
            {
                number++;
                if (pattern.Match(line) is { Success: true } match)
                {
                    found.Add($"{file}:{number} holds {what} '{match.Value}'");
                }
            }
        }
        Assert.Empty(found);
    }

    // Split in the source, so that this file does not match itself.
    [GeneratedRegex("(?<![\\w.:/-])/(?:work|root|home/[a-z]+|Users/\\w+|tm" + "p/(?:wt|eng|bash))/|\\b[A-Za-z]:\\\\Users\\\\")]
    private static partial Regex MachinePath();

    [GeneratedRegex("registry\\.np" + "mjs|api\\.nu" + "get|deb\\.de" + "bian|proxy\\.go" + "lang")]
    private static partial Regex RegistryHost();

    [GeneratedRegex("Assert\\.(True\\(tr" + "ue|False\\(fal" + "se)\\b")]
    private static partial Regex ConstantAssertion();
}
