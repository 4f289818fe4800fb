using System.Collections.ObjectModel;
using System.Security.Cryptography;
using ContinualNative.Core;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary>What a <see cref="SignalHub"/> is made of, built from the settings.</summary>
internal sealed record SignalParts
{
    private const string DatabaseName = "traffic.db";

    public required TrafficStore? Store { get; init; }

    public required FrontierClient Frontier { get; init; }

    public required RedactionOptions Redaction { get; init; }

    public required Redactor Redactor { get; init; }

    public required TaskResolver Tasks { get; init; }

    public required Router Router { get; init; }

    public required CalibrationOptions Calibration { get; init; }

    public required TeachingOptions Teaching { get; init; }

    public required CycleOptions Cycles { get; init; }

    public required CurationOptions Curation { get; init; }

    public NoveltyIndex Novelty { get; } = new();

    public WordRiskIndex Words { get; } = new();

    /// <summary>The database of a data folder.</summary>
    public static string DatabaseOf(string data) => Path.Combine(data, DatabaseName);

    /// <summary>Builds all of it; throws <see cref="SettingException"/> for a wrong setting and <see cref="StoreException"/> when the store can't be opened.</summary>
    public static SignalParts Build(ServeOptions options, ILoggerFactory loggers, TimeProvider time)
    {
        PolicyFile policy = options.Policy is { } file ? PolicyFile.Read(file) : PolicyFile.Empty;
        RedactionOptions redaction = options.NoRedaction ? policy.Redaction with { ForStorage = false, ForFrontier = false } : policy.Redaction;
        FrontierOptions frontier = FrontierOf(options, policy);
        frontier.Validate();
        Dictionary<string, double> targets = policy.Tasks.Where(static t => t.TargetRisk is not null).ToDictionary(static t => t.Name, static t => t.TargetRisk!.Value, StringComparer.Ordinal);
        Redactor redactor;
        TaskResolver tasks;
        Router router;
        CalibrationOptions calibration;
        CycleOptions cycles;
        CurationOptions curation;
        try
        {
            redactor = new Redactor(redaction, options.NoRedaction ? [] : policy.Rules);
            tasks = new TaskResolver(policy.Tasks, new TaskResolverOptions());
            // Decision: an audit sample that nobody can foretell from a request's id, and so nobody can dodge; what was drawn stands in the store.
            ulong seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
            ReadOnlyDictionary<string, double> taskTargets = new(targets);
            router = new Router(new RouterOptions
            {
                TargetRisk = options.TargetRisk,
                EscalateBelow = options.EscalateBelow,
                BudgetWindow = options.BudgetWindow,
                TaskTargetRisk = taskTargets,
                MaxEscalation = options.MaxEscalation,
                TaskMaxEscalation = policy.Tasks.Where(static t => t.MaxEscalation is not null).ToDictionary(static t => t.Name, static t => t.MaxEscalation!.Value, StringComparer.Ordinal),
                AuditShare = options.Audit,
                Uncalibrated = options.Uncalibrated,
                Seed = seed,
            });
            calibration = new CalibrationOptions { TargetRisk = options.TargetRisk, TaskTargetRisk = taskTargets, Seed = seed };
            calibration.Validate();
            policy.Teaching.Validate();
            cycles = CyclesOf(options, policy.Cycles);
            cycles.Validate();
            curation = policy.Curation with { HoldoutShare = options.Holdout };
            curation.Validate();
        }
        catch (PolicyOptionException e)
        {
            throw new SettingException(e.Key, e.Message.TrimEnd('.'), options.Policy);
        }
        catch (ArgumentException e)
        {
            throw new SettingException("policy", e.Message.TrimEnd('.'), options.Policy ?? "routing");
        }
        TrafficStore? store = options.Record == RecordMode.Off ? null : TrafficStore.Open(StoreOf(options), loggers.CreateLogger("ContinualNative.Storage"), time);
        // Decision: the meter limits escalations only. What teaching may cost is the planner's to keep, since audits come first and are not part of that budget.
        SpendMeter meter = FrontierClient.CreateMeter(frontier, time);
        if (store is not null)
        {
            foreach (LedgerKind kind in (ReadOnlySpan<LedgerKind>)[LedgerKind.Escalation, LedgerKind.Teaching])
            {
                meter.Prime(kind, store.Spent(kind, meter.Day));
            }
        }
        return new SignalParts
        {
            Store = store,
            Frontier = new FrontierClient(frontier, loggers.CreateLogger<FrontierClient>(), meter, time),
            Redaction = redaction,
            Redactor = redactor,
            Tasks = tasks,
            Router = router,
            Calibration = calibration,
            Teaching = policy.Teaching with { DailyBudget = Money.FromDollars(options.TeachPerDay) },
            Cycles = cycles,
            Curation = curation,
        };
    }

