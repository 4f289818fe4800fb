using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Frontier;

/// <summary>When an endpoint that fails is left alone for a while.</summary>
internal sealed record FrontierBreakerOptions
{
    /// <summary>The share of failed attempts within <see cref="Window"/> that opens the circuit.</summary>
    public double FailureRatio { get; init; } = 0.5;

    /// <summary>Attempts (retries count) within <see cref="Window"/> below which it stays closed.</summary>
    public int MinimumCalls { get; init; } = 10;

    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long it stays open before one call is tried.</summary>
    public TimeSpan Break { get; init; } = TimeSpan.FromSeconds(15);
}

/// <summary>The frontier models that hard requests and lessons go to.</summary>
internal sealed record FrontierOptions
{
    /// <summary>In order of preference; may be empty.</summary>
    public IReadOnlyList<FrontierEndpointOptions> Endpoints { get; init; } = [];

    /// <summary>US dollars a UTC day for answers; null: no limit.</summary>
    public decimal? EscalationPerDay { get; init; }

    /// <summary>US dollars a UTC day for labels; null: no limit.</summary>
    public decimal? TeachingPerDay { get; init; }

    public FrontierBreakerOptions Breaker { get; init; } = new();

    /// <summary>Middle of the wait before the first retry; later ones wait longer, all with jitter.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The longest <c>Retry-After</c> that is waited for; a longer one goes to the next endpoint at once.</summary>
    public TimeSpan RetryAfterCap { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Longest wait for a free slot of the last endpoint; the others are passed over at once when they are full.</summary>
    public TimeSpan SlotWait { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Longest wait for a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Largest body of an answer, in bytes.</summary>
    public long MaxAnswerBytes { get; init; } = 16 << 20;

    /// <summary>Tokens of an answer to reckon with, before a call whose request sets no limit.</summary>
    public int ExpectedTokens { get; init; } = 512;

    /// <summary>Checks everything and that every named key is there; throws <see cref="SettingException"/>.</summary>
    /// <param name="environment">Looks up an environment variable; the process's by default.</param>
    public void Validate(Func<string, string?>? environment = null)
    {
        environment ??= Environment.GetEnvironmentVariable;
        HashSet<string> names = new(StringComparer.Ordinal);
        for (int i = 0; i < Endpoints.Count; i++)
        {
            FrontierEndpointOptions endpoint = Endpoints[i];
            string source = $"frontier[{i}]";
            endpoint.Validate(source);
            if (!names.Add(endpoint.Name))
            {
                throw new SettingException("name", $"there are two endpoints named '{endpoint.Name}'", source + ".name");
            }
            if (endpoint.KeyEnv is { } variable && string.IsNullOrWhiteSpace(environment(variable)))
            {
                throw new SettingException("key_env", $"the environment variable '{variable}' is not set; put the key of '{endpoint.Name}' there", source + ".key_env");
            }
        }
        foreach ((string key, decimal? budget) in (ReadOnlySpan<(string, decimal?)>)[("frontier-budget", EscalationPerDay), ("teaching-budget", TeachingPerDay)])
        {
            if (budget is < 0 or > 1_000_000_000)
            {
                throw new SettingException(key, $"{budget} does not lie between 0 and 1000000000 dollars a day");
            }
        }
        // The circuit breaker's own bounds are checked here, so that its error does not come without a name.
        Check("frontier-breaker-ratio", Breaker.FailureRatio is > 0 and <= 1, "it must be above 0 and at most 1");
        Check("frontier-breaker-calls", Breaker.MinimumCalls is >= 2 and <= 100_000, "it must lie between 2 and 100000");
        Check("frontier-breaker-window", Breaker.Window >= TimeSpan.FromSeconds(0.5) && Breaker.Window <= TimeSpan.FromDays(1), "it must lie between half a second and a day");
        Check("frontier-breaker-break", Breaker.Break >= TimeSpan.FromSeconds(0.5) && Breaker.Break <= TimeSpan.FromDays(1), "it must lie between half a second and a day");
        Check("frontier-retry-delay", RetryDelay >= TimeSpan.Zero && RetryDelay <= TimeSpan.FromMinutes(1), "it must lie between 0 and a minute");
        Check("frontier-retry-after-cap", RetryAfterCap >= TimeSpan.Zero && RetryAfterCap <= TimeSpan.FromHours(1), "it must lie between 0 and an hour");
        Check("frontier-slot-wait", SlotWait >= TimeSpan.Zero && SlotWait <= TimeSpan.FromHours(1), "it must lie between 0 and an hour");
        Check("frontier-connect-timeout", ConnectTimeout > TimeSpan.Zero && ConnectTimeout <= TimeSpan.FromMinutes(5), "it must be above 0 and at most five minutes");
        Check("frontier-max-answer", MaxAnswerBytes is >= 1024 and <= 1L << 30, "it must lie between 1 KiB and 1 GiB");
        Check("frontier-expected-tokens", ExpectedTokens is >= 1 and <= 1 << 20, "it must lie between 1 and 1048576");

        static void Check(string key, bool holds, string reason)
        {
            if (!holds)
            {
                throw new SettingException(key, reason);
            }
        }
    }

    /// <summary>
    /// Reads a list of endpoints, each <c>{"name","url","model","key_env","prices":{"prompt","cached_prompt","completion"},"training_allowed",
    /// "first_byte_timeout","timeout","max_concurrent","retries","max_tokens_field","extra":{…}}</c>; keys in snake, kebab or camel case. Throws
    /// <see cref="SettingException"/>, for unknown keys too.
    /// </summary>
    /// <param name="array">The list.</param>
    /// <param name="source">How messages name its place, for example <c>continual.json: frontiers</c>.</param>
    public static IReadOnlyList<FrontierEndpointOptions> Parse(JsonElement array, string source)
    {
        if (array.ValueKind != JsonValueKind.Array)
        {
            throw new SettingException("frontier", $"it must be a list of endpoints, not {JsonKind.Of(array)}", source);
        }
        List<FrontierEndpointOptions> endpoints = [];
        foreach (JsonElement item in array.EnumerateArray())
        {
            FrontierEndpointOptions endpoint = ParseOne(new SettingReader(item, $"{source}[{endpoints.Count}]"), endpoints.Count);
            endpoint.Validate($"{source}[{endpoints.Count}]");
            endpoints.Add(endpoint);
        }
        return endpoints;
    }

    private static FrontierEndpointOptions ParseOne(SettingReader fields, int index)
    {
        FrontierEndpointOptions plain = new()
        {
            Name = fields.Text("name") ?? (index == 0 ? "frontier" : $"frontier-{index + 1}"),
            Url = fields.Text("url") ?? throw fields.Missing("url"),
            Model = fields.Text("model") ?? throw fields.Missing("model"),
        };
        TokenPrices prices = plain.Prices;
        if (fields.Take("prices") is { } table)
        {
            SettingReader inner = new(table, fields.Source + ".prices");
            decimal prompt = inner.Amount("prompt") ?? throw inner.Missing("prompt");
            prices = new TokenPrices(prompt, inner.Amount("cached_prompt") ?? prompt, inner.Amount("completion") ?? throw inner.Missing("completion"));
            inner.End();
        }
        Dictionary<string, JsonElement> extra = new(StringComparer.Ordinal);
        if (fields.Take("extra") is { } more)
        {
            foreach (JsonProperty field in SettingReader.ObjectOf(more, fields.Source + ".extra").EnumerateObject())
            {
                extra[field.Name] = field.Value.Clone();
            }
        }
        FrontierEndpointOptions endpoint = plain with
        {
            KeyEnv = fields.Text("key_env"),
            Prices = prices,
            TrainingAllowed = fields.Flag("training_allowed") ?? plain.TrainingAllowed,
            FirstByteTimeout = fields.Seconds("first_byte_timeout") ?? plain.FirstByteTimeout,
            Timeout = fields.Seconds("timeout") ?? plain.Timeout,
            MaxConcurrent = fields.Whole("max_concurrent") ?? plain.MaxConcurrent,
            Retries = fields.Whole("retries") ?? plain.Retries,
            MaxTokensField = fields.Text("max_tokens_field") ?? plain.MaxTokensField,
            Extra = extra,
        };
        fields.End();
        // A short time for the whole also bounds the first byte, unless both were said.
        return endpoint.FirstByteTimeout > endpoint.Timeout && endpoint.FirstByteTimeout == plain.FirstByteTimeout ? endpoint with { FirstByteTimeout = endpoint.Timeout } : endpoint;
    }
}
