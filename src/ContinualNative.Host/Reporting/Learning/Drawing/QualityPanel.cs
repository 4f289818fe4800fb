namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>The three lines of quality with their intervals.</summary>
internal static class QualityPanel
{
    /// <summary>One line.</summary>
    /// <param name="Name">For people.</param>
    /// <param name="Class">For style sheets and tests.</param>
    /// <param name="Rate">Its values.</param>
    /// <param name="Colour">Its colour.</param>
    /// <param name="Width">Its width.</param>
    /// <param name="Dash">Its dashes.</param>
    private sealed record Series(string Name, string Class, Func<LearningPeriod, Rate?> Rate, string Colour, double Width, IReadOnlyList<double> Dash);

    private static readonly Series[] All =
    [
        new("frontier", "frontier", static p => p.Frontier, FigureStyle.Frontier, 2.2, FigureStyle.Dashed),
        new("frozen snapshot", "frozen", static p => p.Frozen, FigureStyle.Frozen, 2.4, FigureStyle.Dotted),
        new("continual", "continual", static p => p.Continual, FigureStyle.Continual, 3.2, FigureStyle.Drawn),
    ];

    /// <summary>The lowest share to show: round, and low enough that differences are not blown up.</summary>
    public static double LowOf(LearningHistory history)
    {
        double low = 1;
        foreach (Series series in All)
        {
            foreach (Rate rate in history.Periods.Select(series.Rate).OfType<Rate>())
            {
                low = Math.Min(low, rate.Low ?? rate.Value);
            }
        }
        return Math.Clamp(Math.Floor((low * 10) + 1e-9) / 10, 0, 0.5);
    }

    /// <summary>The panel's groups.</summary>
    public static IEnumerable<FigureGroup> Draw(LearningHistory history, PanelScale scale)
    {
        yield return new FigureGroup("grid", null, [.. scale.Grid(most: 7)]);
        yield return Changes(history, scale);
        Series[] shown = [.. All.Where(s => history.Periods.Any(p => s.Rate(p) is not null))];
        foreach (Series series in shown)
        {
            yield return new FigureGroup($"interval {series.Class}", null, [.. Bands(history, scale, series)]);
        }
        foreach (Series series in shown)
        {
            yield return new FigureGroup($"series {series.Class}", TipOf(history, series), [.. Lines(history, scale, series)]);
        }
        yield return Names(history, scale, shown);
    }

    // Drifts and releases are what the lines answer to: they cross the panel.
    private static FigureGroup Changes(LearningHistory history, PanelScale scale)
    {
        List<FigureShape> lines = [];
        for (int i = 0; i < history.Periods.Count; i++)
        {
            foreach (LearningEventKind kind in history.Periods[i].Events.Select(static e => e.Kind).Where(static k => k is LearningEventKind.Drift or LearningEventKind.Release).Distinct().Order())
            {
                double x = scale.X(i) + (kind == LearningEventKind.Release ? 1 : 0);
                lines.Add(new FigureLine([new(x, scale.Top), new(x, scale.Bottom)], FigureStyle.ColourOf(kind), 1, kind == LearningEventKind.Drift ? [3, 3] : [1, 3]));
            }
        }
        return new FigureGroup("changes", null, lines);
    }

    private static IEnumerable<FigureShape> Bands(LearningHistory history, PanelScale scale, Series series)
    {
        foreach (int[] run in Runs(history, p => series.Rate(p) is { Low: not null, High: not null }))
        {
            Rate[] rates = [.. run.Select(i => series.Rate(history.Periods[i])!.Value)];
            FigurePoint[] upper = [.. run.Select((p, k) => new FigurePoint(scale.X(p), scale.Y(rates[k].High!.Value)))];
            FigurePoint[] lower = [.. run.Select((p, k) => new FigurePoint(scale.X(p), scale.Y(rates[k].Low!.Value)))];
            yield return run.Length > 1
                ? new FigureArea([.. upper, .. lower.Reverse()], series.Colour, 0.14)
                : new FigureLine([upper[0], lower[0]], series.Colour, 1.2, FigureStyle.Drawn);
        }
    }

    private static IEnumerable<FigureShape> Lines(LearningHistory history, PanelScale scale, Series series)
    {
        foreach (int[] run in Runs(history, p => series.Rate(p) is not null))
        {
            FigurePoint[] points = [.. run.Select(i => new FigurePoint(scale.X(i), scale.Y(series.Rate(history.Periods[i])!.Value.Value)))];
            if (points.Length > 1)
            {
                yield return new FigureLine(points, series.Colour, series.Width, series.Dash);
            }
            // Many periods make a line of dots otherwise.
            foreach (FigurePoint point in points.Length == 1 || history.Periods.Count <= 30 ? points : [])
            {
                yield return new FigureDot(point, series.Width, series.Colour);
            }
        }
    }

    private static FigureGroup Names(LearningHistory history, PanelScale scale, Series[] shown)
    {
        double[] last = [.. shown.Select(s => s.Rate(history.Periods.Last(p => s.Rate(p) is not null))!.Value.Value)];
        double[] heights = PanelScale.Apart([.. last.Select(scale.Y)], 18, scale.Top, scale.Bottom);
        List<FigureShape> shapes = [];
        for (int i = 0; i < shown.Length; i++)
        {
            shapes.Add(new FigureLine([new(scale.Right + 6, heights[i]), new(scale.Right + 26, heights[i])], shown[i].Colour, shown[i].Width, shown[i].Dash));
            shapes.Add(new FigureText(new(scale.Right + 32, heights[i] + 4), $"{shown[i].Name} {LearningText.Percent(last[i], 0)}", FigureStyle.TextSize, shown[i].Colour, Bold: true));
        }
        return new FigureGroup("names", null, shapes);
    }

    private static string TipOf(LearningHistory history, Series series) =>
        $"{series.Name}: {string.Join(", ", history.Periods.Select(p => $"{p.Label} {(series.Rate(p) is { } rate ? LearningText.Percent(rate.Value) : "unknown")}"))}";

    private static IEnumerable<int[]> Runs(LearningHistory history, Func<LearningPeriod, bool> known)
    {
        List<int> run = [];
        for (int i = 0; i <= history.Periods.Count; i++)
        {
            if (i < history.Periods.Count && known(history.Periods[i]))
            {
                run.Add(i);
            }
            else if (run.Count > 0)
            {
                yield return [.. run];
                run.Clear();
            }
        }
    }
}
