using System.Globalization;

namespace ContinualNative.Core.Economics;

/// <summary>An amount of US dollars, exact to a billionth: one token of the cheapest models costs some tens of these.</summary>
/// <param name="Nanos">Billionths of a dollar.</param>
public readonly record struct Money(long Nanos) : IComparable<Money>
{
    /// <summary>Nothing.</summary>
    public static readonly Money Zero = new(0);

    /// <summary>Dollars as a decimal number.</summary>
    public decimal Dollars => Nanos / 1_000_000_000m;

    /// <summary>From dollars, rounded to the nearest billionth. Throws <see cref="OverflowException"/> beyond 9.2 billion dollars.</summary>
    public static Money FromDollars(decimal dollars) => new(decimal.ToInt64(decimal.Round(dollars * 1_000_000_000m)));

    /// <summary>Sum; throws <see cref="OverflowException"/>.</summary>
    public static Money operator +(Money a, Money b) => new(checked(a.Nanos + b.Nanos));

    /// <summary>Difference; throws <see cref="OverflowException"/>.</summary>
    public static Money operator -(Money a, Money b) => new(checked(a.Nanos - b.Nanos));

    public static bool operator <(Money a, Money b) => a.Nanos < b.Nanos;

    public static bool operator >(Money a, Money b) => a.Nanos > b.Nanos;

    public static bool operator <=(Money a, Money b) => a.Nanos <= b.Nanos;

    public static bool operator >=(Money a, Money b) => a.Nanos >= b.Nanos;

    /// <inheritdoc/>
    public int CompareTo(Money other) => Nanos.CompareTo(other.Nanos);

    /// <inheritdoc/>
    public override string ToString() => Dollars.ToString("$0.#########", CultureInfo.InvariantCulture);
}
