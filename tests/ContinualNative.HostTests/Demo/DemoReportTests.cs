using ContinualNative.Core.Economics;
using ContinualNative.Host.Demo;
using ContinualNative.Host.Demo.World;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.HostTests.Demo;

public sealed class DemoReportTests
{
    [Fact]
    public void An_update_is_held_against_what_had_changed_when_it_was_trained()
    {
        DemoWeek[] weeks =
        [
            Week(0, false),
            Week(1, false, (1, 20, 10)),
            Week(2, true, (1, 20, 4), (2, 10, 9)),
            // Of week 3 only what had changed by week 1 counts for the promotion of week 2, which was trained at the end of week 1.
            Week(3, true, (1, 20, 2), (2, 10, 5), (3, 10, 10)),
            Week(4, true, (1, 10, 1), (2, 10, 2), (3, 10, 6)),
        ];
        IReadOnlyList<UpdateEffect> effects = DemoReport.EffectsOf(weeks);
        // The last week's promotion has no week after it.
        Assert.Equal(2, effects.Count);
        Assert.Equal(new UpdateEffect(2, new ShareChange((10 + 30) / 120.0, (2 + 30) / 120.0), new ShareChange(10 / 20.0, 2 / 20.0)), effects[0]);
        Assert.Equal(new UpdateEffect(3, new ShareChange((13 + 30) / 130.0, (3 + 30) / 120.0), new ShareChange(13 / 30.0, 3 / 20.0)), effects[1]);
        Assert.True(effects[0].All.Falls);
        Assert.False(new ShareChange(0.5, 0.5).Falls);
        // What is promoted where nothing has changed since the last one was trained follows no change.
        Assert.Equal([2], DemoReport.EffectsOf([Week(0, false), Week(1, false, (1, 20, 10)), Week(2, true, (1, 20, 8)), Week(3, true, (1, 20, 9)), Week(4, false, (1, 20, 10))]).Select(static e => e.Week));
        Assert.Empty(DemoReport.EffectsOf([Week(0, true), Week(1, true), Week(2, false)]));
    }

    private static DemoWeek Week(int week, bool promoted, params (int Since, int Requests, int Up)[] changes) => new()
    {
        Week = week,
        Frozen = default,
        Continual = default,
        Frontier = default,
        Local = default,
        RoutedUp = 0,
        RoutedUpByQuarter = [],
        ByKind = new Dictionary<RequestKind, (Tally Sent, Tally Frozen, int Up)> { [RequestKind.Known] = (new Tally(0, 100), default, 30) },
        ByChange = changes.ToDictionary(static c => c.Since, static c => (new Tally(0, c.Requests), c.Up)),
        Cost = Money.Zero,
        Escalation = Money.Zero,
        Teaching = Money.Zero,
        Training = Money.Zero,
        Serving = Money.Zero,
        FrontierOnly = Money.Zero,
        Release = "",
        Champion = "",
        Events = promoted ? [new LearningEvent(LearningEventKind.Promotion, "", "")] : [],
        ServingSeconds = 0,
        UpdateSeconds = 0,
    };
}
