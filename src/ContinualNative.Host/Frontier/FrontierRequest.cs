using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Frontier;

/// <summary>Whether the model may, must or must not call tools.</summary>
internal enum FrontierToolChoice
{
    Auto,
    None,
    Required,

    /// <summary>The one that <see cref="FrontierRequest.NamedTool"/> names.</summary>
    Named,
}

/// <summary>The form that an answer must have.</summary>
internal enum FrontierFormat
{
    Text,

    /// <summary>Any JSON object.</summary>
    JsonObject,

    /// <summary>JSON by <see cref="FrontierRequest.Schema"/>.</summary>
    JsonSchema,
}

/// <summary>One chat to be answered by a frontier model. Everything but the messages is optional; null leaves the choice to the endpoint.</summary>
internal sealed record FrontierRequest
{
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    public FrontierToolChoice ToolChoice { get; init; }

    public string? NamedTool { get; init; }

    public bool? ParallelToolCalls { get; init; }

    /// <summary>Most tokens of the answer.</summary>
    public int? MaxTokens { get; init; }

    public float? Temperature { get; init; }

    public float? TopP { get; init; }

    public IReadOnlyList<string> Stop { get; init; } = [];

    public long? Seed { get; init; }

    public float? PresencePenalty { get; init; }

    public float? FrequencyPenalty { get; init; }

    public FrontierFormat Format { get; init; }

    /// <summary>Only with <see cref="FrontierFormat.JsonSchema"/>.</summary>
    public JsonElement Schema { get; init; }

    /// <summary>Log-probabilities wanted: null: none; 0: those of the chosen tokens; n: also of the n likeliest.</summary>
    public int? TopLogProbs { get; init; }

    /// <summary>The id of the request that this is for, given back in <see cref="FrontierCharge"/>; never sent.</summary>
    public string? Reference { get; init; }
}
