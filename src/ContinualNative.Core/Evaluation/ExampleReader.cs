using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Evaluation;

/// <summary>
/// Reads data sets as JSONL: <c>{"messages":[{"role","content"},…]}</c> or <c>{"prompt","completion"}</c>, with optional <c>weight</c>,
/// <c>id</c> and <c>rejected</c> (a message of the assistant, or a text beside a <c>completion</c>). Other fields of a line are notes of its author and are passed over, except those that would change what the model sees.
/// </summary>
public static class ExampleReader
{
    /// <summary>Longest line in bytes.</summary>
    public const int MaxLineBytes = 16 << 20;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };
    private static readonly string[] Roles = ["system", "developer", "user", "assistant", "tool"];
    private static readonly string[] Refused = ["tools", "tool_choice", "functions", "response_format", "chat_template_kwargs"];

    /// <summary>All examples of a file, at most <paramref name="limit"/> of them. Throws <see cref="ExampleFormatException"/>.</summary>
    public static IReadOnlyList<Example> ReadFile(string path, int limit = int.MaxValue)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            return Read(stream, path, limit);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ExampleFormatException(path, 0, "there is no such file; check the path", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ExampleFormatException(path, 0, Directory.Exists(path) ? "that is a folder; name a .jsonl file in it" : $"it can't be read: {e.Message.TrimEnd('.')}", e);
        }
    }

    /// <summary>All examples of a stream; <paramref name="name"/> is how messages call it. Throws <see cref="ExampleFormatException"/>.</summary>
    public static IReadOnlyList<Example> Read(Stream stream, string name, int limit = int.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(stream);
        List<Example> examples = [];
        foreach ((int line, ReadOnlyMemory<byte> bytes) in Lines(stream, name))
        {
            if (examples.Count == limit)
            {
                break;
            }
            if (!IsBlank(bytes.Span))
            {
                examples.Add(Parse(bytes, name, line));
            }
        }
        return examples.Count > 0 ? examples : throw new ExampleFormatException(name, 0, "it holds no examples; each line must be {\"messages\": [...]} or {\"prompt\": ..., \"completion\": ...}");
    }

    private static IEnumerable<(int Line, ReadOnlyMemory<byte> Bytes)> Lines(Stream stream, string name)
    {
        byte[] buffer = new byte[64 << 10];
        int start = 0;
        int end = 0;
        int searched = 0;
        for (int line = 1; ;)
        {
            int at = buffer.AsSpan(searched, end - searched).IndexOf((byte)'\n');
            if (at >= 0)
            {
                yield return (line, buffer.AsMemory(start..(searched + at)));
                line++;
                start = searched += at + 1;
                continue;
            }
            if (end - start > MaxLineBytes)
            {
                throw new ExampleFormatException(name, line, $"the line is longer than {MaxLineBytes >> 20} MiB; is this JSONL, with one example a line?");
            }
            if (start > 0)
            {
                buffer.AsSpan(start..end).CopyTo(buffer);
                (start, end) = (0, end - start);
            }
            else if (end == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }
            searched = end;
            int read = stream.Read(buffer, end, buffer.Length - end);
            if (read == 0)
            {
                if (end > start)
                {
                    yield return (line, buffer.AsMemory(start..end));
                }
                yield break;
            }
            end += read;
        }
    }

    private static bool IsBlank(ReadOnlySpan<byte> line) => line.TrimStart(" \t\r\uFEFF"u8).IsEmpty;

    private static Example Parse(ReadOnlyMemory<byte> bytes, string name, int line)
    {
        if (line == 1 && bytes.Span.StartsWith("\uFEFF"u8))
        {
            bytes = bytes[3..];
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes, Strict);
            return Parse(document.RootElement, name, line);
        }
        catch (JsonException e)
        {
            string where = e.BytePositionInLine is { } position ? $" at byte {position + 1}" : "";
            throw new ExampleFormatException(name, line, $"this is not valid JSON{where}: {Reason(e)}", e);
        }
        catch (InvalidOperationException e)
        {
            // What GetString says of bytes that are no UTF-8 and of lone surrogates.
            throw new ExampleFormatException(name, line, "a text is not valid UTF-8 or holds half of a surrogate pair; save the file as UTF-8", e);
        }
    }

    private static string Reason(JsonException e)
    {
        string text = e.Message;
        int at = text.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return (at < 0 ? text : text[..at]).TrimEnd('.', ' ');
    }

    private static Example Parse(JsonElement root, string name, int line)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Wrong($"a line must be a JSON object, not {JsonKind.Of(root)}");
        }
        foreach (string field in Refused)
        {
            if (root.TryGetProperty(field, out JsonElement value) && value.ValueKind != JsonValueKind.Null)
            {
                throw Wrong($"the field '{field}' is not supported here, and leaving it out would change what the model sees; remove it");
            }
        }
        string? id = Field("id") switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            { ValueKind: JsonValueKind.Number } number => number.GetRawText(),
            { } other => throw Wrong($"the field 'id' must be a string or a number, not {JsonKind.Of(other)}"),
        };
        double weight = 1;
        if (Field("weight") is { } given && (given.ValueKind != JsonValueKind.Number || !given.TryGetDouble(out weight) || !(weight >= 0) || !double.IsFinite(weight)))
        {
            throw Wrong($"the field 'weight' must be a number of 0 or more, not {Shown(given)}");
        }
        bool raw = root.TryGetProperty("prompt", out JsonElement prompt) | root.TryGetProperty("completion", out JsonElement completion);
        if (root.TryGetProperty("messages", out JsonElement messages))
        {
            if (raw)
            {
                throw Wrong("it has 'messages' and also 'prompt' or 'completion'; keep one of the two");
            }
            List<ChatMessage> chat = Messages(messages);
            return new Example { Line = line, Id = id, Weight = weight, Messages = chat, Target = chat[^1].Content!, Rejected = RejectedMessage() };
        }
        if (!raw)
        {
            throw Wrong("the field 'messages' is missing (or 'prompt' and 'completion', for raw text)");
        }
        string text1 = Text(prompt, "prompt", mayBeEmpty: true);
        return new Example { Line = line, Id = id, Weight = weight, Prompt = text1, Target = Text(completion, "completion", mayBeEmpty: false), Rejected = Field("rejected") is { } worse ? Text(worse, "rejected", mayBeEmpty: false) : null };

        JsonElement? Field(string field) => root.TryGetProperty(field, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

        ExampleFormatException Wrong(string reason) => new(name, line, reason);

        string Text(JsonElement value, string field, bool mayBeEmpty)
        {
            if (value.ValueKind != JsonValueKind.String)
            {
                throw Wrong(value.ValueKind == JsonValueKind.Undefined ? $"the field '{field}' is missing" : $"the field '{field}' must be a string, not {JsonKind.Of(value)}");
            }
            string text = value.GetString()!;
            return text.Length > 0 || mayBeEmpty ? text : throw Wrong($"the field '{field}' is empty; there is nothing to compare with");
        }

        string? RejectedMessage()
        {
            if (Field("rejected") is not { } message)
            {
                return null;
            }
            if (message.ValueKind != JsonValueKind.Object)
            {
                throw Wrong($"the field 'rejected' must be a message of the assistant beside 'messages', not {JsonKind.Of(message)}");
            }
            message.TryGetProperty("role", out JsonElement role);
            message.TryGetProperty("content", out JsonElement content);
            string speaker = Text(role, "rejected.role", mayBeEmpty: true);
            return speaker != "assistant" ? throw Wrong($"the field 'rejected.role' is '{Cut(speaker)}'; it must be assistant")
                : string.IsNullOrWhiteSpace(Text(content, "rejected.content", mayBeEmpty: false)) ? throw Wrong("the field 'rejected.content' is empty; there is nothing to compare with")
                : content.GetString();
        }

        List<ChatMessage> Messages(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.Array)
            {
                throw Wrong($"the field 'messages' must be an array, not {JsonKind.Of(value)}");
            }
            List<ChatMessage> chat = new(value.GetArrayLength());
            foreach (JsonElement message in value.EnumerateArray())
            {
                string where = $"messages[{chat.Count}]";
                if (message.ValueKind != JsonValueKind.Object)
                {
                    throw Wrong($"'{where}' must be an object, not {JsonKind.Of(message)}");
                }
                foreach (JsonProperty field in message.EnumerateObject())
                {
                    if (field.Name is not ("role" or "content" or "name") && field.Value.ValueKind != JsonValueKind.Null)
                    {
                        throw Wrong($"the field '{where}.{Cut(field.Name)}' is not supported; a message has 'role', 'content' and 'name'");
                    }
                }
                message.TryGetProperty("role", out JsonElement role);
                message.TryGetProperty("content", out JsonElement content);
                string speaker = Text(role, $"{where}.role", mayBeEmpty: true);
                if (!Roles.Contains(speaker))
                {
                    throw Wrong($"the field '{where}.role' is '{Cut(speaker)}'; it must be one of {string.Join(", ", Roles)}");
                }
                chat.Add(new ChatMessage
                {
                    Role = speaker,
                    Content = Text(content, $"{where}.content", mayBeEmpty: true),
                    Name = message.TryGetProperty("name", out JsonElement called) && called.ValueKind != JsonValueKind.Null ? Text(called, $"{where}.name", mayBeEmpty: true) : null,
                });
            }
            return chat.Count == 0 ? throw Wrong("the field 'messages' is empty")
                : chat[^1].Role != "assistant" ? throw Wrong($"the last of 'messages' must be the assistant's, as it is the target; it is of '{chat[^1].Role}'")
                : chat.Count == 1 ? throw Wrong("the field 'messages' holds the assistant's answer only; a message before it is needed")
                : string.IsNullOrWhiteSpace(chat[^1].Content) ? throw Wrong($"the field 'messages[{chat.Count - 1}].content' is empty; there is nothing to compare with")
                : chat;
        }
    }

    private static string Shown(JsonElement value) => value.ValueKind is JsonValueKind.Number ? Cut(value.GetRawText()) : JsonKind.Of(value);

    private static string Cut(string text)
    {
        StringBuilder shown = new();
        foreach (Rune rune in text.EnumerateRunes().Take(40))
        {
            shown.Append(Rune.IsControl(rune) ? Rune.ReplacementChar : rune);
        }
        return shown.ToString();
    }
}
