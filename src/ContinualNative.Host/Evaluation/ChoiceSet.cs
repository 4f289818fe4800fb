using System.Collections.Concurrent;
using System.Text;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine;
using ContinualNative.Engine.Constraints;

namespace ContinualNative.Host.Evaluation;

/// <summary>The answers to choose from, one a line of a file. Thread-safe.</summary>
internal sealed class ChoiceSet
{
    private readonly ConcurrentDictionary<string, string> _grammars = new(StringComparer.Ordinal);
    private readonly IReadOnlyList<string> _choices;

    private ChoiceSet(IReadOnlyList<string> choices)
    {
        _choices = choices;
        LongestBytes = choices.Max(static c => Encoding.UTF8.GetByteCount(c));
        Grammar("");
    }

    /// <summary>Bytes of the longest choice: no answer has more tokens.</summary>
    public int LongestBytes { get; }

    /// <summary>Reads a file; white space around a choice and empty lines don't count. Throws <see cref="ExampleFormatException"/>.</summary>
    public static ChoiceSet Read(string path)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ExampleFormatException(path, 0, "there is no such file; check the path of --choices", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new ExampleFormatException(path, 0, $"it can't be read as lines of UTF-8 text: {e.Message.TrimEnd('.')}", e);
        }
        Dictionary<string, int> seen = new(StringComparer.Ordinal);
        List<string> choices = [];
        for (int i = 0; i < lines.Length; i++)
        {
            string choice = lines[i].Trim();
            if (choice.Length == 0)
            {
                continue;
            }
            if (!seen.TryAdd(choice, i + 1))
            {
                throw new ExampleFormatException(path, i + 1, $"this is the choice of line {seen[choice]} again; remove one");
            }
            choices.Add(choice);
        }
        if (choices.Count == 0)
        {
            throw new ExampleFormatException(path, 0, "it holds no choices; write one a line");
        }
        try
        {
            return new ChoiceSet(choices);
        }
        catch (EngineException e)
        {
            throw new ExampleFormatException(path, 0, e.Message.TrimEnd('.'), e);
        }
    }

    /// <summary>Whether a target is one of the choices.</summary>
    public bool Holds(string target) => _choices.Contains(target.Trim());

    /// <summary>A grammar of the choices, each behind the white space that the target begins with: in raw text it belongs to the answer.</summary>
    public string GrammarFor(string target) => Grammar(target[..^target.TrimStart().Length]);

    private string Grammar(string lead) => _grammars.GetOrAdd(lead, static (lead, choices) => Constraint.Choices([.. choices.Select(c => lead + c)]), _choices);
}
