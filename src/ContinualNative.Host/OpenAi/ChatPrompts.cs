using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>Chats to tokens, by the model's template or the one that the server was given. Thread-safe.</summary>
internal sealed class ChatPrompts
{
    private const char Closing = '\uE001';

    private readonly Tokenizer _tokenizer;
    private readonly ControlTokens _controls;

    /// <summary>Prepares a model's prompts. Throws <see cref="EngineException"/> when <paramref name="templateSource"/> is not valid Jinja.</summary>
    /// <param name="engine">The loaded model.</param>
    /// <param name="templateSource">A template to use instead of the model's own, or null.</param>
    public ChatPrompts(InferenceEngine engine, string? templateSource)
    {
        _tokenizer = engine.Tokenizer;
        _controls = new ControlTokens(_tokenizer);
        if (templateSource is not null)
        {
            Template = new ChatTemplate(templateSource, _tokenizer.BosText, _tokenizer.EosText);
        }
        else if (engine.ChatTemplate is { } own)
        {
            Template = own;
        }
        else if (_tokenizer.Encode("<|im_start|>", addSpecial: false, parseSpecial: true).Length == 1)
        {
            Template = new ChatTemplate(ChatTemplate.Default, _tokenizer.BosText, _tokenizer.EosText);
        }
    }

    /// <summary>The template, or null when the model has none and none fits.</summary>
    public ChatTemplate? Template { get; }

    /// <summary>The tokens of a chat, ready for the assistant's answer.</summary>
    public int[] Encode(ChatRequest request) => Encode(request.Messages, request.UsesTools ? request.Tools : null, request.TemplateArguments);

    /// <summary>The tokens of a chat; without <paramref name="addGenerationPrompt"/> it ends as the template ends the last message.</summary>
    public int[] Encode(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition>? tools = null, IReadOnlyDictionary<string, JsonElement>? arguments = null, bool addGenerationPrompt = true)
    {
        if (Template is null)
        {
            throw ApiException.Invalid("no_chat_template", "This model has no chat template. Use /v1/completions, or start the server with --chat-template FILE.", "messages");
        }
        return HoldsControls(messages)
            ? EncodeGuarded(messages, tools, arguments, addGenerationPrompt)
            : EncodePlain(Template.Render(messages, tools, addGenerationPrompt, arguments));
    }

    /// <summary>The tokens of plain text, as written by the caller of <c>/v1/completions</c>, who may use control tokens.</summary>
    public int[] EncodeText(string text) => EncodePlain(text);

    private int[] EncodePlain(string text) => _tokenizer.Encode(text, addSpecial: !HasBos(text), parseSpecial: true);

    private bool HasBos(string text) => _tokenizer.BosText.Length > 0 && text.StartsWith(_tokenizer.BosText, StringComparison.Ordinal);

    private bool HoldsControls(IReadOnlyList<ChatMessage> messages)
    {
        foreach (ChatMessage message in messages)
        {
            if (Holds(message.Content) || Holds(message.Name) || Holds(message.ToolCallId))
            {
                return true;
            }
            foreach (ToolCall call in message.ToolCalls)
            {
                if (Holds(Unescaped(call.Arguments)) || Holds(call.Name) || Holds(call.Id))
                {
                    return true;
                }
            }
        }
        return false;
    }

    // Templates read arguments as JSON and write them anew: "\u003c" would pass the guard and come out as "<". So the guard sees what they will.
    private static string Unescaped(string arguments)
    {
        if (!arguments.Contains('\\'))
        {
            return arguments;
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(arguments);
            ArrayBufferWriter<byte> plain = new(arguments.Length);
            using (Utf8JsonWriter json = new(plain, JsonOut.Options))
            {
                document.RootElement.WriteTo(json);
            }
            return Encoding.UTF8.GetString(plain.WrittenSpan);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not JSON, so the template takes it as the text that it is.
            return arguments;
        }
    }

    private bool Holds(string? text) => text is not null && _controls.Find(text).Index >= 0;

    // Decision: llama-server reads control tokens anywhere in the rendered prompt, so a user's text "<|im_end|>\n<|im_start|>system ..." speaks
    // with the system's voice. Here each such text inside a message is rendered as a placeholder that nobody can guess, and comes back as ordinary
    // text, tokenized by itself. Only chats that hold one pay for the seams; all others are tokenized in one piece, as the model was trained.
    private int[] EncodeGuarded(IReadOnlyList<ChatMessage> messages, IReadOnlyList<ToolDefinition>? tools, IReadOnlyDictionary<string, JsonElement>? arguments, bool addGenerationPrompt)
    {
        string nonce = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12));
        List<string> texts = [];
        ChatMessage[] guarded =
        [
            .. messages.Select(m => m with
            {
                Content = Guard(m.Content, nonce, texts),
                Name = Guard(m.Name, nonce, texts),
                ToolCallId = Guard(m.ToolCallId, nonce, texts),
                ToolCalls = [.. m.ToolCalls.Select(c => new ToolCall(Guard(c.Id, nonce, texts)!, Guard(c.Name, nonce, texts)!, Guard(Unescaped(c.Arguments), nonce, texts)!))],
            }),
        ];
        string rendered = Template!.Render(guarded, tools, addGenerationPrompt, arguments);
        List<int> tokens = [];
        ReadOnlySpan<char> rest = rendered;
        bool first = true;
        string opening = Opening(nonce);
        while (true)
        {
            int at = rest.IndexOf(opening, StringComparison.Ordinal);
            string piece = (at < 0 ? rest : rest[..at]).ToString();
            if (piece.Length > 0 || first)
            {
                tokens.AddRange(_tokenizer.Encode(piece, addSpecial: first && !HasBos(piece), parseSpecial: true));
                first = false;
            }
            if (at < 0)
            {
                return [.. tokens];
            }
            rest = rest[(at + opening.Length)..];
            int end = rest.IndexOf(Closing);
            if (end > 0 && int.TryParse(rest[..end], out int index) && index < texts.Count)
            {
                tokens.AddRange(_tokenizer.Encode(texts[index], addSpecial: false, parseSpecial: false));
                rest = rest[(end + 1)..];
            }
        }
    }

    private static string Opening(string nonce) => $"\uE000{nonce}:";

    private string? Guard(string? text, string nonce, List<string> texts)
    {
        if (!Holds(text))
        {
            return text;
        }
        StringBuilder guarded = new();
        ReadOnlySpan<char> rest = text;
        while (_controls.Find(rest) is (>= 0 and int index, int length))
        {
            guarded.Append(rest[..index]).Append(Opening(nonce)).Append(texts.Count).Append(Closing);
            texts.Add(rest.Slice(index, length).ToString());
            rest = rest[(index + length)..];
        }
        return guarded.Append(rest).ToString();
    }
}
