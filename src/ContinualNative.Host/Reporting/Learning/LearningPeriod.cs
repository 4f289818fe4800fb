namespace ContinualNative.Host.Reporting.Learning;

/// <summary>One week, or another stretch of traffic, and how the three models did on it.</summary>
internal sealed record LearningPeriod
{
    /// <summary>For people: <c>week 3</c> or a date.</summary>
    public required string Label { get; init; }

    /// <summary>When it began.</summary>
    public required DateTimeOffset Start { get; init; }

    /// <summary>Answered requests.</summary>
    public required int Requests { get; init; }

    /// <summary>Right answers of the model as it was before it learned anything; null where it was not asked.</summary>
    public Rate? Frozen { get; init; }

    /// <summary>Right answers of the model that learns, on all requests: also on those that went up. Null where nothing tells.</summary>
    public Rate? Continual { get; init; }

    /// <summary>Right answers of the frontier model of the day; null where nothing tells.</summary>
    public Rate? Frontier { get; init; }

    /// <summary>Right answers of those that clients got, local or routed up; null where nothing tells.</summary>
    public Rate? Served { get; init; }

    /// <summary>Share of the requests that the frontier answered, 0 to 1.</summary>
    public required double RoutedUp { get; init; }

    /// <summary>US dollars a request: routing up, teaching, training and serving together. Null without requests.</summary>
    public decimal? Price { get; init; }

    /// <summary>US dollars that a request would have cost with a frontier model alone; null where nothing tells.</summary>
    public decimal? FrontierOnlyPrice { get; init; }

    /// <summary>What happened, in order.</summary>
    public IReadOnlyList<LearningEvent> Events { get; init; } = [];

    /// <summary><see cref="Price"/> ÷ <see cref="FrontierOnlyPrice"/>; null where nothing tells.</summary>
    public double? PriceShare => Price is { } price && FrontierOnlyPrice is > 0 and { } only ? (double)(price / only) : null;
}
