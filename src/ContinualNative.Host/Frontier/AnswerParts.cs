using System.Buffers;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using OpenAI.Chat;

namespace ContinualNative.Host.Frontier;

/// <summary>Gathers an answer from the pieces of a stream, or from one whole.</summary>
internal sealed class AnswerParts
{
    private readonly StringBuilder _text = new();
    private readonly StringBuilder _refusal = new();
    private readonly SortedDictionary<int, PartialCall> _calls = [];
    private readonly List<ChatTokenLogProbabilityDetails> _logProbs = [];

    /// <summary>Pieces seen, of whatever kind.</summary>
    public int Pieces { get; private set; }

    public string? Model { get; private set; }

    /// <summary>OpenAI's word; null until the answer is complete.</summary>
    public string? FinishReason { get; private set; }

    public ChatTokenUsage? Usage { get; private set; }

    public string Text => _text.Length > 0 ? _text.ToString() : _refusal.ToString();

    public bool IsRefusal => _text.Length == 0 && _refusal.Length > 0;

    /// <summary>Characters that came so far, to estimate tokens by.</summary>
    public int Characters => _text.Length + _refusal.Length + _calls.Values.Sum(static c => c.Name.Length + c.Arguments.Length);

    /// <summary>The whole tool calls.</summary>
    public List<ToolCall> Calls() => [.. _calls.Values.Select(static c => new ToolCall(c.Id, c.Name, c.Arguments.ToString()))];

    /// <summary>Takes a piece of a stream; gives the text that it adds.</summary>
    public string Add(StreamingChatCompletionUpdate piece)
    {
        Pieces++;
        if (!string.IsNullOrEmpty(piece.Model))
        {
            Model = piece.Model;
        }
        int before = _text.Length;
        foreach (ChatMessageContentPart part in piece.ContentUpdate)
        {
            _text.Append(part.Text);
        }
        string added = _text.ToString(before, _text.Length - before);
        if (piece.RefusalUpdate is { } refusal)
        {
            _refusal.Append(refusal);
            added = _text.Length == 0 ? added + refusal : added;
        }
        foreach (StreamingChatToolCallUpdate update in piece.ToolCallUpdates)
        {
            if (!_calls.TryGetValue(update.Index, out PartialCall? call))
            {
                _calls.Add(update.Index, call = new PartialCall());
            }
            call.Id = string.IsNullOrEmpty(update.ToolCallId) ? call.Id : update.ToolCallId;
            call.Name += update.FunctionName;
            if (update.FunctionArgumentsUpdate is { } arguments)
            {
                call.Arguments.Append(arguments.ToString());
            }
        }
        _logProbs.AddRange(piece.ContentTokenLogProbabilities);
        if (piece.FinishReason is { } reason)
        {
            FinishReason = WordFor(reason);
        }
        Usage = piece.Usage ?? Usage;
        return added;
    }

    /// <summary>Takes a whole answer.</summary>
    public void Add(ChatCompletion answer)
    {
        Pieces++;
        Model = answer.Model;
        foreach (ChatMessageContentPart part in answer.Content)
        {
            _text.Append(part.Text);
        }
        _refusal.Append(answer.Refusal);
        foreach (ChatToolCall call in answer.ToolCalls)
        {
            PartialCall whole = new() { Id = call.Id, Name = call.FunctionName };
            whole.Arguments.Append(call.FunctionArguments.ToString());
            _calls.Add(_calls.Count, whole);
        }
        _logProbs.AddRange(answer.ContentTokenLogProbabilities);
        FinishReason = WordFor(answer.FinishReason);
        Usage = answer.Usage;
    }

    /// <summary>What is wrong with the complete answer; null when nothing is.</summary>
    public string? WhyNonsense(FrontierRequest request)
    {
        if (_calls.Values.Any(static c => c.Id.Length == 0 || c.Name.Length == 0))
        {
            return "a tool call in its answer has no id or no name";
        }
        if (FinishReason == "content_filter" || IsRefusal || _calls.Count > 0)
        {
            return null;
        }
        if (string.IsNullOrWhiteSpace(Text))
        {
            return FinishReason == "length" ? "its answer is empty, as the limit of tokens was used up before it began; allow more" : "its answer is empty";
        }
        if (request.Format == FrontierFormat.Text || FinishReason == "length")
        {
            return null;
        }
        try
        {
            using JsonDocument json = JsonDocument.Parse(Text);
            return request.Format == FrontierFormat.JsonObject && json.RootElement.ValueKind != JsonValueKind.Object ? "its answer is not the JSON object that was asked for" : null;
        }
        catch (JsonException)
        {
            return "its answer is not the JSON that was asked for";
        }
    }

    /// <summary>OpenAI's <c>logprobs.content</c>, or null.</summary>
    public string? LogProbsJson()
    {
        if (_logProbs.Count == 0)
        {
            return null;
        }
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer, Http.JsonOut.Options))
        {
            json.WriteStartArray();
            foreach (ChatTokenLogProbabilityDetails token in _logProbs)
            {
                json.WriteStartObject();
                Write(json, token.Token, token.LogProbability, token.Utf8Bytes);
                json.WriteStartArray("top_logprobs");
                foreach (ChatTokenTopLogProbabilityDetails other in token.TopLogProbabilities)
                {
                    json.WriteStartObject();
                    Write(json, other.Token, other.LogProbability, other.Utf8Bytes);
                    json.WriteEndObject();
                }
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, string token, float logProb, ReadOnlyMemory<byte>? bytes)
    {
        json.WriteString("token", token);
        json.WriteNumber("logprob", logProb);
        if (bytes is not { } utf8)
        {
            json.WriteNull("bytes");
            return;
        }
        json.WriteStartArray("bytes");
        foreach (byte one in utf8.Span)
        {
            json.WriteNumberValue(one);
        }
        json.WriteEndArray();
    }

    private static string WordFor(ChatFinishReason reason) => reason switch
    {
        ChatFinishReason.Length => "length",
        ChatFinishReason.ContentFilter => "content_filter",
        ChatFinishReason.ToolCalls or ChatFinishReason.FunctionCall => "tool_calls",
        _ => "stop",
    };

    private sealed class PartialCall
    {
        public string Id { get; set; } = "";

        public string Name { get; set; } = "";

        public StringBuilder Arguments { get; } = new();
    }
}
