using System.Text;
using System.Text.Json;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;

namespace ContinualNative.Host.OpenAi;

/// <summary>Log-probabilities in the shape of chat completions.</summary>
internal static class LogProbsJson
{
    /// <summary>The least that is told: JSON has no infinity, and OpenAI uses this figure too.</summary>
    public const float Floor = -9999f;

    /// <summary><c>{"content":[...],"refusal":null}</c>. Tokens that end an answer are no part of it and are left out.</summary>
    public static void Write(Utf8JsonWriter json, (IReadOnlyList<TokenInfo> Tokens, Tokenizer Tokenizer) state)
    {
        json.WriteStartObject();
        json.WriteStartArray("content");
        foreach (TokenInfo token in state.Tokens)
        {
            if (state.Tokenizer.IsEnd(token.Token))
            {
                continue;
            }
            json.WriteStartObject();
            WriteToken(json, state.Tokenizer, token.Token, token.LogProb);
            json.WriteStartArray("top_logprobs");
            foreach (TokenLogProb top in token.Top)
            {
                json.WriteStartObject();
                WriteToken(json, state.Tokenizer, top.Token, top.LogProb);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNull("refusal");
        json.WriteEndObject();
    }

    /// <summary>A token as text; bytes that form no character become U+FFFD.</summary>
    public static string TextOf(Tokenizer tokenizer, int token) => Encoding.UTF8.GetString(tokenizer.Bytes(token, showSpecial: true));

    public static float Clamp(float logProb) => logProb > Floor ? logProb : Floor;

    private static void WriteToken(Utf8JsonWriter json, Tokenizer tokenizer, int token, float logProb)
    {
        ReadOnlySpan<byte> bytes = tokenizer.Bytes(token, showSpecial: true);
        json.WriteString("token", Encoding.UTF8.GetString(bytes));
        json.WriteNumber("logprob", Clamp(logProb));
        json.WriteStartArray("bytes");
        foreach (byte b in bytes)
        {
            json.WriteNumberValue(b);
        }
        json.WriteEndArray();
    }
}
