using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.OpenAi;

namespace ContinualNative.Host.Signal;

/// <summary>A chat request as it is asked of a frontier model.</summary>
internal static class FrontierRequests
{
    /// <summary>
    /// Whether a frontier endpoint can answer a request as its client asked it: one choice, no grammar, nothing that names this model's tokens. A choice among
    /// given texts can be asked for in words, and checked.
    /// </summary>
    public static bool IsPortable(ChatRequest request) =>
        request is { Choices: 1, Grammar: null, PlainSampling: true }
        && !(request.Stream && request.TopLogProbs >= 0)
        && !(request.GuidedChoice is { } choices && choices.Exists(static c => c.AsSpan().ContainsAny('|', '\n', '\r')));

    /// <param name="request">A portable request.</param>
    /// <param name="reference">The id to which its costs belong.</param>
    public static FrontierRequest Of(ChatRequest request, string reference) => new()
    {
        Messages = request.GuidedChoice is { } choices ? WithChoices(request.Messages, choices) : request.Messages,
        Tools = request.Tools,
        ToolChoice = request.ToolChoice switch
        {
            ToolChoice.None => FrontierToolChoice.None,
            ToolChoice.Required => FrontierToolChoice.Required,
            ToolChoice.Named => FrontierToolChoice.Named,
            _ => FrontierToolChoice.Auto,
        },
        NamedTool = request.NamedTool,
        ParallelToolCalls = request.Tools.Count > 0 ? request.ParallelToolCalls : null,
        MaxTokens = request.MaxTokens,
        Temperature = request.Sampling.Temperature == 1 ? null : request.Sampling.Temperature,
        TopP = request.Sampling.TopP == 1 ? null : request.Sampling.TopP,
        Stop = request.Stop,
        Seed = request.Sampling.Seed is { } seed ? unchecked((long)seed) : null,
        PresencePenalty = request.Sampling.PresencePenalty == 0 ? null : request.Sampling.PresencePenalty,
        FrequencyPenalty = request.Sampling.FrequencyPenalty == 0 ? null : request.Sampling.FrequencyPenalty,
        Format = request.ResponseFormat switch
        {
            AnswerFormat.JsonObject => FrontierFormat.JsonObject,
            AnswerFormat.JsonSchema => FrontierFormat.JsonSchema,
            _ => FrontierFormat.Text,
        },
        Schema = request.Schema,
        TopLogProbs = request.TopLogProbs >= 0 ? request.TopLogProbs : null,
        Reference = reference,
    };

    /// <summary>
    /// The choice that an answer makes, in its client's spelling; null when it makes none. Letters' case, blanks and a full stop or quotes around it are forgiven.
    /// </summary>
    public static string? ChoiceOf(string answer, IReadOnlyList<string> choices)
    {
        string plain = Plain(answer);
        return choices.FirstOrDefault(c => c == answer) ?? choices.FirstOrDefault(c => Plain(c) == plain);
    }

    /// <summary>As <see cref="ChoiceOf"/>; throws <see cref="FrontierException"/> (Nonsense) when the answer makes none.</summary>
    public static string RequireChoice(string answer, IReadOnlyList<string> choices, string endpoint) => ChoiceOf(answer, choices)
        ?? throw new FrontierException(FrontierErrorKind.Nonsense, endpoint, $"'{endpoint}' answered with none of the texts of 'guided_choice'.");

    private static string Plain(string text) => text.Trim().Trim('"', '\'', '`', '.', '*').Trim().ToLowerInvariant();

    private static List<ChatMessage> WithChoices(List<ChatMessage> messages, List<string> choices)
    {
        string rule = $"Answer with exactly one of: {string.Join(" | ", choices)}";
        List<ChatMessage> all = [.. messages];
        int system = all.FindIndex(static m => m.Role is "system" or "developer");
        if (system >= 0)
        {
            all[system] = all[system] with { Content = $"{all[system].Content}\n\n{rule}" };
        }
        else
        {
            all.Insert(0, new ChatMessage { Role = "system", Content = rule });
        }
        return all;
    }
}
