using System.Management.Automation.Language;
using System.Text.RegularExpressions;

namespace ContinualNative.Tests.House;

/// <summary>build.ps1, parsed by PowerShell's own parser, so that it is checked where no PowerShell is installed.</summary>
public sealed partial class BuildScriptTests
{
    private static readonly ScriptBlockAst Script = Parse(out _);

    [Fact]
    public void Script_has_no_parse_errors()
    {
        Parse(out ParseError[] errors);
        Assert.Empty(errors.Select(error => $"{error.Extent.StartLineNumber}: {error.Message}"));
    }

    [Fact]
    public void Parameters_are_configuration_runtime_and_skip_tests() =>
        Assert.Equal(["Configuration", "Runtime", "SkipTests"], Script.ParamBlock!.Parameters.Select(parameter => parameter.Name.VariablePath.UserPath));

    [Fact]
    public void Steps_are_restore_build_test_and_publish_in_that_order()
    {
        string[] verbs = [.. Commands().Select(command => command.Split(' ')[1])];
        Assert.Equal(["restore", "build", "test", "publish"], verbs);
        Assert.Contains(Commands(), command => command.StartsWith("dotnet build", StringComparison.Ordinal) && command.Contains("-warnaserror", StringComparison.Ordinal));
        Assert.Contains(Commands(), command => command.StartsWith("dotnet publish", StringComparison.Ordinal) && command.Contains("--self-contained", StringComparison.Ordinal));
    }

    [Fact]
    public void Every_command_is_followed_by_a_check_of_its_exit_code()
    {
        Assert.All(DotnetCommands(), command =>
        {
            StatementAst statement = (StatementAst)command.Parent;
            System.Collections.ObjectModel.ReadOnlyCollection<StatementAst>? block =
                (statement.Parent as StatementBlockAst)?.Statements ?? (statement.Parent as NamedBlockAst)?.Statements;
            Assert.NotNull(block);
            int next = block.IndexOf(statement) + 1;
            Assert.True(
                next > 0 && next < block.Count && block[next].Extent.Text.StartsWith("Assert-Success", StringComparison.Ordinal),
                $"line {command.Extent.StartLineNumber}: no check after '{command.Extent.Text}'.");
        });
        FunctionDefinitionAst check = Script.FindAll(ast => ast is FunctionDefinitionAst { Name: "Assert-Success" }, true).Cast<FunctionDefinitionAst>().Single();
        Assert.Contains("if ($LASTEXITCODE -ne 0)", check.Body.Extent.Text, StringComparison.Ordinal);
        Assert.Contains("exit $LASTEXITCODE", check.Body.Extent.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Readme_commands_that_build_and_test_occur_in_the_script()
    {
        string[] scripted = [.. Commands()];
        string[] shown = ReadmeCommands();
        Assert.Contains("dotnet test -c Release", shown);
        Assert.All(shown, command => Assert.True(scripted.Any(step => Contains(step, command)), $"README.md shows '{command}', which build.ps1 does not run."));
    }

    [Fact]
    public void Readme_commands_that_build_and_test_occur_in_the_continuous_integration()
    {
        string ci = Repository.Read(".ci", "run");
        Assert.All(ReadmeCommands(), command => Assert.Contains(command, ci, StringComparison.Ordinal));
    }

    private static string[] ReadmeCommands()
    {
        Assert.SkipUnless(File.Exists(Repository.PathOf("README.md")), "skipped: no README.md");
        return [.. ReadmeCommand().Matches(Repository.Read("README.md")).Select(match => match.Groups[1].Value.TrimEnd()).Distinct()];
    }

    // A README line may leave out options that the script adds, but not the other way round.
    private static bool Contains(string step, string command)
    {
        string[] parts = step.Split(' ');
        return parts.Take(2).SequenceEqual(command.Split(' ').Take(2)) && command.Split(' ').All(part => parts.Contains(part));
    }

    private static IEnumerable<CommandAst> DotnetCommands() =>
        Script.FindAll(ast => ast is CommandAst command && command.GetCommandName() == "dotnet", true).Cast<CommandAst>();

    // The commands as they run when no parameter is given: a variable is replaced by its parameter's default.
    private static IEnumerable<string> Commands()
    {
        Dictionary<string, string> defaults = Script.ParamBlock!.Parameters
            .Where(parameter => parameter.DefaultValue is StringConstantExpressionAst)
            .ToDictionary(parameter => parameter.Name.VariablePath.UserPath, parameter => ((StringConstantExpressionAst)parameter.DefaultValue).Value);
        return DotnetCommands().Select(command => string.Join(' ', command.CommandElements.Select(element =>
            element is VariableExpressionAst variable && defaults.TryGetValue(variable.VariablePath.UserPath, out string? value) ? value : element.Extent.Text)));
    }

    private static ScriptBlockAst Parse(out ParseError[] errors) =>
        Parser.ParseFile(Repository.PathOf("build.ps1"), out _, out errors);

    // What a fence shows as a whole line; running the program is no build step.
    [GeneratedRegex(@"^\s*(dotnet (?:restore|build|test|publish|format)\b[^\r\n#|&]*)", RegexOptions.Multiline)]
    private static partial Regex ReadmeCommand();
}
