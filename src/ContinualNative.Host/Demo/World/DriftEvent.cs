namespace ContinualNative.Host.Demo.World;

/// <summary>One change of the world and what requests about it are drawn from.</summary>
/// <param name="Week">The first week in which it holds.</param>
/// <param name="Kind">What changes.</param>
internal sealed record DriftEvent(int Week, RequestKind Kind)
{
    private const double WeeklyGrowth = 0.003;
    private const double MostGrowth = 0.015;

    /// <summary>The products that are new; none for other kinds.</summary>
    public IReadOnlyList<Product> Products { get; init; } = [];

    /// <summary>The wish that is new.</summary>
    public Intent? Intent { get; init; }

    /// <summary>The words that are new.</summary>
    public Wording? Wording { get; init; }

    /// <summary>The term that changes.</summary>
    public Policy? Policy { get; init; }

    /// <summary>Its value from then on.</summary>
    public string Value { get; init; } = "";

    /// <summary>One line for people.</summary>
    public required string Text { get; init; }

    /// <summary>The share of requests that are about it in its first week.</summary>
    public double FirstShare { get; init; }

    /// <summary>The share of a week's requests that are about it, if no more ask for something new than the world allows: it begins small and grows in use.</summary>
    public double ShareIn(int week) => week < Week ? 0 : FirstShare + Math.Min(MostGrowth, WeeklyGrowth * (week - Week));
}
