using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Constraints;
using ContinualNative.Engine.Models;

namespace ContinualNative.Engine.Chat;

/// <summary>
/// The one way from a chat to what the engine runs: template, tokens, grammar, and how the answer is read. The HTTP server and the chat client
/// share it, so that they cannot differ. Thread-safe.
/// </summary>
public sealed class ChatPromptBuilder
{
    private readonly ModelText _text;
    private readonly Tokenizer _tokenizer;
    private readonly ControlTokens _controls;

    /// <summary>Prepares a model's prompts. Throws <see cref="EngineException"/> (BadFile) when <paramref name="templateSource"/> is not valid Jinja.</summary>
    /// <param name="engine">The loaded model.</param>
    /// <param name="templateSource">A template to use instead of the model's own, or null.</param>
    public ChatPromptBuilder(InferenceEngine engine, string? templateSource = null)
        : this((engine ?? throw new ArgumentNullException(nameof(engine))).Text, templateSource)
    {
    }

    /// <summary>Prepares a model's prompts. Throws <see cref="EngineException"/> (BadFile) when <paramref name="templateSource"/> is not valid Jinja.</summary>
    /// <param name="text">The model's vocabulary and template.</param>
    /// <param name="templateSource">A template to use instead of the model's own, or null.</param>
    public ChatPromptBuilder(ModelText text, string? templateSource = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        _text = text;
        _tokenizer = text.Tokenizer;
        _controls = new ControlTokens(_tokenizer);
        if (templateSource is not null)
        {
            Template = new ChatTemplate(templateSource, _tokenizer.BosText, _tokenizer.EosText);
        }
        else if (text.ChatTemplate is { } own)
        {
            Template = own;
        }
        else if (_tokenizer.VocabularySize > 0 && _tokenizer.Encode("<|im_start|>", addSpecial: false, parseSpecial: true).Length == 1)
        {
            // The file names no template, but its vocabulary was made for ChatML.
            Template = new ChatTemplate(ChatTemplate.Default, _tokenizer.BosText, _tokenizer.EosText);
        }
    }

    /// <summary>The template, or null when the model has none and none fits.</summary>
    public ChatTemplate? Template { get; }

    /// <summary>Why <see cref="Template"/> is null and what to do; null when it is not.</summary>
    public string? WhyNoChat => Template is not null ? null
        : _text.ChatTemplateError is { } reason
            ? $"The chat template of '{_text.Name}' can't be used: {reason} Use /v1/completions, or give another one with --chat-template FILE."
            : $"The model '{_text.Name}' has no chat template. Use /v1/completions, or give one with --chat-template FILE.";

    /// <summary>
    /// Renders and tokenizes a chat, and makes the grammar of its answer. Throws <see cref="EngineException"/> (InvalidRequest) naming the field: no
    /// template, a template that knows no tools or refuses the messages, a schema or grammar that can't be used, constraints that exclude each other.
    /// </summary>
    public PreparedChat Prepare(ChatPrompt prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ChatTemplate template = CheckedTemplate();
        if (prompt.Messages.Count == 0)
        {
            throw new EngineException(EngineError.InvalidRequest, "messages is empty; at least one message is needed.", "messages");
        }
        ToolCallFormat format = FormatOf(prompt, template);
        string? grammar = GrammarOf(prompt, format);
        return new PreparedChat(prompt, Encode(prompt, template, addGenerationPrompt: true, _text.ContextLength), grammar, format);
    }

    /// <summary>
    /// The tokens of a chat alone, ending where the assistant's answer begins; without <paramref name="addGenerationPrompt"/>, as the template ends the last
    /// message. Throws as <see cref="Prepare"/> does.
    /// </summary>
    public int[] Encode(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = true) =>
        Encode(new ChatPrompt { Messages = messages }, CheckedTemplate(), addGenerationPrompt, int.MaxValue);

    /// <summary>
    /// The tokens of a prompt that is written out, control tokens included, as plain completions take it: the model's beginning-of-sequence token
    /// comes first where it wants one and the text does not begin with it. Text from strangers is given the <paramref name="most"/> tokens that fit: what is
    /// far longer throws <see cref="EngineException"/> (ContextLengthExceeded) early.
    /// </summary>
    public int[] EncodeText(string text, int most = int.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(text);
        return WithBos(text, _tokenizer.Encode(text, addSpecial: false, parseSpecial: true, most));
    }

    private ChatTemplate CheckedTemplate() => Template ?? throw new EngineException(EngineError.InvalidRequest, WhyNoChat!, "messages");

