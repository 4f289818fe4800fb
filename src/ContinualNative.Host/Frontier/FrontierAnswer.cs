using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Frontier;

/// <summary>A frontier model's whole answer.</summary>
internal sealed record FrontierAnswer
{
    /// <summary>The text; empty beside tool calls. A refusal is its words.</summary>
    public required string Text { get; init; }

    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>OpenAI's word: <c>stop</c>, <c>length</c>, <c>tool_calls</c>, <c>content_filter</c> (refusals too).</summary>
    public required string FinishReason { get; init; }

    /// <summary>Tokens of the prompt, with those that the provider had cached.</summary>
    public required int PromptTokens { get; init; }

    public required int CachedTokens { get; init; }

    public required int CompletionTokens { get; init; }

    /// <summary>Whether the endpoint told no usage, so that the counts are characters ÷ 4.</summary>
    public bool UsageEstimated { get; init; }

    /// <summary>The endpoint's configured name.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The model and version that the endpoint says it answered with.</summary>
    public required string Model { get; init; }

    public required Money Cost { get; init; }

    /// <summary>From the call's start at this endpoint (waiting for a slot not counted) to the answer's end.</summary>
    public required TimeSpan Latency { get; init; }

    /// <summary>OpenAI's <c>logprobs.content</c> as JSON text, or null.</summary>
    public string? LogProbs { get; init; }

    /// <summary>Whether the endpoint's terms allow training on its answers.</summary>
    public required bool TrainingAllowed { get; init; }
}

/// <summary>A part of a streamed answer. The last one has the <see cref="Answer"/> and nothing else.</summary>
internal sealed record FrontierChunk
{
    /// <summary>Text to append; may be empty.</summary>
    public string Text { get; init; } = "";

    /// <summary>Whole tool calls, gathered from their pieces.</summary>
    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>The whole answer with its totals, once it is complete; else null.</summary>
    public FrontierAnswer? Answer { get; init; }
}
