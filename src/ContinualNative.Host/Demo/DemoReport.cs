using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Demo.World;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.Host.Demo;

/// <summary>What a demo run shows, as figures, table, page and JSON take it.</summary>
internal static class DemoReport
{
    // More would tell nobody more.
    private const int MostLost = 5;

    /// <summary>A week.</summary>
    public static LearningPeriod PeriodOf(DemoWeek week) => new()
    {
        Label = $"week {week.Week + 1}",
        Start = DemoClock.Start.AddDays(7 * week.Week),
        Requests = week.Continual.Count,
        Frozen = Rate.Of(week.Frozen.Right, week.Frozen.Count),
        Continual = Rate.Of(week.Continual.Right, week.Continual.Count),
        Frontier = Rate.Of(week.Frontier.Right, week.Frontier.Count),
        RoutedUp = (double)week.RoutedUp / Math.Max(1, week.Continual.Count),
        Price = week.Cost.Dollars / Math.Max(1, week.Continual.Count),
        FrontierOnlyPrice = week.FrontierOnly.Dollars / Math.Max(1, week.Continual.Count),
        Events = week.Events,
    };

    /// <summary>A run.</summary>
    public static LearningHistory HistoryOf(DemoResult result, string command) => new()
    {
        Title = "A small model that never stops learning",
        Subtitle = string.Create(
            CultureInfo.InvariantCulture,
            $"A support desk over {result.Weeks.Count} simulated weeks of {result.Options.Requests} requests: its products, wishes, words and terms change, and the frontier gets better. Real serving, training and swaps of a model of two million weights; simulated customers and frontier."),
        Periods = [.. result.Weeks.Select(PeriodOf)],
        Verdicts = [.. result.Verdicts],
        Notes =
        [
            "Frozen is the embedded model as it was in the first week; continual is what clients of the server got, routed-up answers among them; frontier is the release of the day, asked the same. What is right says the simulated world of that week.",
            "The price holds everything: routed-up requests, audits and lessons, training and serving time. An idle machine is not in it.",
            string.Create(CultureInfo.InvariantCulture, $"Of {result.GoldenBefore.Count} golden questions of the first week whose answer still holds, the model had {result.GoldenBefore.Right} right at the start and {result.GoldenAfter.Right} at the end."),
            .. result.Golden.Where(static g => g.WasRight && !g.IsRight).Take(MostLost).Select(static g => $"Lost: '{g.Message}' is answered '{g.After}' now; right is '{g.Truth}'."),
            .. result.Options.PoisonedWeek >= 0 && result.Options.PoisonedWeek < result.Weeks.Count ? [$"In week {result.Options.PoisonedWeek + 1} a partner's system sends false corrections for all of its requests. One candidate is made that believes them, to show what the gate does then; the next one is made by the policy, which holds reports against labels."] : (string[])[],
        ],
        Run = new LearningRun { Command = command, Seed = (long)result.Options.Seed, Machine = $"{new Machine().ProcessorName ?? "unknown processor"}, {Environment.ProcessorCount} processors", Took = result.Took },
    };

    /// <summary>The claims of the demo, each with what was found.</summary>
    public static DemoClaims ClaimsOf(DemoResult result)
    {
        LearningTotals totals = LearningTotals.Of([.. result.Weeks.Select(PeriodOf)]);
        return new DemoClaims
        {
            Frozen = totals.Frozen ?? double.NaN,
            Continual = totals.Continual ?? double.NaN,
            Frontier = totals.Frontier ?? double.NaN,
            RoutedUp = totals.RoutedUp,
            PriceShare = totals.PriceShare ?? double.NaN,
            Forgotten = result.GoldenBefore.Share - result.GoldenAfter.Share,
            Effects = EffectsOf(result.Weeks),
            Promotions = result.Weeks.Sum(static w => w.Events.Count(static e => e.Kind == LearningEventKind.Promotion)),
            Refusals = result.Weeks.Sum(static w => w.Events.Count(static e => e.Kind is LearningEventKind.Rejection or LearningEventKind.Rollback)),
        };
    }

