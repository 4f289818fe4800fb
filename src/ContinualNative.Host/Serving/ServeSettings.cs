using System.Collections;
using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace ContinualNative.Host.Serving;

/// <summary>
/// The settings of <c>serve</c>, each at once a flag, a key of <c>continual.json</c> and an environment variable: <c>--gpu-layers 20</c>,
/// <c>"gpuLayers": 20</c> (or <c>"gpu-layers"</c>), <c>CONTINUAL__GPU_LAYERS=20</c>. Flags win over the environment, that over the file.
/// </summary>
internal static class ServeSettings
{
    public const string EnvironmentPrefix = "CONTINUAL__";
    public const string FileName = "continual.json";

    private static readonly Setting[] All =
    [
        new("model", "FILE", "The GGUF model to serve.", static (o, v) => o with { Model = v }),
        new("name", "NAME", "The model's name in requests (default: the file's name without .gguf).", static (o, v) => o with { Name = v }),
        new("data", "DIR", "Where keys, uploaded adapters and the traffic store are kept (default: the user's application data).", static (o, v) => o with { Data = v }),
        new("listen", "URL", "Address to listen on (default: http://127.0.0.1:8080; port 0: any free one).", static (o, v) => o with { Listen = v }),
        new("parallel", "N", "Answers generated at the same time (default: 4).", static (o, v) => o with { Parallel = Whole(v) }),
        new("ctx", "N", "Longest prompt plus answer, in tokens (default: the model's own, at most 4096).", static (o, v) => o with { Ctx = Whole(v) }),
        new("kv-tokens", "N", "Tokens that the KV cache holds, shared by all (default: parallel × ctx).", static (o, v) => o with { KvTokens = Whole(v) }),
        new("threads", "N", "Threads that compute (default: one per physical core).", static (o, v) => o with { Threads = Whole(v) }),
        new("gpu-layers", "N", "Layers to put on the GPU; -1: all (default: 0).", static (o, v) => o with { GpuLayers = Whole(v) }),
        new("adapter", "FILE", "A GGUF LoRA adapter that answers from the start; updates go on from it.", static (o, v) => o with { Adapter = v }),
        new("chat-template", "FILE", "A Jinja chat template to use instead of the model's own.", static (o, v) => o with { ChatTemplate = v }),
        new("require-key", null, "Ask for an API key even on a loopback address.", static (o, v) => o with { RequireKey = Flag(v) }),
        new("no-key", null, "Ask for no API key even on an address that other machines can reach.", static (o, v) => o with { NoKey = Flag(v) }),
        new("queue", "N", "Requests that may wait; one more gets 429 (default: 256).", static (o, v) => o with { Queue = Whole(v) }),
        new("timeout", "SECONDS", "Longest time for one request (default: none).", static (o, v) => o with { Timeout = Seconds(v) }),
        new("drain-timeout", "SECONDS", "How long a stopping server lets answers finish (default: 30).", static (o, v) => o with { DrainTimeout = Seconds(v) }),
        new("no-prefix-cache", null, "Compute every prompt from its beginning.", static (o, v) => o with { NoPrefixCache = Flag(v) }),
        new("prefix-cache-memory", "BYTES", "Host memory for cached prefixes that nobody uses at the moment; 2GiB is understood, 0: none (default: 512MiB).", static (o, v) => o with { PrefixCacheMemory = Bytes(v) }),
        new("max-body", "BYTES", "Largest request body; 8MiB is understood (default: 4MiB).", static (o, v) => o with { MaxBody = Bytes(v) }),
        new("max-prompt-tokens", "N", "Longest prompt in tokens (default: what the context holds).", static (o, v) => o with { MaxPromptTokens = Whole(v) }),
        new("frontier-url", "URL", "Base URL of an OpenAI-compatible frontier endpoint, such as https://api.example.com/v1.", static (o, v) => o with { FrontierUrl = v }),
        new("frontier-model", "NAME", "The model to ask for there.", static (o, v) => o with { FrontierModel = v }),
        new("frontier-key-env", "VAR", "Environment variable that holds its API key.", static (o, v) => o with { FrontierKeyEnv = v }),
        new("frontier-price-in", "USD", "Its price per million prompt tokens.", static (o, v) => o with { FrontierPriceIn = Amount(v) }),
        new("frontier-price-cached", "USD", "Its price per million cached prompt tokens (default: as other prompt tokens).", static (o, v) => o with { FrontierPriceCached = Amount(v) }),
        new("frontier-price-out", "USD", "Its price per million completion tokens.", static (o, v) => o with { FrontierPriceOut = Amount(v) }),
        new("frontier-training-allowed", null, "Its terms allow training on its answers; without this they are kept for judging only.", static (o, v) => o with { FrontierTrainingAllowed = Flag(v) }),
        new("frontier-timeout", "SECONDS", "Longest time for one of its answers (default: 120).", static (o, v) => o with { FrontierTimeout = Seconds(v) }),
        new("policy", "FILE", "JSON with what does not fit into flags: several frontiers, tasks, redaction.", static (o, v) => o with { Policy = v }),
        new("max-escalation", "SHARE", "Largest share of requests that is routed up (default: 0.10).", static (o, v) => o with { MaxEscalation = Number(v) }),
        new("target-risk", "SHARE", "Largest share of requests that may get a wrong local answer (default: 0.05).", static (o, v) => o with { TargetRisk = Number(v) }),
        new("budget-window", "N", "Requests in a row over which --max-escalation holds; a short window spends the budget evenly, a long one lets a drift have what quiet days left over (default: 1000).", static (o, v) => o with { BudgetWindow = Whole(v) }),
        new("escalate-below", "SHARE", "A local answer that is right with less than this probability goes up even where the target risk allows it (default: 0.5).", static (o, v) => o with { EscalateBelow = Number(v) }),
        new("uncalibrated", "ROUTE", "Where requests go while too little is known of the local answers: frontier (within --max-escalation) or local (default: frontier).", static (o, v) => o with { Uncalibrated = RouteOf(v) }),
        new("audit", "SHARE", "Share of requests that both models answer, so that quality is known (default: 0.02).", static (o, v) => o with { Audit = Number(v) }),
        new("hold-back", "TOKENS", "How much of a stream is seen before it is decided who answers (default: 16).", static (o, v) => o with { HoldBack = Whole(v) }),
        new("spend-per-day", "USD", "Most that routed-up requests may cost a day (default: no limit).", static (o, v) => o with { SpendPerDay = Amount(v) }),
        new("teach-per-day", "USD", "Most that labels beyond escalations and audits may cost a day (default: 0).", static (o, v) => o with { TeachPerDay = Amount(v) }),
        new("holdout", "SHARE", "Share of requests that are never trained on, so that what is measured on them is honest (default: 0.1).", static (o, v) => o with { Holdout = Number(v) }),
        new("schedule", "CRON", "When update cycles begin, such as '0 3 * * *' for every night at three (UTC; default: only when asked for).", static (o, v) => o with { Schedule = v }),
        new("update-labels", "N", "New labels after which an update cycle begins; 0: never for that reason (default: 200).", static (o, v) => o with { UpdateLabels = Whole(v) }),
        new("machine-price", "USD", "What an hour of this machine costs, for the ledger (default: 0).", static (o, v) => o with { MachinePrice = Amount(v) }),
        new("record", "MODE", "What is stored of requests: full, features (no texts), off (default: full).", static (o, v) => o with { Record = Mode(v) }),
        new("no-redaction", null, "Store and send up texts as they are, e-mail addresses and the like included.", static (o, v) => o with { NoRedaction = Flag(v) }),
        new("keep-days", "DAYS", "Remove texts from the store after so many days (default: 0, never).", static (o, v) => o with { KeepDays = Whole(v) }),
        new("keep-bytes", "BYTES", "Remove the oldest requests when the store grows beyond this; 10GiB is understood (default: 0, no limit).", static (o, v) => o with { KeepBytes = Bytes(v) }),
        new("store-key-env", "VAR", "Environment variable with 64 hexadecimal digits that encrypt the texts in the store.", static (o, v) => o with { StoreKeyEnv = v }),
        new("json", null, "Print one JSON line on standard output once the model is ready.", static (o, v) => o with { Json = Flag(v) }),
    ];

