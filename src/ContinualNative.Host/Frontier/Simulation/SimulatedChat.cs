using System.Text;
using System.Text.Json;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>What the simulated frontier reads of a chat request; everything else in it is passed over.</summary>
internal sealed class SimulatedChat
{
    private const double TokensPerWord = 1.3;

    /// <summary>The last message of the user.</summary>
    public required string Prompt { get; init; }

    /// <summary>All system and developer messages; empty without any.</summary>
    public required string System { get; init; }

    /// <summary>The only answers allowed, as a line of a message says; empty without one.</summary>
    public required IReadOnlyList<string> Choices { get; init; }

    public required int PromptTokens { get; init; }

    public bool Stream { get; init; }

    public bool IncludeUsage { get; init; }

    public int MaxTokens { get; init; }

    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>null: none wanted.</summary>
    public int? TopLogProbs { get; init; }

    /// <summary>Words × 1.3, rounded.</summary>
    public static int Tokens(string text) => (int)Math.Round(Words(text) * TokensPerWord, MidpointRounding.AwayFromZero);

    /// <summary>Reads a body; throws <see cref="ApiException"/>.</summary>
    public static SimulatedChat Parse(JsonElement body)
    {
        if (!body.TryGetProperty("messages", out JsonElement messages) || messages.IsNull())
        {
            throw ApiException.Missing("messages");
        }
        StringBuilder system = new();
        string prompt = "";
        List<string> choices = [];
        int words = 0;
        int index = 0;
        foreach (JsonElement message in JsonIn.Array(messages, "messages").EnumerateArray())
        {
            string param = $"messages[{index++}]";
            string role = JsonIn.Object(message, param).TryGetProperty("role", out JsonElement speaker) ? JsonIn.Text(speaker, param + ".role") : throw ApiException.Missing(param + ".role");
            string text = message.TryGetProperty("content", out JsonElement content) ? Text(content, param + ".content") : "";
            words += Words(text);
            if (role is "system" or "developer")
            {
                system.Append(text).Append('\n');
            }
            else if (role == "user")
            {
                prompt = text;
            }
            foreach (string line in text.Split('\n'))
            {
                int mark = line.IndexOf(SimulatedKnowledge.ChoicesMark, StringComparison.OrdinalIgnoreCase);
                if (mark >= 0)
                {
                    choices = [.. line[(mark + SimulatedKnowledge.ChoicesMark.Length)..].Split('|', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];
                }
            }
        }
        if (index == 0)
        {
            throw ApiException.WrongValue("messages", "Invalid 'messages': there are none.");
        }
        bool stream = body.TryGetProperty("stream", out JsonElement streamed) && !streamed.IsNull() && JsonIn.Flag(streamed, "stream");
        bool logProbs = body.TryGetProperty("logprobs", out JsonElement wanted) && !wanted.IsNull() && JsonIn.Flag(wanted, "logprobs");
        return new SimulatedChat
        {
            Prompt = prompt,
            System = system.ToString(),
            Choices = choices,
            PromptTokens = (int)Math.Round(words * TokensPerWord, MidpointRounding.AwayFromZero),
            Stream = stream,
            IncludeUsage = body.TryGetProperty("stream_options", out JsonElement options) && options.ValueKind == JsonValueKind.Object && options.TryGetProperty("include_usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.True,
            MaxTokens = Most(body, "max_completion_tokens") ?? Most(body, "max_tokens") ?? int.MaxValue,
            Stop = Stops(body),
            TopLogProbs = !logProbs ? null : body.TryGetProperty("top_logprobs", out JsonElement top) && !top.IsNull() ? (int)JsonIn.Whole(top, "top_logprobs", 0, 20) : 0,
        };
    }

    private static int Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;

    private static int? Most(JsonElement body, string field) =>
        body.TryGetProperty(field, out JsonElement value) && !value.IsNull() ? (int)JsonIn.Whole(value, field, 1, int.MaxValue) : null;

    private static List<string> Stops(JsonElement body)
    {
        if (!body.TryGetProperty("stop", out JsonElement stop) || stop.IsNull())
        {
            return [];
        }
        return stop.ValueKind == JsonValueKind.String ? [stop.GetString()!] : [.. JsonIn.Array(stop, "stop").EnumerateArray().Select(static s => JsonIn.Text(s, "stop"))];
    }

    private static string Text(JsonElement content, string param)
    {
        switch (content.ValueKind)
        {
            case JsonValueKind.Null:
                return "";
            case JsonValueKind.String:
                return content.GetString()!;
            default:
                IEnumerable<string> parts = JsonIn.Array(content, param).EnumerateArray()
                    .Select(p => JsonIn.Object(p, param).TryGetProperty("text", out JsonElement text) ? JsonIn.Text(text, param + ".text") : "");
                return string.Join('\n', parts);
        }
    }
}
