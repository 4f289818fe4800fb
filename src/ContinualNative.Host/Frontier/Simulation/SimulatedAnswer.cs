using System.Text;
using System.Text.Json;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>One answer of the simulated frontier, and how it is written down.</summary>
internal sealed record SimulatedAnswer
{
    public required string Id { get; init; }

    public required DateTimeOffset At { get; init; }

    /// <summary>The release's name.</summary>
    public required string Model { get; init; }

    /// <summary>The text in pieces, one a word.</summary>
    public required IReadOnlyList<string> Pieces { get; init; }

    public required string FinishReason { get; init; }

    public required int PromptTokens { get; init; }

    public required int CachedTokens { get; init; }

    public required int CompletionTokens { get; init; }

    public int? TopLogProbs { get; init; }

    /// <summary>Whether the answer is right, which makes its log-probabilities higher.</summary>
    public bool Sure { get; init; }

    public ulong Seed { get; init; }

    /// <summary>A text's words, each with the white space before it.</summary>
    public static List<string> Split(string text)
    {
        List<string> pieces = [];
        int start = 0;
        for (int i = 1; i <= text.Length; i++)
        {
            if (i == text.Length || (char.IsWhiteSpace(text[i]) && !char.IsWhiteSpace(text[i - 1])))
            {
                pieces.Add(text[start..i]);
                start = i;
            }
        }
        return pieces;
    }

    /// <summary>The whole answer as a <c>chat.completion</c>.</summary>
    public void Write(Utf8JsonWriter json)
    {
        Head(json, "chat.completion");
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
        json.WriteStartObject("message");
        json.WriteString("role", "assistant");
        json.WriteString("content", string.Concat(Pieces));
        json.WriteNull("refusal");
        json.WriteEndObject();
        WriteLogProbs(json, 0, Pieces.Count);
        json.WriteString("finish_reason", FinishReason);
        json.WriteEndObject();
        json.WriteEndArray();
        WriteUsage(json);
        json.WriteEndObject();
    }

    /// <summary>A stream's event with one piece; −1: the one that begins it, the number of pieces: the one that ends it.</summary>
    public void WritePiece(Utf8JsonWriter json, int piece, bool usageFollows)
    {
        bool ends = piece == Pieces.Count;
        Head(json, "chat.completion.chunk");
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
        json.WriteStartObject("delta");
        if (piece < 0)
        {
            json.WriteString("role", "assistant");
            json.WriteString("content", "");
        }
        else if (!ends)
        {
            json.WriteString("content", Pieces[piece]);
        }
        json.WriteEndObject();
        WriteLogProbs(json, Math.Max(piece, 0), piece < 0 || ends ? 0 : 1);
        if (ends)
        {
            json.WriteString("finish_reason", FinishReason);
        }
        else
        {
            json.WriteNull("finish_reason");
        }
        json.WriteEndObject();
        json.WriteEndArray();
        if (usageFollows)
        {
            json.WriteNull("usage");
        }
        json.WriteEndObject();
    }

    /// <summary>A stream's event with the usage.</summary>
    public void WriteTotals(Utf8JsonWriter json)
    {
        Head(json, "chat.completion.chunk");
        json.WriteStartArray("choices");
        json.WriteEndArray();
        WriteUsage(json);
        json.WriteEndObject();
    }

    private void Head(Utf8JsonWriter json, string kind)
    {
        json.WriteStartObject();
        json.WriteString("id", Id);
        json.WriteString("object", kind);
        json.WriteNumber("created", At.ToUnixTimeSeconds());
        json.WriteString("model", Model);
    }

    private void WriteUsage(Utf8JsonWriter json)
    {
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", PromptTokens);
        json.WriteNumber("completion_tokens", CompletionTokens);
        json.WriteNumber("total_tokens", PromptTokens + CompletionTokens);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", CachedTokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void WriteLogProbs(Utf8JsonWriter json, int first, int count)
    {
        if (TopLogProbs is not { } top || count == 0)
        {
            json.WriteNull("logprobs");
            return;
        }
        json.WriteStartObject("logprobs");
        json.WriteStartArray("content");
        for (int i = first; i < first + count; i++)
        {
            double likely = LogProb(i);
            json.WriteStartObject();
            WriteToken(json, Pieces[i], likely);
            json.WriteStartArray("top_logprobs");
            for (int rank = 0; rank < top; rank++)
            {
                json.WriteStartObject();
                // The others share what the first leaves, each half of the one before.
                WriteToken(json, rank == 0 ? Pieces[i] : $" other{rank}", rank == 0 ? likely : Math.Log(1 - Math.Exp(likely)) - (rank * Math.Log(2)));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNull("refusal");
        json.WriteEndObject();
    }

    // Made up, and of the right shape: surer where the answer is right.
    private double LogProb(int piece)
    {
        double share = SeededHash.Share(Seed, "logprob", $"{Model}:{piece}:{Pieces[piece]}");
        return Sure ? -0.01 - (0.2 * share) : -0.3 - (1.5 * share);
    }

    private static void WriteToken(Utf8JsonWriter json, string token, double logProb)
    {
        json.WriteString("token", token);
        json.WriteNumber("logprob", Math.Round(logProb, 6));
        json.WriteStartArray("bytes");
        foreach (byte one in Encoding.UTF8.GetBytes(token))
        {
            json.WriteNumberValue(one);
        }
        json.WriteEndArray();
    }
}
