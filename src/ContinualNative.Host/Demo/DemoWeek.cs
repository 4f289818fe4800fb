using ContinualNative.Core.Economics;
using ContinualNative.Host.Demo.World;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.Host.Demo;

/// <summary>Right answers among requests.</summary>
internal readonly record struct Tally(int Right, int Count)
{
    /// <summary>The share right; NaN without requests.</summary>
    public double Share => Count > 0 ? (double)Right / Count : double.NaN;

    public Tally Add(bool right) => new(Right + (right ? 1 : 0), Count + 1);

    public static Tally operator +(Tally a, Tally b) => new(a.Right + b.Right, a.Count + b.Count);
}

/// <summary>What one simulated week came to. The three models answered the same requests, and the world's truth of that week decides what was right.</summary>
internal sealed record DemoWeek
{
    public required int Week { get; init; }

    public required Tally Frozen { get; init; }

    /// <summary>What clients got: local answers and routed ones.</summary>
    public required Tally Continual { get; init; }

    public required Tally Frontier { get; init; }

    /// <summary>The champion's own answers, where it gave the one that was sent.</summary>
    public required Tally Local { get; init; }

    /// <summary>Requests that the frontier answered.</summary>
    public required int RoutedUp { get; init; }

    /// <summary>The same for each quarter of the week, so that the effect of a promotion within it shows.</summary>
    public required IReadOnlyList<double> RoutedUpByQuarter { get; init; }

    /// <summary>By what requests are about: what was sent, and how much of it was routed up.</summary>
    public required IReadOnlyDictionary<RequestKind, (Tally Sent, Tally Frozen, int Up)> ByKind { get; init; }

    /// <summary>What was sent to requests about something that has changed, and how much of it was routed up, by the week of the change.</summary>
    public required IReadOnlyDictionary<int, (Tally Sent, int Up)> ByChange { get; init; }

    /// <summary>All that the week cost.</summary>
    public required Money Cost { get; init; }

    public required Money Escalation { get; init; }

    public required Money Teaching { get; init; }

    public required Money Training { get; init; }

    public required Money Serving { get; init; }

    /// <summary>What the frontier would have charged for every request.</summary>
    public required Money FrontierOnly { get; init; }

    public required string Release { get; init; }

    /// <summary>The champion at the week's end.</summary>
    public required string Champion { get; init; }

    /// <summary>Drifts, releases, promotions, refusals, in words.</summary>
    public required IReadOnlyList<LearningEvent> Events { get; init; }

    /// <summary>Seconds of real time for the week's requests, and for its update.</summary>
    public required double ServingSeconds { get; init; }

    public required double UpdateSeconds { get; init; }
}

/// <summary>
/// What a promotion that follows a change did to the share routed up: in the week that the update was trained on, its last one, and in the week after its promotion. Requests about what changed later are in neither: it could not
/// have learned that. (They are paid for from the same budget, though.)
/// </summary>
/// <param name="Week">The week of its promotion.</param>
/// <param name="All">Of all other requests.</param>
/// <param name="Changed">Of those about something that had changed since the first week: a tenth to a quarter of all requests, so that one week says little.</param>
internal readonly record struct UpdateEffect(int Week, ShareChange All, ShareChange Changed);

/// <summary>A share before and after something, 0 to 1 each.</summary>
internal readonly record struct ShareChange(double Before, double After)
{
    public bool Falls => After < Before;
}

/// <summary>What the model answered by itself to a question of the first week, before the first customer and after the last one.</summary>
/// <param name="Message">What was asked.</param>
/// <param name="Truth">The right answer.</param>
/// <param name="Before">The embedded model's answer; null: it could not.</param>
/// <param name="After">The last champion's.</param>
/// <param name="WasRight">Whether the first was right.</param>
/// <param name="IsRight">Whether the second is.</param>
internal sealed record GoldenAnswers(string Message, string Truth, string? Before, string? After, bool WasRight, bool IsRight);

/// <summary>A whole run.</summary>
internal sealed record DemoResult
{
    public required DemoOptions Options { get; init; }

    public required IReadOnlyList<DemoWeek> Weeks { get; init; }

    /// <summary>The golden set of the first week, as far as its truth still holds at the end.</summary>
    public required IReadOnlyList<GoldenAnswers> Golden { get; init; }

    public Tally GoldenBefore => new(Golden.Count(static g => g.WasRight), Golden.Count);

    public Tally GoldenAfter => new(Golden.Count(static g => g.IsRight), Golden.Count);

    /// <summary>What the gate said of every adapter that it judged.</summary>
    public required IReadOnlyList<AdapterVerdict> Verdicts { get; init; }

    public required TimeSpan Took { get; init; }
}
