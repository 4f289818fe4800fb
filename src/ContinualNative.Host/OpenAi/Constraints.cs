using ContinualNative.Engine.Constraints;

namespace ContinualNative.Host.OpenAi;

/// <summary>Constraints that both kinds of completions know.</summary>
internal static class Constraints
{
    /// <summary>The grammar of <c>grammar</c> or <c>guided_choice</c>, or null.</summary>
    public static string? OfFields(GenerationFields fields)
    {
        if (fields.GuidedChoice is { } choices)
        {
            return Constraint.Choices(choices);
        }
        if (fields.Grammar is { } grammar)
        {
            Constraint.ValidateGrammar(grammar);
        }
        return fields.Grammar;
    }
}