    /// <summary>What each promotion of a candidate did that was the first to learn of a change, where requests before and after it can show it.</summary>
    public static IReadOnlyList<UpdateEffect> EffectsOf(IReadOnlyList<DemoWeek> weeks)
    {
        List<UpdateEffect> effects = [];
        int learned = -1;
        for (int i = 1; i + 1 < weeks.Count; i++)
        {
            // A candidate is trained at the end of a week and promoted in the next one, or never.
            int trained = i - 1;
            if (!weeks[i].Events.Any(static e => e.Kind == LearningEventKind.Promotion))
            {
                continue;
            }
            bool follows = weeks[trained].ByChange.Keys.Any(c => c > learned && c <= trained);
            learned = trained;
            if (follows && Changed(weeks[trained], trained) is { Sent: > 0 } before && Changed(weeks[i + 1], trained) is { Sent: > 0 } after)
            {
                effects.Add(new UpdateEffect(
                    weeks[i].Week,
                    new ShareChange(Share(Sum(before, Unchanged(weeks[trained]))), Share(Sum(after, Unchanged(weeks[i + 1])))),
                    new ShareChange(Share(before), Share(after))));
            }
        }
        return effects;

        static double Share((int Sent, int Up) of) => (double)of.Up / of.Sent;
        static (int Sent, int Up) Sum((int Sent, int Up) a, (int Sent, int Up) b) => (a.Sent + b.Sent, a.Up + b.Up);
    }

    private static (int Sent, int Up) Changed(DemoWeek week, int changedBy)
    {
        (Tally Sent, int Up)[] changed = [.. week.ByChange.Where(c => c.Key <= changedBy).Select(static c => c.Value)];
        return (changed.Sum(static c => c.Sent.Count), changed.Sum(static c => c.Up));
    }

    private static (int Sent, int Up) Unchanged(DemoWeek week)
    {
        (Tally sent, _, int up) = week.ByKind.GetValueOrDefault(RequestKind.Known);
        return (sent.Count, up);
    }

