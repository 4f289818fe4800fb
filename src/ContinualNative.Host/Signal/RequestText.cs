using System.Buffers;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;

namespace ContinualNative.Host.Signal;

/// <summary>
/// Requests and answers as the store keeps them. A stored request is a request body again, so that teaching and replays read it with the parser that
/// read it the first time.
/// </summary>
internal static class RequestText
{
    /// <summary>
    /// The fields of a body that decide its answer, as JSON. <paramref name="redact"/> is given every text of the conversation: messages, the texts of tools,
    /// and the choices that an answer is one of; a grammar is kept as it is.
    /// </summary>
    public static string Of(JsonElement body, Func<string, string> redact)
    {
        ArrayBufferWriter<byte> text = new(512);
        using (Utf8JsonWriter json = new(text, JsonOut.Options))
        {
            json.WriteStartObject();
            foreach (JsonProperty field in body.EnumerateObject())
            {
                if (field.Value.IsNull())
                {
                    continue;
                }
                switch (field.Name)
                {
                    case "messages" or "tools" or "guided_choice" or "prompt" or "stop":
                        json.WritePropertyName(field.Name);
                        Write(json, field.Value, redact);
                        break;
                    case "tool_choice" or "parallel_tool_calls" or "response_format" or "grammar" or "chat_template_kwargs" or "max_tokens" or "max_completion_tokens"
                        or "temperature" or "top_p" or "seed" or "presence_penalty" or "frequency_penalty":
                        json.WritePropertyName(field.Name);
                        field.Value.WriteTo(json);
                        break;
                }
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>What a stored chat request asks last; null when there is none, or it can't be read any more.</summary>
    public static string? QuestionOf(string stored)
    {
        try
        {
            return Read(stored).Question;
        }
        catch (ApiException)
        {
            return null;
        }
    }

    /// <summary>A stored chat request. Throws <see cref="ApiException"/> when this version of the program can't read it any more.</summary>
    public static ChatRequest Read(string stored)
    {
        // Decision: the document is left to the garbage collector. The request points into it and outlives this call.
        return ChatRequest.Parse(RequestBody.Parse(Encoding.UTF8.GetBytes(stored)).RootElement);
    }

    /// <summary>An answer: its text, or with tool calls the assistant's message as JSON.</summary>
    public static string OfAnswer(string text, IReadOnlyList<ToolCall> calls)
    {
        if (calls.Count == 0)
        {
            return text;
        }
        ArrayBufferWriter<byte> message = new(256);
        using (Utf8JsonWriter json = new(message, JsonOut.Options))
        {
            json.WriteStartObject();
            json.WriteString("role", "assistant");
            json.WriteString("content", text.Length == 0 ? null : text);
            json.WriteStartArray("tool_calls");
            foreach (ToolCall call in calls)
            {
                ChatCompletions.WriteCall(json, call, null);
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(message.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, JsonElement value, Func<string, string> redact)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                json.WriteStringValue(redact(value.GetString()!));
                break;
            case JsonValueKind.Array:
                json.WriteStartArray();
                foreach (JsonElement item in value.EnumerateArray())
                {
                    Write(json, item, redact);
                }
                json.WriteEndArray();
                break;
            case JsonValueKind.Object:
                json.WriteStartObject();
                foreach (JsonProperty field in value.EnumerateObject())
                {
                    json.WritePropertyName(field.Name);
                    // Words of the protocol, not of its users: a pattern that matched one would break the message.
                    if (field.Name is "role" or "type" or "name" or "id" or "tool_call_id" or "$ref" or "$id" or "$schema")
                    {
                        field.Value.WriteTo(json);
                    }
                    else
                    {
                        Write(json, field.Value, redact);
                    }
                }
                json.WriteEndObject();
                break;
            default:
                value.WriteTo(json);
                break;
        }
    }
}
