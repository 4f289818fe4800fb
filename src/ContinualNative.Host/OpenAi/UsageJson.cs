using System.Text.Json;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.OpenAi;

/// <summary>Tokens of a whole request: each prompt once, all of its choices.</summary>
internal readonly record struct Usage(int PromptTokens, int CachedTokens, int CompletionTokens)
{
    /// <param name="results">In the order of prompts, then choices.</param>
    /// <param name="choices">Choices of each prompt.</param>
    public static Usage Of(IReadOnlyList<GenerationResult> results, int choices)
    {
        Usage usage = default;
        for (int i = 0; i < results.Count; i++)
        {
            bool first = i % choices == 0;
            usage = new Usage(
                usage.PromptTokens + (first ? results[i].PromptTokens : 0),
                usage.CachedTokens + (first ? results[i].CachedTokens : 0),
                usage.CompletionTokens + results[i].CompletionTokens);
        }
        return usage;
    }

    /// <summary>The value of <c>usage</c>.</summary>
    public static void Write(Utf8JsonWriter json, Usage usage)
    {
        json.WriteStartObject();
        json.WriteNumber("prompt_tokens", usage.PromptTokens);
        json.WriteNumber("completion_tokens", usage.CompletionTokens);
        json.WriteNumber("total_tokens", usage.PromptTokens + usage.CompletionTokens);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", usage.CachedTokens);
        json.WriteNumber("audio_tokens", 0);
        json.WriteEndObject();
        json.WriteStartObject("completion_tokens_details");
        json.WriteNumber("reasoning_tokens", 0);
        json.WriteNumber("audio_tokens", 0);
        json.WriteNumber("accepted_prediction_tokens", 0);
        json.WriteNumber("rejected_prediction_tokens", 0);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
