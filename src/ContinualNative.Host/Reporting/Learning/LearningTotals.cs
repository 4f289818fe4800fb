namespace ContinualNative.Host.Reporting.Learning;

/// <summary>A history in few figures. Rates are means over periods, weighted by requests, and over such periods only in which all rates that are known anywhere are known.</summary>
internal sealed record LearningTotals
{
    /// <summary>Answered requests of all periods.</summary>
    public required long Requests { get; init; }

    /// <summary>Share of them that the frontier answered; 0 without requests.</summary>
    public required double RoutedUp { get; init; }

    /// <summary>US dollars a request, over the periods whose price is known; null for none.</summary>
    public required decimal? Price { get; init; }

    /// <summary>The same with a frontier model alone.</summary>
    public required decimal? FrontierOnlyPrice { get; init; }

    /// <summary>What was paid ÷ what a frontier model alone would have cost, over the periods in which both are known; null for none.</summary>
    public required double? PriceShare { get; init; }

    /// <summary>Periods in the last third: at least one, where there is any.</summary>
    public required int LastThird { get; init; }

    /// <summary>Rates of the last third; null where nothing tells.</summary>
    public required double? Frozen { get; init; }

    /// <summary>The same.</summary>
    public required double? Continual { get; init; }

    /// <summary>The same.</summary>
    public required double? Frontier { get; init; }

    /// <summary><see cref="Continual"/> ÷ <see cref="Frontier"/>: how near the model that learns comes to the frontier of the day.</summary>
    public double? OfFrontier => Continual / (Frontier > 0 ? Frontier : null);

    /// <summary>The totals of some periods.</summary>
    public static LearningTotals Of(IReadOnlyList<LearningPeriod> periods)
    {
        long requests = periods.Sum(static p => (long)p.Requests);
        LearningPeriod[] both = [.. periods.Where(static p => p.PriceShare is not null)];
        decimal only = both.Sum(static p => p.FrontierOnlyPrice!.Value * p.Requests);
        LearningPeriod[] last = [.. periods.TakeLast((periods.Count + 2) / 3)];
        LearningPeriod[] told = Told(last);
        return new LearningTotals
        {
            Requests = requests,
            RoutedUp = requests == 0 ? 0 : periods.Sum(static p => p.RoutedUp * p.Requests) / requests,
            Price = Mean(periods, static p => p.Price),
            FrontierOnlyPrice = Mean(periods, static p => p.FrontierOnlyPrice),
            PriceShare = only > 0 ? (double)(both.Sum(static p => p.Price!.Value * p.Requests) / only) : null,
            LastThird = last.Length,
            Frozen = Mean(told, static p => p.Frozen),
            Continual = Mean(told, static p => p.Continual),
            Frontier = Mean(told, static p => p.Frontier),
        };
    }

    // Models are compared on the same periods, or not at all.
    private static LearningPeriod[] Told(LearningPeriod[] periods)
    {
        bool frozen = periods.Any(static p => p.Frozen is not null);
        bool continual = periods.Any(static p => p.Continual is not null);
        bool frontier = periods.Any(static p => p.Frontier is not null);
        return [.. periods.Where(p => p.Frozen is not null == frozen && p.Continual is not null == continual && p.Frontier is not null == frontier)];
    }

    private static double? Mean(LearningPeriod[] periods, Func<LearningPeriod, Rate?> rate)
    {
        LearningPeriod[] told = [.. periods.Where(p => p.Requests > 0 && rate(p) is not null)];
        long requests = told.Sum(static p => (long)p.Requests);
        return requests == 0 ? null : told.Sum(p => rate(p)!.Value.Value * p.Requests) / requests;
    }

    private static decimal? Mean(IReadOnlyList<LearningPeriod> periods, Func<LearningPeriod, decimal?> price)
    {
        LearningPeriod[] told = [.. periods.Where(p => p.Requests > 0 && price(p) is not null)];
        long requests = told.Sum(static p => (long)p.Requests);
        return requests == 0 ? null : told.Sum(p => price(p)!.Value * p.Requests) / requests;
    }
}
