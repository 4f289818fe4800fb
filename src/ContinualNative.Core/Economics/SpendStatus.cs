namespace ContinualNative.Core.Economics;

/// <summary>How a purpose's budget stands.</summary>
/// <param name="Day">The UTC day that it is for.</param>
/// <param name="Spent">Booked costs of that day.</param>
/// <param name="Reserved">Set aside for calls that run.</param>
/// <param name="Limit">The most to spend in the day; null: no limit.</param>
/// <param name="Refused">Calls refused for want of money since the day began.</param>
public sealed record SpendStatus(DateOnly Day, Money Spent, Money Reserved, Money? Limit, long Refused)
{
    /// <summary>Whether another call of any price would be refused.</summary>
    public bool Exhausted => Limit is { } limit && Spent + Reserved >= limit;
}
