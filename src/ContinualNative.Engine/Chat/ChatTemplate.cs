using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>A chat template as Jinja, compiled once. Thread-safe.</summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A SemaphoreSlim holds nothing native unless its wait handle is asked for.")]
public sealed class ChatTemplate
{
    /// <summary>
    /// ChatML, for model files that hold no template and whose users ask for this one: each message between <c>&lt;|im_start|&gt;</c> with
    /// its role and <c>&lt;|im_end|&gt;</c>. It knows no tools.
    /// </summary>
    public const string Default =
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    private readonly ChatTemplateOptions _options;
    private readonly string _bosToken;
    private readonly string _eosToken;
    private readonly ConcurrentBag<TemplateSandbox> _sandboxes = [];
    private readonly SemaphoreSlim _slots;
    private readonly Lazy<TemplateCapabilities> _capabilities;

    /// <summary>Compiles <paramref name="source"/>; throws <see cref="EngineException"/> (BadFile) with the position when it is not valid Jinja.</summary>
    public ChatTemplate(string source, string bosToken, string eosToken)
        : this(source, bosToken, eosToken, new ChatTemplateOptions())
    {
    }

    /// <summary>Compiles <paramref name="source"/>; throws <see cref="EngineException"/> (BadFile) with the position when it is not valid Jinja.</summary>
    public ChatTemplate(string source, string bosToken, string eosToken, ChatTemplateOptions options)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(bosToken);
        ArgumentNullException.ThrowIfNull(eosToken);
        ArgumentNullException.ThrowIfNull(options);
        Source = source;
        _bosToken = bosToken;
        _eosToken = eosToken;
        _options = options;
        _slots = new SemaphoreSlim(Math.Max(1, options.MaxConcurrency));
        _sandboxes.Add(new TemplateSandbox(source, options));
        _capabilities = new Lazy<TemplateCapabilities>(() => TemplateCapabilities.Probe(source, TryRender), LazyThreadSafetyMode.PublicationOnly); // a time-out must not stick
    }

    /// <summary>The Jinja text.</summary>
    public string Source { get; }

    /// <summary>Whether the template renders tools itself, found by rendering one.</summary>
    public bool SupportsTools => _capabilities.Value.RendersTools;

    /// <summary>How the model writes its calls, found by rendering one; <see cref="Chat.ToolCallFormat.None"/> when it is not a known way.</summary>
    public ToolCallFormat ToolCallFormat => _capabilities.Value.Format;

    /// <summary>
    /// The prompt. <paramref name="addGenerationPrompt"/> ends it where the assistant's answer begins. <paramref name="arguments"/> are further
    /// variables of the template, such as <c>enable_thinking</c>. Throws <see cref="EngineException"/>: InvalidRequest with the template's own
    /// message when it refuses the messages, or when there are tools and it knows none; BadFile when it goes over a limit.
    /// </summary>
    public string Render(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition>? tools = null, bool addGenerationPrompt = true, IReadOnlyDictionary<string, JsonElement>? arguments = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (tools is { Count: > 0 } && !SupportsTools)
        {
            throw new EngineException(EngineError.InvalidRequest, "This model's chat template knows no tools. Send the request without tools, or use a model that was trained to call them.", "tools");
        }

        TemplateContext.CheckArguments(arguments);
        return Rendered(TemplateContext.Write(messages, tools, addGenerationPrompt, arguments, _bosToken, _eosToken, _capabilities.Value));
    }

    private string? TryRender(string contextMembers)
    {
        try
        {
            return Rendered(TemplateContext.Write(contextMembers, _bosToken, _eosToken));
        }
        catch (EngineException e) when (e.Error == EngineError.InvalidRequest)
        {
            return null;
        }
    }

    private string Rendered(string context)
    {
        // Decision: waiting beats building one more engine: a rendering takes a millisecond, an engine tens of them.
        _slots.Wait();
        try
        {
            if (!_sandboxes.TryTake(out TemplateSandbox? sandbox))
            {
                sandbox = new TemplateSandbox(Source, _options);
            }

            bool usable = false;
            try
            {
                string text = sandbox.Render(context);
                usable = true;
                return text;
            }
            catch (EngineException e) when (e.Error == EngineError.InvalidRequest)
            {
                usable = true;
                throw;
            }
            finally
            {
                // One that was stopped in the middle is left to the garbage collector.
                if (usable)
                {
                    _sandboxes.Add(sandbox);
                }
            }
        }
        finally
        {
            _slots.Release();
        }
    }
}