    /// <summary>Adds a flag for every setting to a command.</summary>
    public static void AddTo(Command command)
    {
        foreach (Setting setting in All)
        {
            command.Options.Add(setting.Option);
        }
    }

    /// <summary>Adds the flags of some settings, for commands that share the server's: they also heed its file and environment.</summary>
    public static void AddTo(Command command, params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            command.Options.Add(Array.Find(All, s => s.Key == key)!.Option);
        }
    }

    /// <summary>All settings from flags, environment and file, not yet validated. Throws <see cref="SettingException"/>.</summary>
    /// <param name="flags">The parsed command line of a command that has all flags, or some.</param>
    /// <param name="configPath">A file that must exist, or null for <c>continual.json</c> in the working folder, where there is one.</param>
    /// <param name="environment">The environment's variables.</param>
    public static ServeOptions Read(ParseResult flags, string? configPath, IDictionary environment)
    {
        ServeOptions options = new();
        foreach ((string key, string value) in FromFile(configPath))
        {
            string source = $"{configPath ?? FileName}: {key}";
            options = Find(key, source).Apply(options, value, source);
        }
        foreach (DictionaryEntry variable in environment)
        {
            string name = (string)variable.Key;
            if (name.StartsWith(EnvironmentPrefix, StringComparison.OrdinalIgnoreCase))
            {
                options = Find(name[EnvironmentPrefix.Length..], name).Apply(options, (string?)variable.Value ?? "", name);
            }
        }
        HashSet<string> known = [.. flags.CommandResult.Command.Options.Select(static o => o.Name)];
        foreach (Setting setting in All)
        {
            if (known.Contains("--" + setting.Key) && setting.Value(flags) is { } value)
            {
                options = setting.Apply(options, value, "--" + setting.Key);
            }
        }
        return options;
    }

    private static List<(string Key, string Value)> FromFile(string? path)
    {
        string file = path ?? FileName;
        if (path is null && !File.Exists(file))
        {
            return [];
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new SettingException("config", $"'{file}' must hold a JSON object");
            }
            List<(string, string)> values = [];
            foreach (JsonProperty entry in document.RootElement.EnumerateObject())
            {
                string? value = entry.Value.ValueKind switch
                {
                    JsonValueKind.String => entry.Value.GetString()!,
                    JsonValueKind.Number => entry.Value.GetRawText(),
                    JsonValueKind.True => "true",
                    JsonValueKind.False => "false",
                    JsonValueKind.Null => null,
                    _ => throw new SettingException(entry.Name, "it must be a string, a number or a boolean", $"{file}: {entry.Name}"),
                };
                if (value is not null)
                {
                    values.Add((entry.Name, value));
                }
            }
            return values;
        }
        catch (JsonException e)
        {
            throw new SettingException("config", $"'{file}' is not valid JSON: {e.Message.TrimEnd('.')}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException("config", $"'{file}' cannot be read: {e.Message.TrimEnd('.')}");
        }
    }

    private static Setting Find(string key, string source)
    {
        string plain = Plain(key);
        return Array.Find(All, s => Plain(s.Key) == plain)
            ?? throw new SettingException(key, $"there is no such setting; known are {string.Join(", ", All.Select(static s => s.Key))}", source);
    }

    private static string Plain(string key) => key.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    private static int Whole(string value) =>
        int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : throw new FormatException($"'{value}' is not a whole number");

    private static bool Flag(string value) =>
        bool.TryParse(value, out bool flag) ? flag : value switch { "1" => true, "0" => false, _ => throw new FormatException($"'{value}' is neither true nor false") };

    private static double Number(string value) =>
        double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : throw new FormatException($"'{value}' is not a number");

    private static decimal Amount(string value) =>
        decimal.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number) ? number : throw new FormatException($"'{value}' is not a number of US dollars");

    private static Route RouteOf(string value) => value.ToLowerInvariant() switch
    {
        "local" => Route.Local,
        "frontier" => Route.Frontier,
        _ => throw new FormatException($"'{value}' is neither local nor frontier"),
    };

    private static RecordMode Mode(string value) => value.ToLowerInvariant() switch
    {
        "full" => RecordMode.Full,
        "features" => RecordMode.Features,
        "off" => RecordMode.Off,
        _ => throw new FormatException($"'{value}' is none of full, features, off"),
    };

    private static TimeSpan Seconds(string value) =>
        double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) && Math.Abs(seconds) <= 1e7
            ? TimeSpan.FromSeconds(seconds)
            : throw new FormatException($"'{value}' is not a number of seconds");

    private static long Bytes(string value)
    {
        (string digits, long unit) = value switch
        {
            _ when value.EndsWith("GiB", StringComparison.OrdinalIgnoreCase) => (value[..^3], 1L << 30),
            _ when value.EndsWith("MiB", StringComparison.OrdinalIgnoreCase) => (value[..^3], 1L << 20),
            _ when value.EndsWith("KiB", StringComparison.OrdinalIgnoreCase) => (value[..^3], 1L << 10),
            _ => (value, 1L),
        };
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= long.MaxValue / unit
            ? number * unit
            : throw new FormatException($"'{value}' is not a number of bytes, such as 4194304 or 4MiB");
    }

    /// <summary>One setting. It is a switch when it has no <paramref name="argument"/>.</summary>
    private sealed class Setting(string key, string? argument, string description, Func<ServeOptions, string, ServeOptions> apply)
    {
        public string Key { get; } = key;

        /// <summary>A new option each time: an option belongs to one command.</summary>
        public Option Option => argument is null
            ? new Option<bool>("--" + Key) { Description = description }
            : new Option<string>("--" + Key) { Description = description, HelpName = argument };

        public string? Value(ParseResult flags) => argument is null
            ? flags.GetResult("--" + Key) is { } switched && flags.GetValue<bool>("--" + Key) is bool on && !IsImplicit(switched) ? (on ? "true" : "false") : null
            : flags.GetValue<string>("--" + Key);

        public ServeOptions Apply(ServeOptions options, string value, string source)
        {
            try
            {
                return apply(options, value);
            }
            catch (FormatException e)
            {
                throw new SettingException(Key, e.Message, source);
            }
        }

        private static bool IsImplicit(System.CommandLine.Parsing.SymbolResult result) => result is System.CommandLine.Parsing.OptionResult { Implicit: true };
    }
}
