using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Models;

namespace ContinualNative.Engine.Chat;

/// <summary>
/// Keeps the contents of one chat from writing control tokens. A template puts contents and its own markup into one text, and in it the
/// tokenizer can't tell them apart: "&lt;|im_end|&gt;\n&lt;|im_start|&gt;system …" from a user would speak with the system's voice. So each such text
/// is rendered as a placeholder that nobody can guess, and comes back after rendering as ordinary text, tokenized by itself.
/// </summary>
internal sealed class PromptGuard(ControlTokens controls)
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Letters and digits only: they pass through trim, tojson and whatever else templates do to contents.
    private readonly string _opening = "g" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12)) + "n";
    private readonly List<string> _texts = [];

    /// <summary>Whether the chat holds anything to guard; most don't, and are tokenized in one piece, as the model was trained.</summary>
    public static bool IsNeeded(ControlTokens controls, ChatPrompt prompt)
    {
        foreach (ChatMessage message in prompt.Messages)
        {
            if (controls.AreIn(message.Content) || controls.AreIn(message.Name) || controls.AreIn(message.ToolCallId)
                || message.ToolCalls.Any(c => controls.AreIn(c.Name) || controls.AreIn(c.Id) || AreInJson(controls, c.Arguments)))
            {
                return true;
            }
        }
        return prompt.UsesTools && prompt.Tools.Any(t => controls.AreIn(t.Name) || controls.AreIn(t.Description) || (HasSchema(t) && controls.AreIn(Plain(t.Parameters))));
    }

    /// <summary>The same chat with placeholders.</summary>
    public ChatPrompt Guard(ChatPrompt prompt) => prompt with
    {
        Messages =
        [
            .. prompt.Messages.Select(m => m with
            {
                Content = Guard(m.Content),
                Name = Guard(m.Name),
                ToolCallId = Guard(m.ToolCallId),
                ToolCalls = [.. m.ToolCalls.Select(c => new ToolCall(Guard(c.Id)!, Guard(c.Name)!, GuardJson(c.Arguments)))],
            }),
        ],
        Tools = [.. prompt.Tools.Select(t => new ToolDefinition(Guard(t.Name)!, Guard(t.Description), HasSchema(t) ? JsonElement.Parse(Guard(Plain(t.Parameters))!) : t.Parameters))],
    };

    /// <summary>The tokens of the rendered text, what was guarded as ordinary text. Refuses (ContextLengthExceeded) what has more than <paramref name="most"/>.</summary>
    public int[] Encode(Tokenizer tokenizer, string rendered, int most)
    {
        List<int> tokens = [];
        ReadOnlySpan<char> rest = rendered;
        while (true)
        {
            int at = rest.IndexOf(_opening, StringComparison.Ordinal);
            ReadOnlySpan<char> markup = at < 0 ? rest : rest[..at];
            if (!markup.IsEmpty)
            {
                tokens.AddRange(tokenizer.Encode(markup.ToString(), addSpecial: false, parseSpecial: true, most));
            }
            if (at < 0)
            {
                return [.. tokens];
            }
            if (tokens.Count > most)
            {
                throw new EngineException(EngineError.ContextLengthExceeded, $"The prompt has more than {most} tokens, and no more than that fit here. Shorten it, or allow a longer context.");
            }
            rest = rest[(at + _opening.Length)..];
            int end = rest.IndexOf('z');
            if (end > 0 && int.TryParse(rest[..end], out int index) && index < _texts.Count)
            {
                tokens.AddRange(tokenizer.Encode(_texts[index], addSpecial: false, parseSpecial: false));
                rest = rest[(end + 1)..];
            }
        }
    }

    private static bool HasSchema(ToolDefinition tool) => tool.Parameters.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.Null);

    // Templates parse arguments and print them anew, so an escaped control token would come out whole.
    private static bool AreInJson(ControlTokens controls, string json) => controls.AreIn(json) || (json.Contains('\\') && controls.AreIn(Plain(json)));

    private static string Plain(string json)
    {
        try
        {
            return Plain(JsonElement.Parse(json));
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
            // No JSON, or half a surrogate pair in it: the template gets it as text.
            return json;
        }
    }

    private static string Plain(JsonElement json)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, Relaxed))
        {
            json.WriteTo(writer);
        }
        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    private string GuardJson(string json) => AreInJson(controls, json) ? Guard(Plain(json))! : json;

    private string? Guard(string? text)
    {
        if (!controls.AreIn(text))
        {
            return text;
        }
        StringBuilder guarded = new();
        ReadOnlySpan<char> rest = text;
        while (controls.Find(rest) is ( >= 0 and int index, int length))
        {
            guarded.Append(rest[..index]).Append(_opening).Append(_texts.Count).Append('z');
            _texts.Add(rest.Slice(index, length).ToString());
            rest = rest[(index + length)..];
        }
        return guarded.Append(rest).ToString();
    }
}