    private ToolCallFormat FormatOf(ChatPrompt prompt, ChatTemplate template)
    {
        if (prompt.ToolUse == ToolUse.Required && prompt.Tools.Count == 0)
        {
            throw new EngineException(EngineError.InvalidRequest, "tool_choice asks for a call, but there are no tools.", "tool_choice");
        }
        if (!prompt.UsesTools)
        {
            return ToolCallFormat.None;
        }
        return template.SupportsTools
            ? template.ToolCallFormat
            : throw new EngineException(EngineError.InvalidRequest,
                $"The chat template of '{_text.Name}' knows no tools. Send the request without tools, or use a model that was trained to call them.", "tools");
    }

    private static string? GrammarOf(ChatPrompt prompt, ToolCallFormat format)
    {
        int constraints = (prompt.Format != AnswerFormat.Text ? 1 : 0) + (prompt.Grammar is not null ? 1 : 0) + (prompt.GuidedChoice is not null ? 1 : 0);
        if (constraints > 1)
        {
            throw new EngineException(EngineError.InvalidRequest, "response_format, grammar and guided_choice exclude each other; use one of them.", prompt.Grammar is not null ? "grammar" : "guided_choice");
        }
        if (prompt.UsesTools && prompt.ToolUse == ToolUse.Required)
        {
            // The answer is made of calls: a format of its text has nothing to say.
            return ToolGrammar.For(format, prompt.Tools, prompt.RequiredTool, prompt.ParallelToolCalls && prompt.RequiredTool is null);
        }
        if (prompt.Grammar is { } grammar)
        {
            if (prompt.UsesTools)
            {
                throw new EngineException(EngineError.InvalidRequest, "grammar would forbid the calls that tools allow. Set tool_choice to none, or leave grammar out.", "grammar");
            }
            Constraint.ValidateGrammar(grammar);
            return grammar;
        }
        if (constraints == 0)
        {
            return null;
        }
        if (!prompt.UsesTools || format == ToolCallFormat.None)
        {
            return prompt switch
            {
                { GuidedChoice: { } choices } => Constraint.Choices(choices),
                { Format: AnswerFormat.JsonObject } => Constraint.JsonObject(),
                _ => JsonSchemaGrammar.Convert(prompt.Schema),
            };
        }
        // Either calls, or a text of the form that was asked for.
        GrammarBuilder builder = new(prompt.GuidedChoice is null ? "response_format" : "guided_choice");
        string calls = ToolGrammar.AddRules(builder, format, prompt.Tools, null, prompt.ParallelToolCalls);
        string text = prompt switch
        {
            { GuidedChoice: { } choices } => ChoiceRules(builder, choices),
            { Format: AnswerFormat.JsonObject } => JsonSchemaGrammar.AnyObject(builder),
            _ => JsonSchemaGrammar.AddRules(builder, prompt.Schema),
        };
        return builder.Build($"{calls} | {text}");
    }

    private static string ChoiceRules(GrammarBuilder builder, IReadOnlyList<string> choices)
    {
        // For its checks of the texts.
        _ = Constraint.Choices(choices);
        return LiteralSet.AnyOf(builder, choices);
    }

    private int[] Encode(ChatPrompt prompt, ChatTemplate template, bool addGenerationPrompt, int most)
    {
        if (!PromptGuard.IsNeeded(_controls, prompt))
        {
            return EncodeText(Render(prompt, template, addGenerationPrompt), most);
        }
        PromptGuard guard = new(_controls);
        string rendered = Render(guard.Guard(prompt), template, addGenerationPrompt);
        return WithBos(rendered, guard.Encode(_tokenizer, rendered, most));
    }

    private static string Render(ChatPrompt prompt, ChatTemplate template, bool addGenerationPrompt)
    {
        IReadOnlyList<ToolDefinition>? tools = prompt.UsesTools ? prompt.Tools : null;
        IReadOnlyDictionary<string, JsonElement>? arguments = prompt.TemplateArguments;
        return template.Render(prompt.Messages, tools, addGenerationPrompt, arguments);
    }

    // Decision: by hand instead of by the tokenizer's own flag, which would also add an end-of-sequence token where a vocabulary asks for one,
    // and would double a beginning that the template wrote.
    private int[] WithBos(string text, int[] tokens) =>
        _tokenizer.AddsBos && _tokenizer.Bos >= 0 && !(_tokenizer.BosText.Length > 0 && text.StartsWith(_tokenizer.BosText, StringComparison.Ordinal))
            ? [_tokenizer.Bos, .. tokens]
            : tokens;
}
