namespace ContinualNative.Engine.Generation;

/// <summary>How the next token is drawn. The defaults are those of the OpenAI API.</summary>
public sealed record SamplingOptions
{
    /// <summary>0: always the likeliest token.</summary>
    public float Temperature { get; init; } = 1f;

    /// <summary>Only the k likeliest tokens; 0: all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the smallest set of tokens whose probabilities sum to this (nucleus sampling, arXiv 1904.09751); 1: all.</summary>
    public float TopP { get; init; } = 1f;

    /// <summary>Only tokens at least this times as likely as the likeliest (arXiv 2407.01082); 0: all.</summary>
    public float MinP { get; init; }

    /// <summary>Taken from the logit of every token that the answer holds already, −2 to 2.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Taken from the logit of a token once per occurrence in the answer, −2 to 2.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Divides positive logits and multiplies negative ones of tokens in the answer (CTRL, arXiv 1909.05858); 1: off.</summary>
    public float RepeatPenalty { get; init; } = 1f;

    /// <summary>Same seed, same prompt, same answer; null: drawn at random.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Token id → amount added to its logit; −100 or less forbids it.</summary>
    public IReadOnlyDictionary<int, float> LogitBias { get; init; } = new Dictionary<int, float>();
}

/// <summary>One answer to be generated.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt's token ids, beginning-of-sequence token included where the model wants one.</summary>
    public required ReadOnlyMemory<int> Prompt { get; init; }

    /// <summary>null: the champion at the time of admission; <c>base</c>: none; else an adapter's id.</summary>
    public string? Adapter { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Most tokens to generate; null: what the context leaves.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Texts that end the answer; they are not part of it.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>A GBNF grammar with the rule <c>root</c> that the answer must match, or null.</summary>
    public string? Grammar { get; init; }

    /// <summary>−1: no log-probabilities; 0: those of the chosen tokens; n: also of the n likeliest (at most 20).</summary>
    public int TopLogProbs { get; init; } = -1;

    /// <summary>Go on past end-of-generation tokens; for load tests.</summary>
    public bool IgnoreEnd { get; init; }

    /// <summary>After how many tokens <see cref="RunningAnswer.Early"/> tells how sure the model is so far; 0: it is not asked.</summary>
    public int EarlyTokens { get; init; }

    /// <summary>Show control tokens (such as tool-call markers) as text instead of dropping them.</summary>
    public bool ShowSpecialTokens { get; init; }

    /// <summary>Compute the whole prompt, also what the prefix cache holds of it; to measure how long an answer takes.</summary>
    public bool ComputeWholePrompt { get; init; }

    /// <summary>Longest time from arrival to the last token; null: the engine's <see cref="EngineOptions.RequestTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }
}

/// <summary>Why an answer ended.</summary>
public enum FinishReason
{
    /// <summary>Still running.</summary>
    None,

    /// <summary>The model ended it, a stop text came, or the grammar was complete.</summary>
    Stop,

    /// <summary><see cref="GenerationRequest.MaxTokens"/> or the context's end.</summary>
    Length,

    /// <summary>The consumer cancelled.</summary>
    Cancelled,

    /// <summary>The time ran out.</summary>
    Timeout,

    /// <summary>The engine failed; the stream throws.</summary>
    Error,
}
