namespace ContinualNative.Engine.Constraints;

/// <summary>Grammars for the simple constraints, and the check that every grammar from outside must pass before llama.cpp sees it.</summary>
public static class Constraint
{
    /// <summary>Longest grammar that a request may bring, in bytes of UTF-8.</summary>
    public const int MaxGrammarBytes = 64 * 1024;

    /// <summary>Most texts to choose from.</summary>
    public const int MaxChoices = 10_000;

    /// <summary>A grammar for any JSON object, with at most one space after colons and commas.</summary>
    public static string JsonObject()
    {
        var builder = new GrammarBuilder();
        return builder.Build(JsonSchemaGrammar.AnyObject(builder));
    }

    /// <summary>A grammar that matches exactly one of <paramref name="choices"/>.</summary>
    /// <exception cref="EngineException">There are none or too many, one is empty or no valid text, or two are equal.</exception>
    public static string Choices(IReadOnlyList<string> choices)
    {
        ArgumentNullException.ThrowIfNull(choices);
        if (choices.Count is 0 or > MaxChoices)
        {
            throw Refuse(choices.Count == 0 ? "is empty: name at least one text" : $"has more than {MaxChoices} texts");
        }

        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < choices.Count; i++)
        {
            if (string.IsNullOrEmpty(choices[i]))
            {
                throw Refuse($"holds an empty text at index {i}");
            }

            if (!seen.TryAdd(choices[i], i))
            {
                throw Refuse($"holds the same text at the indices {seen[choices[i]]} and {i}");
            }
        }

        var builder = new GrammarBuilder("guided_choice");
        try
        {
            return builder.Build(LiteralSet.AnyOf(builder, choices));
        }
        catch (EngineException e) when (e.Param is null)
        {
            throw new EngineException(e.Error, e.Message, "guided_choice", e);
        }

        static EngineException Refuse(string what) => new(EngineError.InvalidRequest, $"'guided_choice' {what}.", "guided_choice");
    }

    /// <summary>
    /// Refuses a GBNF grammar that llama.cpp would refuse (syntax errors, undefined rules, no <c>root</c>, left recursion, excessive
    /// repetition), read otherwise than written (an empty class, a rule defined twice, counts beyond 2000), or choke on (deep nesting,
    /// huge expansion, exponential ambiguity). llama.cpp's token syntax is not supported. The work is bounded: milliseconds for usual grammars.
    /// </summary>
    /// <exception cref="EngineException"><see cref="EngineError.InvalidRequest"/> for <c>grammar</c>, with line and column.</exception>
    public static void ValidateGrammar(string gbnf)
    {
        ArgumentNullException.ThrowIfNull(gbnf);
        GrammarChecker.Check(gbnf, MaxGrammarBytes, "grammar", generated: false);
    }
}
