using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Frontier;

/// <summary>One OpenAI-compatible endpoint.</summary>
internal sealed record FrontierEndpointOptions
{
    /// <summary>What logs, the ledger and errors call it.</summary>
    public required string Name { get; init; }

    /// <summary>The base URL, such as <c>https://api.example.com/v1</c>.</summary>
    public required string Url { get; init; }

    /// <summary>The model to ask for.</summary>
    public required string Model { get; init; }

    /// <summary>The environment variable that holds the key; null: none is sent.</summary>
    public string? KeyEnv { get; init; }

    public TokenPrices Prices { get; init; } = new(0, 0, 0);

    /// <summary>Whether the endpoint's terms allow training on its answers; not unless it is said.</summary>
    public bool TrainingAllowed { get; init; }

    /// <summary>Longest wait for a stream's first piece of answer.</summary>
    public TimeSpan FirstByteTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest time for an answer as a whole, retries included.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>Calls that may run at once.</summary>
    public int MaxConcurrent { get; init; } = 16;

    /// <summary>Attempts beyond the first.</summary>
    public int Retries { get; init; } = 2;

    /// <summary>The request's field for the most tokens: <c>max_completion_tokens</c>, or <c>max_tokens</c> for older servers.</summary>
    public string MaxTokensField { get; init; } = "max_completion_tokens";

    /// <summary>Further fields for every request, as they are.</summary>
    public IReadOnlyDictionary<string, JsonElement> Extra { get; init; } = new Dictionary<string, JsonElement>();

    /// <summary>Checks everything but the key; throws <see cref="SettingException"/>.</summary>
    /// <param name="source">How messages name the endpoint's place, for example <c>continual.json: frontiers[0]</c>.</param>
    public void Validate(string source)
    {
        if (Name.Length is 0 or > 64 || Name.Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_' or '.')))
        {
            throw Wrong("name", "a name has 1 to 64 letters, digits, '-', '_' or '.'");
        }
        if (!Uri.TryCreate(Url, UriKind.Absolute, out Uri? url) || (url.Scheme != Uri.UriSchemeHttp && url.Scheme != Uri.UriSchemeHttps) || url.Host.Length == 0)
        {
            throw Wrong("url", "it must look like https://api.example.com/v1");
        }
        if (url.UserInfo.Length > 0 || url.Query.Length > 0 || url.Fragment.Length > 0)
        {
            throw Wrong("url", "it must have no user, query or fragment; a key goes into an environment variable that 'key_env' names");
        }
        if (Model.Length is 0 or > 256 || Model.Any(char.IsControl))
        {
            throw Wrong("model", "a model's name has 1 to 256 characters");
        }
        if (KeyEnv is { } variable && (variable.Length == 0 || variable.Contains('=') || variable.Any(static c => char.IsControl(c) || char.IsWhiteSpace(c))))
        {
            throw Wrong("key_env", "it must be the name of an environment variable, not the key itself");
        }
        foreach ((string key, decimal price) in (ReadOnlySpan<(string, decimal)>)[("prompt", Prices.Prompt), ("cached_prompt", Prices.CachedPrompt), ("completion", Prices.Completion)])
        {
            if (price is < 0 or > 1_000_000)
            {
                throw Wrong("prices." + key, $"{price} does not lie between 0 and 1000000 dollars per million tokens");
            }
        }
        Between("timeout", Timeout.TotalSeconds, 0.01, 3600);
        Between("first_byte_timeout", FirstByteTimeout.TotalSeconds, 0.01, 3600);
        if (FirstByteTimeout > Timeout)
        {
            throw Wrong("first_byte_timeout", "it is longer than 'timeout', the time for the whole answer");
        }
        Between("max_concurrent", MaxConcurrent, 1, 4096);
        Between("retries", Retries, 0, 10);
        if (MaxTokensField is not ("max_completion_tokens" or "max_tokens"))
        {
            throw Wrong("max_tokens_field", "it must be max_completion_tokens or max_tokens");
        }
        foreach (string field in Extra.Keys)
        {
            if (field.Length == 0 || field.Any(static c => !char.IsAsciiLetterOrDigit(c) && c != '_'))
            {
                throw Wrong("extra", "the name of a field has letters, digits and '_' only");
            }
            if (field is "model" or "messages" or "stream" or "stream_options" or "n")
            {
                throw Wrong("extra." + field, "that field is set by the server itself");
            }
        }

        void Between(string key, double value, double low, double high)
        {
            if (!(value >= low && value <= high))
            {
                throw Wrong(key, $"{value} does not lie between {low} and {high}");
            }
        }

        SettingException Wrong(string key, string reason) => new(key, reason, $"{source}.{key}");
    }
}