    /// <summary>All of it as the fields of a JSON object.</summary>
    public static void Write(Utf8JsonWriter json, DemoResult result, string command)
    {
        json.WriteNumber("seed", result.Options.Seed);
        json.WriteString("without", result.Options.Without.ToString());
        json.WriteNumber("seconds", Math.Round(result.Took.TotalSeconds, 1));
        DemoClaims claims = ClaimsOf(result);
        json.WriteStartObject("claims");
        json.WriteNumber("frozen", Math.Round(claims.Frozen, 4));
        json.WriteNumber("continual", Math.Round(claims.Continual, 4));
        json.WriteNumber("frontier", Math.Round(claims.Frontier, 4));
        json.WriteNumber("of_frontier", Math.Round(claims.OfFrontier, 4));
        json.WriteNumber("above_frozen", Math.Round(claims.AboveFrozen, 4));
        json.WriteNumber("routed_up", Math.Round(claims.RoutedUp, 4));
        json.WriteNumber("price_share", Math.Round(claims.PriceShare, 4));
        json.WriteNumber("forgotten", Math.Round(claims.Forgotten, 4));
        json.WriteStartArray("effects");
        foreach (UpdateEffect effect in claims.Effects)
        {
            json.WriteStartObject();
            json.WriteNumber("week", effect.Week + 1);
            json.WriteNumber("before", Math.Round(effect.All.Before, 4));
            json.WriteNumber("after", Math.Round(effect.All.After, 4));
            json.WriteNumber("changed_before", Math.Round(effect.Changed.Before, 4));
            json.WriteNumber("changed_after", Math.Round(effect.Changed.After, 4));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNumber("promotions", claims.Promotions);
        json.WriteNumber("refusals", claims.Refusals);
        json.WriteEndObject();
        WriteGolden(json, result);
        json.WriteStartArray("weeks");
        foreach (DemoWeek week in result.Weeks)
        {
            WriteWeek(json, week);
        }
        json.WriteEndArray();
        json.WriteStartObject("history");
        LearningJson.Write(json, HistoryOf(result, command));
        json.WriteEndObject();
    }

    // Of the questions, those that were lost or won.
    private static void WriteGolden(Utf8JsonWriter json, DemoResult result)
    {
        json.WriteStartObject("golden");
        json.WriteNumber("questions", result.Golden.Count);
        json.WriteNumber("right_before", result.GoldenBefore.Right);
        json.WriteNumber("right_after", result.GoldenAfter.Right);
        json.WriteStartArray("changed");
        foreach (GoldenAnswers golden in result.Golden.Where(static g => g.WasRight != g.IsRight))
        {
            json.WriteStartObject();
            json.WriteString("message", golden.Message);
            json.WriteString("truth", golden.Truth);
            json.WriteString("before", golden.Before);
            json.WriteString("after", golden.After);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteWeek(Utf8JsonWriter json, DemoWeek week)
    {
        json.WriteStartObject();
        json.WriteNumber("week", week.Week + 1);
        json.WriteString("champion", week.Champion);
        json.WriteString("release", week.Release);
        json.WriteNumber("local_right", week.Local.Count > 0 ? Math.Round(week.Local.Share, 4) : 0);
        json.WriteStartArray("routed_up_by_quarter");
        foreach (double share in week.RoutedUpByQuarter)
        {
            json.WriteNumberValue(Math.Round(share, 4));
        }
        json.WriteEndArray();
        json.WriteStartObject("costs");
        foreach ((string name, Money amount) in (ReadOnlySpan<(string, Money)>)[("escalation", week.Escalation), ("teaching", week.Teaching), ("training", week.Training), ("serving", week.Serving), ("frontier_only", week.FrontierOnly)])
        {
            json.WriteNumber(name, amount.Dollars);
        }
        json.WriteEndObject();
        json.WriteStartObject("kinds");
        foreach ((RequestKind kind, (Tally sent, Tally frozen, int up)) in week.ByKind)
        {
            json.WriteStartObject(Cycles.CycleText.Name(kind));
            json.WriteNumber("requests", sent.Count);
            json.WriteNumber("right", sent.Right);
            json.WriteNumber("frozen_right", frozen.Right);
            json.WriteNumber("routed_up", up);
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteStartArray("changes");
        foreach ((int since, (Tally sent, int up)) in week.ByChange.OrderBy(static c => c.Key))
        {
            json.WriteStartObject();
            json.WriteNumber("since", since + 1);
            json.WriteNumber("requests", sent.Count);
            json.WriteNumber("right", sent.Right);
            json.WriteNumber("routed_up", up);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNumber("serving_seconds", Math.Round(week.ServingSeconds, 2));
        json.WriteNumber("update_seconds", Math.Round(week.UpdateSeconds, 2));
        json.WriteEndObject();
    }
}

/// <summary>What the demo is to show, and what it found. Shares are from 0 to 1; the three qualities are of the last third of the weeks.</summary>
internal sealed record DemoClaims
{
    public required double Frozen { get; init; }

    public required double Continual { get; init; }

    public required double Frontier { get; init; }

    /// <summary>Continual ÷ frontier; 0.95 or more is claimed.</summary>
    public double OfFrontier => Continual / Frontier;

    /// <summary>Continual − frozen; 0.15 or more is claimed.</summary>
    public double AboveFrozen => Continual - Frozen;

    /// <summary>Of all weeks; 0.15 or less is claimed.</summary>
    public required double RoutedUp { get; init; }

    /// <summary>All costs ÷ those of a frontier alone; 0.35 or less is claimed.</summary>
    public required double PriceShare { get; init; }

    /// <summary>Points lost on the first week's golden questions; 0.01 or less is claimed.</summary>
    public required double Forgotten { get; init; }

    /// <summary>What each update did to the share routed up; that it falls is claimed.</summary>
    public required IReadOnlyList<UpdateEffect> Effects { get; init; }

    public required int Promotions { get; init; }

    public required int Refusals { get; init; }
}
