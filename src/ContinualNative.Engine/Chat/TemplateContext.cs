using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>Writes what a template sees, as JSON, in the shape that Hugging Face's <c>apply_chat_template</c> gives to templates.</summary>
internal static class TemplateContext
{
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 256 };

    private static readonly HashSet<string> Reserved = new(StringComparer.Ordinal)
    {
        "messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception", "strftime_now", "namespace", "range",
        "true", "false", "none", "True", "False", "None",
    };

    /// <summary>Refuses arguments that would replace what the server itself gives to the template.</summary>
    public static void CheckArguments(IReadOnlyDictionary<string, JsonElement>? arguments)
    {
        foreach (string name in arguments?.Keys ?? [])
        {
            if (Reserved.Contains(name))
            {
                throw new EngineException(EngineError.InvalidRequest, $"chat_template_kwargs must not set '{name}': the server sets it.", "chat_template_kwargs");
            }
        }
    }

    public static string Write(string members, string bosToken, string eosToken)
    {
        return $"{{\"bos_token\":{JsonSerializer.Serialize(bosToken)},\"eos_token\":{JsonSerializer.Serialize(eosToken)},{members}}}";
    }

    public static string Write(
        IReadOnlyList<ChatMessage> messages,
        IReadOnlyList<ToolDefinition>? tools,
        bool addGenerationPrompt,
        IReadOnlyDictionary<string, JsonElement>? arguments,
        string bosToken,
        string eosToken,
        TemplateCapabilities capabilities)
    {
        ArrayBufferWriter<byte> buffer = new(4096);
        using (Utf8JsonWriter json = new(buffer, WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("bos_token", bosToken);
            json.WriteString("eos_token", eosToken);
            json.WriteBoolean("add_generation_prompt", addGenerationPrompt);
            if (tools is { Count: > 0 })
            {
                json.WriteStartArray("tools");
                foreach (ToolDefinition tool in tools)
                {
                    WriteTool(json, tool);
                }

                json.WriteEndArray();
            }
            else if (capabilities.WantsToolList)
            {
                json.WriteStartArray("tools");
                json.WriteEndArray();
            }
            else
            {
                json.WriteNull("tools");
            }

            foreach ((string name, JsonElement value) in arguments ?? new Dictionary<string, JsonElement>())
            {
                json.WritePropertyName(name);
                value.WriteTo(json);
            }

            json.WriteStartArray("messages");
            foreach (ChatMessage message in capabilities.AcceptsSystem ? messages : Folded(messages))
            {
                WriteMessage(json, message, capabilities);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    // As llama.cpp does: the system's text goes in front of the user's, one line break between.
    private static List<ChatMessage> Folded(IReadOnlyList<ChatMessage> messages)
    {
        string system = string.Join('\n', messages.Where(IsSystem).Select(m => m.Content));
        List<ChatMessage> rest = [.. messages.Where(m => !IsSystem(m))];
        if (rest.Count == messages.Count)
        {
            return rest;
        }

        int user = rest.FindIndex(m => m.Role == "user");
        if (user < 0)
        {
            rest.Insert(0, new ChatMessage { Role = "user", Content = system });
        }
        else
        {
            rest[user] = rest[user] with { Content = system + "\n" + rest[user].Content };
        }

        return rest;
    }

    private static bool IsSystem(ChatMessage message) => message.Role is "system" or "developer";

    private static void WriteTool(Utf8JsonWriter json, ToolDefinition tool)
    {
        json.WriteStartObject();
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", Whole(tool.Name));
        if (tool.Description is not null)
        {
            json.WriteString("description", Whole(tool.Description));
        }

        json.WritePropertyName("parameters");
        if (tool.Parameters.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null)
        {
            json.WriteRawValue("""{"type":"object","properties":{}}""");
        }
        else
        {
            tool.Parameters.WriteTo(json);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteMessage(Utf8JsonWriter json, ChatMessage message, TemplateCapabilities capabilities)
    {
        json.WriteStartObject();
        json.WriteString("role", message.Role == "developer" && !capabilities.KnowsDeveloper ? "system" : message.Role);
        if (message.Content is null && !capabilities.NeedsStringContent)
        {
            json.WriteNull("content");
        }
        else if (capabilities.WantsContentParts)
        {
            json.WriteStartArray("content");
            json.WriteStartObject();
            json.WriteString("type", "text");
            json.WriteString("text", Whole(message.Content ?? string.Empty));
            json.WriteEndObject();
            json.WriteEndArray();
        }
        else
        {
            json.WriteString("content", Whole(message.Content ?? string.Empty));
        }

        if (message.Name is not null)
        {
            json.WriteString("name", Whole(message.Name));
        }

        if (message.ToolCalls.Count > 0)
        {
            json.WriteStartArray("tool_calls");
            foreach (ToolCall call in message.ToolCalls)
            {
                WriteCall(json, call, capabilities);
            }

            json.WriteEndArray();
        }

        if (message.ToolCallId is not null)
        {
            json.WriteString("tool_call_id", Id(message.ToolCallId, capabilities));
        }

        json.WriteEndObject();
    }

    private static void WriteCall(Utf8JsonWriter json, ToolCall call, TemplateCapabilities capabilities)
    {
        json.WriteStartObject();
        json.WriteString("id", Id(call.Id, capabilities));
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", Whole(call.Name));
        json.WritePropertyName("arguments");
        if (!capabilities.WantsArgumentsAsText && Object(call.Arguments) is { } document)
        {
            using (document)
            {
                document.RootElement.WriteTo(json);
            }
        }
        else
        {
            json.WriteStringValue(Whole(call.Arguments));
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static JsonDocument? Object(string text)
    {
        try
        {
            JsonDocument document = JsonDocument.Parse(text.Length == 0 ? "{}" : text);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
            {
                return document;
            }

            document.Dispose();
            return null;
        }
        catch (JsonException)
        {
            return null;
        }
        catch (ArgumentException)
        {
            return null; // unpaired surrogates
        }
    }

    // Mistral's templates refuse any id that isn't nine letters and digits, but clients bring ids of other servers: a stable short form serves.
    private static string Id(string id, TemplateCapabilities capabilities)
    {
        if (!capabilities.NeedsShortIds || (id.Length == ToolCallId.ShortLength && id.All(char.IsAsciiLetterOrDigit)))
        {
            return Whole(id);
        }

        return ToolCallId.Short(SHA256.HashData(Encoding.UTF8.GetBytes(id)));
    }

    // JSON can't carry half a surrogate pair; U+FFFD takes its place, as in any conversion to UTF-8.
    private static string Whole(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsSurrogate(text[i]))
            {
                if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
                {
                    i++;
                    continue;
                }

                return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            }
        }

        return text;
    }
}
