using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Chatting;

/// <summary>Chats on disk: one JSONL line of <c>{"messages": [...]}</c>, which <c>eval</c> and training read too.</summary>
internal static class ChatFile
{
    private const long MaxBytes = 16 << 20;

    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes a chat; throws <see cref="ChatFailedException"/>.</summary>
    public static void Save(string path, IReadOnlyList<ChatMessage> messages)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, Relaxed))
        {
            json.WriteStartObject();
            WriteMessages(json, messages);
            json.WriteEndObject();
        }
        stream.WriteByte((byte)'\n');
        try
        {
            File.WriteAllBytes(path, stream.ToArray());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ChatFailedException($"'{path}' can't be written: {e.Message}", e);
        }
    }

    /// <summary>Reads the first chat of a file; throws <see cref="ChatFailedException"/>.</summary>
    public static List<ChatMessage> Load(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxBytes })
            {
                throw new ChatFailedException($"'{path}' is larger than {MaxBytes >> 20} MiB; it is no saved chat.");
            }
            string line = File.ReadLines(path, new UTF8Encoding(false, throwOnInvalidBytes: true)).FirstOrDefault(static l => l.Length > 0) ?? "";
            using JsonDocument document = JsonDocument.Parse(line);
            List<ChatMessage> messages = [];
            foreach (JsonElement message in document.RootElement.GetProperty("messages").EnumerateArray())
            {
                string role = message.GetProperty("role").GetString()!;
                if (role is not ("system" or "user" or "assistant"))
                {
                    throw new ChatFailedException($"'{path}' holds a message of '{role}'; a chat here has those of system, user and assistant.");
                }
                messages.Add(new ChatMessage { Role = role, Content = message.GetProperty("content").GetString() ?? "" });
            }
            return messages;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or DecoderFallbackException)
        {
            throw new ChatFailedException($"'{path}' is no saved chat: its first line must be {{\"messages\": [{{\"role\": ..., \"content\": ...}}]}}.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ChatFailedException($"'{path}' can't be read: {e.Message}", e);
        }
    }

    /// <summary>Writes the property <c>messages</c>.</summary>
    public static void WriteMessages(Utf8JsonWriter json, IReadOnlyList<ChatMessage> messages)
    {
        json.WriteStartArray("messages");
        foreach (ChatMessage message in messages)
        {
            json.WriteStartObject();
            json.WriteString("role", message.Role);
            json.WriteString("content", message.Content);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }
}
