using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using ContinualNative.Core.Teaching;

namespace ContinualNative.Core.Curation;

/// <summary>A request as it is compared with others: what was asked, without how it was written down.</summary>
/// <param name="Frame">The system prompt's text, normalized, each number as <c>0</c>.</param>
/// <param name="Body">Roles and texts of the other messages, normalized, a line each.</param>
/// <remarks>
/// Decision: the system prompt must be the same, and similarity is that of the other messages. A server's system prompts are long and few, and would make every
/// two requests similar. Numbers in it do not count: it often holds the date. Tools, choices and sampling do not count either: with other choices, the question is the same.
/// </remarks>
public sealed partial record PromptText(string Frame, string Body)
{
    /// <summary>Equal for prompts that are equal after normalization.</summary>
    public string Key => $"{Frame}\n\u0001{Body}";

    /// <summary>The words with a digit in them, in order: two questions that differ there are two questions, however similar they look.</summary>
    public string Numbers { get; } = string.Join(' ', Body.Split(' ', '\n').Where(static word => word.Any(char.IsDigit)));

    /// <summary>The words of <see cref="Body"/>, each once: runs of letters and digits, and each character of Chinese, Japanese and the like.</summary>
    public IReadOnlySet<string> ToWords() => new HashSet<string>(AnswerText.Words(Body), StringComparer.Ordinal);

    /// <summary>Reads a stored request; null where there is no conversation in it.</summary>
    public static PromptText? Read(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        try
        {
            using JsonDocument document = JsonDocument.Parse(prompt);
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                return null;
            }
            if (root.TryGetProperty("prompt", out JsonElement raw) && raw.ValueKind is JsonValueKind.String or JsonValueKind.Array)
            {
                return new PromptText("", AnswerText.Normalize(Texts(raw)));
            }
            return root.TryGetProperty("messages", out JsonElement messages) && messages.ValueKind == JsonValueKind.Array ? OfMessages(messages) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not JSON, or half of a surrogate pair in a text.
            return null;
        }
    }

    /// <summary>
    /// Whether the two ask the same up to typing errors: word by word equal, or, for words of five letters or more without a digit, one edit apart (a letter more, less,
    /// other, or two swapped). "cancel my order" and "track my order" are similar, but not the same question.
    /// </summary>
    public bool AsksTheSame(PromptText other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (Frame != other.Frame)
        {
            return false;
        }
        string[] mine = Body.Split(' ', '\n');
        string[] theirs = other.Body.Split(' ', '\n');
        return mine.Length == theirs.Length && mine.Zip(theirs).All(static pair => Alike(pair.First, pair.Second));
    }

    private static PromptText? OfMessages(JsonElement messages)
    {
        StringBuilder frame = new(), body = new();
        foreach (JsonElement message in messages.EnumerateArray())
        {
            if (message.ValueKind != JsonValueKind.Object || !message.TryGetProperty("role", out JsonElement role) || role.ValueKind != JsonValueKind.String)
            {
                return null;
            }
            string text = message.TryGetProperty("content", out JsonElement content) ? Texts(content) : "";
            if (message.TryGetProperty("tool_calls", out JsonElement calls) && calls.ValueKind == JsonValueKind.Array)
            {
                text += "\n" + calls.GetRawText();
            }
            if (role.GetString() is "system" or "developer")
            {
                frame.Append(Number().Replace(AnswerText.Normalize(text), "0")).Append('\n');
            }
            else
            {
                body.Append(body.Length > 0 ? "\n" : "").Append(role.GetString()).Append(": ").Append(AnswerText.Normalize(text));
            }
        }
        return body.Length > 0 || frame.Length > 0 ? new PromptText(frame.ToString(), body.ToString()) : null;
    }

    // A string, or an array of strings or of parts with a text.
    private static string Texts(JsonElement content) => content.ValueKind switch
    {
        JsonValueKind.String => content.GetString()!,
        JsonValueKind.Array => string.Join('\n', content.EnumerateArray().Select(Texts)),
        JsonValueKind.Object => content.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String ? text.GetString()! : content.GetRawText(),
        JsonValueKind.Number => content.GetRawText(),
        _ => "",
    };

    private static bool Alike(string a, string b)
    {
        const int least = 5;
        if (a == b)
        {
            return true;
        }
        if (Math.Min(a.Length, b.Length) < least || Math.Abs(a.Length - b.Length) > 1 || a.Any(char.IsDigit) || b.Any(char.IsDigit))
        {
            return false;
        }
        int start = a.AsSpan().CommonPrefixLength(b);
        int end = 0;
        while (end < Math.Min(a.Length, b.Length) - start && a[^(end + 1)] == b[^(end + 1)])
        {
            end++;
        }
        ReadOnlySpan<char> left = a.AsSpan(start, a.Length - start - end);
        ReadOnlySpan<char> right = b.AsSpan(start, b.Length - start - end);
        return Math.Max(left.Length, right.Length) == 1 || (left.Length == 2 && right.Length == 2 && left[0] == right[1] && left[1] == right[0]);
    }

    [GeneratedRegex(@"\d+")]
    private static partial Regex Number();
}
