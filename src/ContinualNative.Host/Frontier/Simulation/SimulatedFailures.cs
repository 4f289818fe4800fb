namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>How often, and how, the simulated frontier fails. Shares of requests, 0 to 1; one draw decides them together, in the order that they stand in here.</summary>
internal sealed record SimulatedFailures
{
    /// <summary>Refused with a status.</summary>
    public double RefuseRate { get; init; }

    /// <summary>That status; 0: 429, 500 and 503 by turns.</summary>
    public int RefuseStatus { get; init; }

    /// <summary>What a refusal says of when to come again; null: nothing.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Cut off midway: the connection is closed.</summary>
    public double CutRate { get; init; }

    /// <summary>Answered with what is no answer.</summary>
    public double NonsenseRate { get; init; }

    /// <summary>Answered with an empty text.</summary>
    public double EmptyRate { get; init; }

    /// <summary>Answered, but <see cref="SlowDelay"/> later.</summary>
    public double SlowRate { get; init; }

    public TimeSpan SlowDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Reads the fields that are there over <paramref name="before"/>; throws <see cref="Serving.SettingException"/>.</summary>
    public static SimulatedFailures Read(SettingReader fields, SimulatedFailures before)
    {
        SimulatedFailures failures = new()
        {
            RefuseRate = Share("refuse_rate", before.RefuseRate),
            RefuseStatus = fields.Whole("refuse_status") ?? before.RefuseStatus,
            RetryAfter = fields.Seconds("retry_after") ?? before.RetryAfter,
            CutRate = Share("cut_rate", before.CutRate),
            NonsenseRate = Share("nonsense_rate", before.NonsenseRate),
            EmptyRate = Share("empty_rate", before.EmptyRate),
            SlowRate = Share("slow_rate", before.SlowRate),
            SlowDelay = fields.Seconds("slow_seconds") ?? before.SlowDelay,
        };
        if (failures.RefuseStatus != 0 && failures.RefuseStatus is < 400 or > 599)
        {
            throw fields.Wrong("refuse_status", "it must lie between 400 and 599, or be 0 for a mix");
        }
        if (failures.RetryAfter < TimeSpan.Zero)
        {
            throw fields.Wrong("retry_after", "it must not be negative");
        }
        if (failures.SlowDelay < TimeSpan.Zero)
        {
            throw fields.Wrong("slow_seconds", "it must not be negative");
        }
        if (failures.RefuseRate + failures.CutRate + failures.NonsenseRate + failures.EmptyRate + failures.SlowRate > 1 + 1e-9)
        {
            throw fields.Wrong("slow_rate", "the shares add up to more than 1");
        }
        return failures;

        double Share(string key, double otherwise)
        {
            double share = fields.Number(key) ?? otherwise;
            return share is >= 0 and <= 1 ? share : throw fields.Wrong(key, "it must lie between 0 and 1");
        }
    }

    /// <summary>What befalls the request of a draw from [0, 1).</summary>
    public SimulatedFate FateOf(double draw)
    {
        double bound = 0;
        foreach ((double share, SimulatedFate fate) in (ReadOnlySpan<(double, SimulatedFate)>)
            [(RefuseRate, SimulatedFate.Refused), (CutRate, SimulatedFate.Cut), (NonsenseRate, SimulatedFate.Nonsense), (EmptyRate, SimulatedFate.Empty), (SlowRate, SimulatedFate.Slow)])
        {
            bound += share;
            if (draw < bound)
            {
                return fate;
            }
        }
        return SimulatedFate.Answered;
    }
}

/// <summary>What becomes of one request.</summary>
internal enum SimulatedFate
{
    Answered,
    Refused,
    Cut,
    Nonsense,
    Empty,
    Slow,
}