    // Flags win over the file.
    private static CycleOptions CyclesOf(ServeOptions options, CycleOptions policy)
    {
        string? schedule = options.Schedule ?? policy.Schedule;
        if (schedule is not null)
        {
            Host.Cycles.CycleTriggers.Parse(schedule, options.Policy);
        }
        return policy with
        {
            Schedule = schedule,
            LabelCount = options.UpdateLabels ?? policy.LabelCount,
        };
    }

    /// <summary>How the store of these settings is opened; throws <see cref="SettingException"/> when its key is not there or is none.</summary>
    public static StoreOptions StoreOf(ServeOptions options) => new()
    {
        Path = DatabaseOf(options.Data),
        KeepFor = options.KeepDays > 0 ? TimeSpan.FromDays(options.KeepDays) : null,
        KeepBytes = options.KeepBytes > 0 ? options.KeepBytes : null,
        Cipher = CipherOf(options.StoreKeyEnv),
    };

    /// <summary>The cipher whose key an environment variable holds; null for no variable.</summary>
    public static ITextCipher? CipherOf(string? variable)
    {
        if (variable is null)
        {
            return null;
        }
        const string Form = "it must be 64 hexadecimal digits; 'openssl rand -hex 32' makes such a key";
        string? text = Environment.GetEnvironmentVariable(variable);
        if (string.IsNullOrWhiteSpace(text))
        {
            throw new SettingException("store-key-env", $"the environment variable '{variable}' is not set; {Form}");
        }
        try
        {
            byte[] key = Convert.FromHexString(text.Trim());
            return key.Length == 32 ? new AesGcmTextCipher(key, keyVersion: 1) : throw new SettingException("store-key-env", $"the key in '{variable}' has {key.Length} bytes; {Form}");
        }
        catch (FormatException)
        {
            throw new SettingException("store-key-env", $"the key in '{variable}' is not hexadecimal; {Form}");
        }
    }

    private static FrontierOptions FrontierOf(ServeOptions options, PolicyFile policy)
    {
        List<FrontierEndpointOptions> endpoints = [];
        if (options is { FrontierUrl: { } url, FrontierModel: { } model })
        {
            endpoints.Add(new FrontierEndpointOptions
            {
                Name = "frontier",
                Url = url,
                Model = model,
                KeyEnv = options.FrontierKeyEnv,
                Prices = new TokenPrices(options.FrontierPriceIn, options.FrontierPriceCached ?? options.FrontierPriceIn, options.FrontierPriceOut),
                TrainingAllowed = options.FrontierTrainingAllowed,
                Timeout = options.FrontierTimeout,
                FirstByteTimeout = TimeSpan.FromSeconds(Math.Min(30, options.FrontierTimeout.TotalSeconds)),
            });
        }
        endpoints.AddRange(policy.Frontiers);
        return new FrontierOptions { Endpoints = endpoints, EscalationPerDay = options.SpendPerDay };
    }
}
