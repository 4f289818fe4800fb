using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.HostTests.Reporting.Learning;

/// <summary>Fourteen made-up weeks with everything in them that a history may hold.</summary>
internal static class LearningExample
{
    /// <summary>What HTML and XML must escape.</summary>
    public const string Sharp = "<b>\"Tom\" & 'Jerry'</b>";

    private const int Asked = 240;

    private static readonly int[] Frozen = [214, 216, 211, 176, 174, 170, 168, 138, 141, 135, 139, 127, 122, 124];
    private static readonly int[] Continual = [213, 219, 221, 183, 208, 219, 224, 192, 217, 226, 229, 207, 224, 231];
    private static readonly int[] Frontier = [226, 224, 227, 224, 226, 232, 233, 231, 232, 233, 237, 236, 236, 237];
    private static readonly double[] RoutedUp = [0.24, 0.14, 0.10, 0.21, 0.13, 0.09, 0.07, 0.19, 0.12, 0.08, 0.06, 0.13, 0.08, 0.05];
    private static readonly decimal[] PriceShares = [0.46m, 0.36m, 0.31m, 0.43m, 0.36m, 0.29m, 0.26m, 0.40m, 0.33m, 0.27m, 0.24m, 0.33m, 0.26m, 0.22m];

    public static readonly GateVerdict Rejected = new()
    {
        Decision = GateDecision.Reject,
        Checks =
        [
            new("golden", GateDecision.Reject, "first weeks", 0.06, 0.01, 120, $"The first weeks' golden suite fell by 6.0 points, 1.0 is allowed; {Sharp}.", ["req-a1", "req-b2"]),
            new("gain", GateDecision.Undecided, null, 3.2, 20, 88, "The gain is not shown yet.", []),
        ],
        ChampionRight = 0.91,
        CandidateRight = 0.86,
        Fresh = 88,
        Evidence = 3.2,
        Summary = "It forgets what the first weeks asked.",
    };

    public static readonly GateVerdict Passed = new()
    {
        Decision = GateDecision.Pass,
        Checks = [new("gain", GateDecision.Pass, null, 41, 20, 132, "Right 14 points more often than the champion.", [])],
        ChampionRight = 0.77,
        CandidateRight = 0.91,
        Fresh = 132,
        Evidence = 41,
        Summary = "A gain is shown, and nothing speaks against it.",
    };

    public static LearningHistory Create() => new()
    {
        Title = "A small model that learns from its traffic stays just under the frontier",
        Subtitle = "Fourteen simulated weeks of a support desk. The frozen snapshot decays as customers change, the frontier gets better, and the continually trained model follows it at a fraction of the price.",
        Periods = [.. Enumerable.Range(0, 14).Select(Period)],
        Verdicts = [new AdapterVerdict("c3", Passed), new AdapterVerdict("c7", Rejected)],
        Notes = ["These figures are made up."],
        Run = new LearningRun { Command = "continual demo --seed 1 --weeks 14", Seed = 1, Machine = "a machine of 2 cores", Took = TimeSpan.FromSeconds(283) },
    };

    private static LearningPeriod Period(int week) => new()
    {
        Label = $"week {week + 1}",
        Start = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero).AddDays(7 * week),
        Requests = Asked,
        Frozen = Rate.Of(Frozen[week], Asked),
        Continual = Rate.Of(Continual[week], Asked),
        Frontier = Rate.Of(Frontier[week], Asked),
        RoutedUp = RoutedUp[week],
        Price = 0.0021m * PriceShares[week],
        FrontierOnlyPrice = 0.0021m,
        Events = Events(week + 1),
    };

    private static LearningEvent[] Events(int week) => week switch
    {
        1 => [Promoted(1)],
        2 => [Promoted(2)],
        4 => [new(LearningEventKind.Drift, "new product line: e-bikes", "e-bikes"), Promoted(3)],
        5 => [Promoted(4)],
        6 => [new(LearningEventKind.Release, "frontier release sim-2", "sim-2"), Promoted(5)],
        8 => [new(LearningEventKind.Drift, "return policy changes to 60 days", "return policy, 60 days"), Promoted(6)],
        9 => [new(LearningEventKind.Note, "one customer's feedback is poisoned", "poisoned feedback"), new(LearningEventKind.Rejection, $"adapter c7 rejected: the golden suite fell by 6 points {Sharp}", "c7: golden suite −6 points"), Promoted(8)],
        10 => [Promoted(9)],
        11 => [new(LearningEventKind.Release, "frontier release sim-3", "sim-3")],
        12 => [new(LearningEventKind.Drift, "customers write shorter and with slang", "wording: short, slang"), Promoted(10)],
        13 => [new(LearningEventKind.Rollback, "adapter c10 rolled back: live outcomes fell", "c10: live outcomes"), Promoted(11)],
        _ => [],
    };

    private static LearningEvent Promoted(int adapter) => new(LearningEventKind.Promotion, $"adapter c{adapter} promoted", $"c{adapter}");
}
