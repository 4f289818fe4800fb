namespace ContinualNative.Core.Traffic;

/// <summary>Which endpoint a request came to. The numbers are stored.</summary>
public enum RequestKind
{
    Chat = 0,
    Completion = 1,
}

/// <summary>One answered request, as it is stored. Texts are redacted before they come here; they are null where texts are not recorded.</summary>
public sealed record RequestRecord
{
    /// <summary>24 hexadecimal digits in lower case; what the client knows it by.</summary>
    public required string Id { get; init; }

    public required DateTimeOffset At { get; init; }

    public required RequestKind Kind { get; init; }

    /// <summary>Id of the API key, or null.</summary>
    public string? KeyId { get; init; }

    /// <summary>What the request said of its end user (<c>safety_identifier</c>, <c>user</c>); the store keeps a keyed hash of it only.</summary>
    public string? User { get; init; }

    public required string Task { get; init; }

    /// <summary>The local model's name.</summary>
    public required string Model { get; init; }

    /// <summary>The adapter that answered, or <c>base</c>.</summary>
    public required string Adapter { get; init; }

    public bool Streamed { get; init; }

    public required RouteDecision Decision { get; init; }

    /// <summary>OpenAI's word for how the sent answer ended.</summary>
    public string FinishReason { get; init; } = "stop";

    /// <summary>Tokens of the local model: prompt, found in its cache, generated.</summary>
    public int PromptTokens { get; init; }

    public int CachedTokens { get; init; }

    public int CompletionTokens { get; init; }

    /// <summary>Time from arrival to the local answer's end; zero without one.</summary>
    public TimeSpan LocalTime { get; init; }

    /// <summary>Time from arrival to the last byte sent.</summary>
    public TimeSpan TotalTime { get; init; }

    /// <summary>The request as JSON: <c>{"messages":[...],"tools":[...],...}</c> or <c>{"prompt":"..."}</c>, only what decides the answer.</summary>
    public string? Prompt { get; init; }

    /// <summary>The local answer as text; with tool calls, the assistant's message as JSON. null without one.</summary>
    public string? LocalAnswer { get; init; }

    /// <summary>Embedding of the prompt (unit length), or empty.</summary>
    public ReadOnlyMemory<float> Embedding { get; init; }
}
