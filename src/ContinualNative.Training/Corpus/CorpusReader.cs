using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using ContinualNative.Core;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Training.Corpus;

/// <summary>
/// Reads the documents of a corpus. A file named <c>.jsonl</c> holds one a line: <c>{"text"}</c>, <c>{"messages":[{"role","content"},…]}</c> or
/// <c>{"prompt","completion"}</c>, which becomes one text. Any other file is text in UTF-8: one document, or several where a form feed or a line
/// <c>&lt;|endoftext|&gt;</c> divides them. Blank documents are left out.
/// </summary>
public static class CorpusReader
{
    /// <summary>Most bytes of all files together; documents are held in memory.</summary>
    public const long MaxBytes = 1L << 30;

    private const byte FormFeed = 0x0C;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };
    private static readonly string[] Roles = ["system", "developer", "user", "assistant", "tool"];

    /// <summary>All documents of some files, in order. Throws <see cref="ExampleFormatException"/> naming file and line.</summary>
    /// <param name="paths">The files.</param>
    /// <param name="progress">Told the bytes read.</param>
    /// <param name="cancellationToken">Stops between two documents.</param>
    public static IReadOnlyList<CorpusDocument> ReadFiles(IReadOnlyList<string> paths, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(paths);
        List<CorpusDocument> documents = [];
        long bytes = 0;
        foreach (string path in paths)
        {
            byte[] content = Read(path, ref bytes);
            documents.AddRange(path.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase) ? ReadLines(content, path, cancellationToken) : ReadText(content, path));
            progress?.Report(bytes);
        }
        return documents.Count > 0 ? documents : throw new ExampleFormatException(string.Join(", ", paths), 0, "there is no text to learn from");
    }

    /// <summary>The documents of a text file's content; <paramref name="name"/> is how messages call it.</summary>
    public static IReadOnlyList<CorpusDocument> ReadText(ReadOnlyMemory<byte> content, string name)
    {
        content = WithoutMark(content);
        CheckText(content.Span, name);
        List<CorpusDocument> documents = [];
        int start = 0;
        for (int line = 0; line < content.Length;)
        {
            ReadOnlySpan<byte> rest = content.Span[line..];
            int end = rest.IndexOf((byte)'\n');
            int next = end < 0 ? content.Length : line + end + 1;
            int feed = rest[..(next - line)].IndexOf(FormFeed);
            if (feed >= 0)
            {
                Add(start, line + feed);
                start = line = line + feed + 1;
            }
            else if (rest[..(next - line)].TrimEnd("\r\n"u8).SequenceEqual("<|endoftext|>"u8))
            {
                Add(start, line);
                start = line = next;
            }
            else
            {
                line = next;
            }
        }
        Add(start, content.Length);
        return documents;

        void Add(int from, int to)
        {
            ReadOnlyMemory<byte> text = content[from..to].TrimStart("\r\n"u8).TrimEnd("\r\n"u8);
            if (!IsBlank(text.Span))
            {
                documents.Add(new CorpusDocument(false, [text]));
            }
        }
    }

    /// <summary>The documents of a JSONL file's content.</summary>
    public static IReadOnlyList<CorpusDocument> ReadLines(ReadOnlyMemory<byte> content, string name, CancellationToken cancellationToken = default)
    {
        content = WithoutMark(content);
        List<CorpusDocument> documents = [];
        for (int line = 1; !content.IsEmpty; line++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int end = content.Span.IndexOf((byte)'\n');
            ReadOnlyMemory<byte> one = end < 0 ? content : content[..end];
            content = end < 0 ? default : content[(end + 1)..];
            if (!IsBlank(one.Span) && Parse(one, name, line) is { } document)
            {
                documents.Add(document);
            }
        }
        return documents;
    }

    private static byte[] Read(string path, ref long bytes)
    {
        try
        {
            long length = new FileInfo(path).Length;
            bytes += length;
            if (bytes > MaxBytes)
            {
                throw new ExampleFormatException(path, 0, $"with it the corpus is larger than {MaxBytes >> 20} MiB, which is as much as is held in memory; give a part of it");
            }
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ExampleFormatException(path, 0, Directory.Exists(path) ? "that is a folder; name the files in it" : "there is no such file; check the path", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ExampleFormatException(path, 0, $"it can't be read: {e.Message.TrimEnd('.')}", e);
        }
    }

    private static CorpusDocument? Parse(ReadOnlyMemory<byte> line, string name, int number)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line, Strict);
            JsonElement root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw Wrong($"it must be an object, not {JsonKind.Of(root)}");
            }
            if (root.TryGetProperty("messages", out JsonElement messages))
            {
                return Chat(messages);
            }
            string text = root.TryGetProperty("text", out JsonElement plain) ? Text(plain, "text")
                : root.TryGetProperty("prompt", out JsonElement prompt) && root.TryGetProperty("completion", out JsonElement completion)
                    ? Text(prompt, "prompt") + Text(completion, "completion")
                : throw Wrong("it has none of the fields 'text', 'messages', and 'prompt' with 'completion'");
            return string.IsNullOrWhiteSpace(text) ? null : new CorpusDocument(false, [Encoding.UTF8.GetBytes(text)]);
        }
        catch (JsonException e)
        {
            throw new ExampleFormatException(name, number, "it is not JSON, or not in UTF-8; each line must be one object, such as {\"text\": \"...\"}", e);
        }
        catch (InvalidOperationException e)
        {
            throw new ExampleFormatException(name, number, "it holds text that is no valid Unicode", e);
        }

        CorpusDocument? Chat(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.Array)
            {
                throw Wrong($"the field 'messages' must be an array, not {JsonKind.Of(value)}");
            }
            List<ReadOnlyMemory<byte>> parts = [];
            bool blank = true;
            foreach (JsonElement message in value.EnumerateArray())
            {
                if (message.ValueKind != JsonValueKind.Object || !message.TryGetProperty("role", out JsonElement role) || !message.TryGetProperty("content", out JsonElement content))
                {
                    throw Wrong($"message {parts.Count} must be an object with 'role' and 'content'");
                }
                string speaker = Text(role, $"messages[{parts.Count}].role");
                if (!Roles.Contains(speaker))
                {
                    throw Wrong($"the field 'messages[{parts.Count}].role' is '{(speaker.Length > 40 ? speaker[..40] : speaker)}'; there are {string.Join(", ", Roles)}");
                }
                string said = Text(content, $"messages[{parts.Count}].content");
                blank &= string.IsNullOrWhiteSpace(said);
                parts.Add(Encoding.UTF8.GetBytes($"{speaker}\n{said}"));
            }
            return blank ? null : new CorpusDocument(true, parts);
        }

        string Text(JsonElement value, string field) =>
            value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong($"the field '{field}' must be a string, not {JsonKind.Of(value)}");

        ExampleFormatException Wrong(string reason) => new(name, number, reason);
    }

    private static void CheckText(ReadOnlySpan<byte> text, string name)
    {
        int zero = text.IndexOf((byte)0);
        if (zero >= 0)
        {
            throw new ExampleFormatException(name, LineOf(text, zero), "it holds a zero byte, so it is no text in UTF-8; convert it (from UTF-16, perhaps), or leave the file out");
        }
        if (Utf8.IsValid(text))
        {
            return;
        }
        int at = 0;
        while (Rune.DecodeFromUtf8(text[at..], out _, out int length) == OperationStatus.Done)
        {
            at += length;
        }
        throw new ExampleFormatException(name, LineOf(text, at), $"the byte 0x{text[at]:X2} there is no UTF-8; convert the file to UTF-8, or repair it");
    }

    private static int LineOf(ReadOnlySpan<byte> text, int at) => 1 + text[..at].Count((byte)'\n');

    private static ReadOnlyMemory<byte> WithoutMark(ReadOnlyMemory<byte> content) => content.Span.StartsWith("\uFEFF"u8) ? content[3..] : content;

    private static bool IsBlank(ReadOnlySpan<byte> text) => text.IndexOfAnyExcept(" \t\r\n\f"u8) < 0;
}
