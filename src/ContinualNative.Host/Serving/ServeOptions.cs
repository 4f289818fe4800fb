using System.Net;
using ContinualNative.Engine;

namespace ContinualNative.Host.Serving;

/// <summary>Everything that <c>continual serve</c> can be told. <see cref="Validate"/> names the setting that is wrong.</summary>
internal sealed record ServeOptions
{
    public string Model { get; init; } = "";

    public string? Name { get; init; }

    public string Data { get; init; } = DefaultData;

    public string Listen { get; init; } = "http://127.0.0.1:8080";

    public int Parallel { get; init; } = 4;

    public int Ctx { get; init; }

    public int KvTokens { get; init; }

    public int Threads { get; init; }

    public int GpuLayers { get; init; }

    public string? Adapter { get; init; }

    public string? ChatTemplate { get; init; }

    public bool RequireKey { get; init; }

    public bool NoKey { get; init; }

    public int Queue { get; init; } = 256;

    /// <summary>Longest time from a request's arrival to its last token; null: unlimited.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>How long a stopping server waits for running answers.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(30);

    public bool NoPrefixCache { get; init; }

    /// <summary>Bytes of host memory for idle cached prefixes; 0: none.</summary>
    public long PrefixCacheMemory { get; init; } = 512L << 20;

    /// <summary>Largest request body in bytes.</summary>
    public long MaxBody { get; init; } = 4 << 20;

    /// <summary>Longest prompt in tokens; 0: what the context holds.</summary>
    public int MaxPromptTokens { get; init; }

    /// <summary>The frontier endpoint's base URL, such as https://api.example.com/v1; further ones stand in <see cref="Policy"/>.</summary>
    public string? FrontierUrl { get; init; }

    public string? FrontierModel { get; init; }

    /// <summary>Name of the environment variable that holds its key.</summary>
    public string? FrontierKeyEnv { get; init; }

    /// <summary>US dollars per million prompt tokens, and below cached prompt tokens and completion tokens.</summary>
    public decimal FrontierPriceIn { get; init; }

    public decimal? FrontierPriceCached { get; init; }

    public decimal FrontierPriceOut { get; init; }

    /// <summary>Whether the endpoint's terms allow training on its answers.</summary>
    public bool FrontierTrainingAllowed { get; init; }

    public TimeSpan FrontierTimeout { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>A JSON file with what does not fit into flags: further endpoints, tasks, redaction.</summary>
    public string? Policy { get; init; }

    /// <summary>Largest share of requests that is routed up.</summary>
    public double MaxEscalation { get; init; } = 0.10;

    /// <summary>Largest share of requests that may get a wrong local answer.</summary>
    public double TargetRisk { get; init; } = 0.05;

    /// <summary>Requests in a row over which <see cref="MaxEscalation"/> holds.</summary>
    public int BudgetWindow { get; init; } = 1000;

    /// <summary>Probability of being right below which a local answer goes up whatever the target risk says.</summary>
    public double EscalateBelow { get; init; } = 0.5;

    /// <summary>Where requests go, within <see cref="MaxEscalation"/>, while there are too few labels to judge by.</summary>
    public Route Uncalibrated { get; init; } = Route.Frontier;

    /// <summary>Share of requests that both models answer.</summary>
    public double Audit { get; init; } = 0.02;

    /// <summary>Tokens of a stream that are seen before it is decided who answers.</summary>
    public int HoldBack { get; init; } = 16;

    /// <summary>US dollars a day that escalations may cost; null: no limit.</summary>
    public decimal? SpendPerDay { get; init; }

    /// <summary>US dollars a day for labels beyond escalations and audits.</summary>
    public decimal TeachPerDay { get; init; }

    /// <summary>Share of requests that are never trained on.</summary>
    public double Holdout { get; init; } = 0.1;

    /// <summary>When update cycles begin, as a cron expression in UTC; null: as the policy file says.</summary>
    public string? Schedule { get; init; }

    /// <summary>New labels that begin one, 0: their number begins none; null: as the policy file says.</summary>
    public int? UpdateLabels { get; init; }

    /// <summary>What an hour of this machine costs in US dollars.</summary>
    public decimal MachinePrice { get; init; }

    /// <summary>What is stored of requests.</summary>
    public RecordMode Record { get; init; } = RecordMode.Full;

    public bool NoRedaction { get; init; }

    /// <summary>Days after which texts are removed from the store; 0: never.</summary>
    public int KeepDays { get; init; }

    /// <summary>Size of the store above which the oldest requests go; 0: no limit.</summary>
    public long KeepBytes { get; init; }

    /// <summary>Name of the environment variable with the store's key (64 hexadecimal digits); null: texts are stored as they are.</summary>
    public string? StoreKeyEnv { get; init; }

    public bool Json { get; init; }

    /// <summary>Where data lives unless told: the user's own folder for application data.</summary>
    public static string DefaultData => Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "continual");

