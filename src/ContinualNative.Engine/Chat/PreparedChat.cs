using ContinualNative.Engine.Generation;

namespace ContinualNative.Engine.Chat;

/// <summary>A chat ready for the engine: its tokens, the grammar of its answer, and how to read that answer.</summary>
public sealed class PreparedChat
{
    private readonly ChatPrompt _prompt;
    private readonly ToolCallFormat _format;

    internal PreparedChat(ChatPrompt prompt, int[] tokens, string? grammar, ToolCallFormat format)
    {
        _prompt = prompt;
        _format = format;
        Tokens = tokens;
        Grammar = grammar;
    }

    /// <summary>The prompt's tokens, ending where the answer begins.</summary>
    public int[] Tokens { get; }

    /// <summary>The GBNF grammar that the answer must match, or null.</summary>
    public string? Grammar { get; }

    /// <summary>
    /// Whether control tokens must appear in the answer's text: markers of tool calls are control tokens in some vocabularies, and a
    /// grammar counts the spelling of a control token as text of the answer, which would no longer match it if the spelling were dropped.
    /// </summary>
    public bool ShowSpecialTokens => _prompt.UsesTools || Grammar is not null;

    /// <summary>A request with the defaults of everything that a chat does not decide; change it by <c>with</c>.</summary>
    public GenerationRequest ToRequest() => new() { Prompt = Tokens, Grammar = Grammar, ShowSpecialTokens = ShowSpecialTokens };

    /// <summary>A reader for one answer; several answers to one chat need one each.</summary>
    public ChatAnswerReader NewReader() => new(
        _prompt.UsesTools ? new ToolCallParser(_format, () => ToolCallId.Random(_format), _prompt.Tools.Select(static t => t.Name).ToHashSet(StringComparer.Ordinal)) : null,
        _prompt.ParallelToolCalls);
}