    /// <summary>Whether a request must show a key: asked for, or reachable from other machines and not switched off.</summary>
    public bool KeysInForce => RequireKey || (!NoKey && !Endpoint().IsLoopback);

    /// <summary>The engine's part.</summary>
    public EngineOptions ToEngine() => new()
    {
        ModelPath = Model,
        ModelName = Name,
        AdapterPath = Adapter,
        Parallel = Parallel,
        ContextLength = Ctx,
        KvTokens = KvTokens,
        Threads = Threads,
        GpuLayers = GpuLayers,
        QueueCapacity = Queue,
        PrefixCache = !NoPrefixCache,
        PrefixCacheMemory = PrefixCacheMemory,
        RequestTimeout = Timeout,
        // Threads that spin while they wait would take the processor from the trainer beside them.
        ThreadPoll = CanUpdate ? 0 : EngineOptions.DefaultThreadPoll,
    };

    /// <summary>Whether update cycles can run: there are texts to learn from, and the trainer can reach the weights.</summary>
    public bool CanUpdate => Record == RecordMode.Full && GpuLayers == 0;

    /// <summary>Checks everything that can be checked before the model loads; throws <see cref="SettingException"/>.</summary>
    public void Validate()
    {
        if (Model.Length == 0)
        {
            throw new SettingException("model", "it is missing; pass --model FILE.gguf");
        }
        foreach ((string key, string? path) in (ReadOnlySpan<(string, string?)>)[("model", Model), ("adapter", Adapter), ("chat-template", ChatTemplate), ("policy", Policy)])
        {
            if (path is not null && !File.Exists(path))
            {
                throw new SettingException(key, Directory.Exists(path) ? $"'{path}' is a folder, not a file" : $"there is no file '{path}'");
            }
        }
        if (Name is { } name && (name.Length is 0 or > 128 || name.Contains('@') || name.Any(char.IsControl)))
        {
            throw new SettingException("name", "a model's name has 1 to 128 characters and no '@', which separates it from an adapter's id");
        }
        Between("parallel", Parallel, 1, 128);
        Between("ctx", Ctx, 0, 1 << 22);
        Between("kv-tokens", KvTokens, 0, 1 << 26);
        Between("threads", Threads, 0, 512);
        Between("gpu-layers", GpuLayers, -1, 100_000);
        Between("queue", Queue, 1, 1_000_000);
        Between("prefix-cache-memory", PrefixCacheMemory, 0, 1L << 44);
        Between("max-body", MaxBody, 1024, 1L << 30);
        Between("max-prompt-tokens", MaxPromptTokens, 0, 1 << 22);
        if (Timeout is { } timeout && timeout <= TimeSpan.Zero)
        {
            throw new SettingException("timeout", "it must be positive; leave it out for no limit");
        }
        if (DrainTimeout < TimeSpan.Zero)
        {
            throw new SettingException("drain-timeout", "it must not be negative");
        }
        if (RequireKey && NoKey)
        {
            throw new SettingException("no-key", "it contradicts 'require-key'");
        }
        Share("max-escalation", MaxEscalation);
        Share("target-risk", TargetRisk);
        Share("escalate-below", EscalateBelow);
        Between("budget-window", BudgetWindow, 10, 1_000_000);
        Share("audit", Audit);
        Share("holdout", Holdout);
        Between("hold-back", HoldBack, 1, 4096);
        Between("update-labels", UpdateLabels ?? 0, 0, 10_000_000);
        if (Schedule is { } cron)
        {
            Cycles.CycleTriggers.Parse(cron);
        }
        if (!CanUpdate && (Schedule is not null || UpdateLabels > 0))
        {
            throw new SettingException(Schedule is not null ? "schedule" : "update-labels",
                GpuLayers != 0 ? "updates train on the processor, and layers are on the GPU ('gpu-layers')" : "updates learn from recorded texts, and 'record' is not 'full'");
        }
        Between("keep-days", KeepDays, 0, 36_500);
        Between("keep-bytes", KeepBytes, 0, 1L << 50);
        ValidateAmounts();
        if (FrontierUrl is null != FrontierModel is null)
        {
            throw new SettingException(FrontierUrl is null ? "frontier-url" : "frontier-model", "'frontier-url' and 'frontier-model' go together");
        }
        if (Record == RecordMode.Off && TeachPerDay > 0)
        {
            throw new SettingException("teach-per-day", "labels are asked for stored requests, and 'record' is 'off'");
        }
        Endpoint();
        try
        {
            ToEngine().Validate();
        }
        catch (ArgumentException e)
        {
            throw new SettingException("model", e.Message);
        }
    }

    /// <summary>Checks prices and budgets alone; throws <see cref="SettingException"/>.</summary>
    public void ValidateAmounts()
    {
        foreach ((string key, decimal? amount) in (ReadOnlySpan<(string, decimal?)>)[
            ("frontier-price-in", FrontierPriceIn), ("frontier-price-cached", FrontierPriceCached), ("frontier-price-out", FrontierPriceOut),
            ("spend-per-day", SpendPerDay), ("teach-per-day", TeachPerDay), ("machine-price", MachinePrice)])
        {
            if (amount is < 0 or > 1_000_000)
            {
                throw new SettingException(key, $"{amount} US dollars do not lie between 0 and 1000000");
            }
        }
    }

    /// <summary>What <see cref="Listen"/> says.</summary>
    public ListenEndpoint Endpoint()
    {
        const string Example = "it must look like http://127.0.0.1:8080";
        if (!Uri.TryCreate(Listen.Replace("//*", "//0.0.0.0", StringComparison.Ordinal).Replace("//+", "//0.0.0.0", StringComparison.Ordinal), UriKind.Absolute, out Uri? url) || url.PathAndQuery != "/" || url.UserInfo.Length > 0)
        {
            throw new SettingException("listen", $"'{Listen}' is not an address; {Example}");
        }
        if (url.Scheme != Uri.UriSchemeHttp)
        {
            throw new SettingException("listen", $"the scheme '{url.Scheme}' is not served; {Example}. For TLS, put a reverse proxy in front");
        }
        if (url.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase))
        {
            return new ListenEndpoint(IPAddress.Loopback, url.Port);
        }
        return IPAddress.TryParse(url.Host.Trim('[', ']'), out IPAddress? address)
            ? new ListenEndpoint(address, url.Port)
            : throw new SettingException("listen", $"'{url.Host}' is no IP address; {Example}, or http://0.0.0.0:8080 for all of this machine's addresses");
    }

    private static void Share(string key, double value)
    {
        if (!(value is >= 0 and <= 1))
        {
            throw new SettingException(key, $"{value} is no share between 0 and 1");
        }
    }

    private static void Between(string key, long value, long low, long high)
    {
        if (value < low || value > high)
        {
            throw new SettingException(key, $"{value} does not lie between {low} and {high}");
        }
    }
}

/// <summary>What is stored of requests.</summary>
internal enum RecordMode
{
    /// <summary>Nothing.</summary>
    Off,

    /// <summary>Everything but texts: nothing can be taught or learned from it, but routes and costs are known.</summary>
    Features,

    /// <summary>Texts too.</summary>
    Full,
}

/// <summary>Where to listen; port 0 lets the system choose.</summary>
internal readonly record struct ListenEndpoint(IPAddress Address, int Port)
{
    public bool IsLoopback => IPAddress.IsLoopback(Address);
}

/// <summary>A setting that is wrong, wherever it was set.</summary>
internal sealed class SettingException(string key, string reason, string? source = null)
    : Exception($"{source ?? "--" + key}: {reason}.")
{
    public string Key { get; } = key;
}
