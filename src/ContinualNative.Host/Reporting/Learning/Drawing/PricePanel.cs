namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>What it takes: the share routed up as bars, and the price as a share of a frontier model alone as a line.</summary>
internal static class PricePanel
{
    /// <summary>The highest share to show.</summary>
    public static double HighOf(LearningHistory history)
    {
        double high = history.Periods.SelectMany(static p => new[] { p.RoutedUp, p.PriceShare ?? 0 }).DefaultIfEmpty(0).Max();
        // One week that cost many times the frontier's price must not press all others flat.
        return Math.Clamp(Math.Ceiling((high * 10) - 1e-9) / 10, 0.2, 2);
    }

    /// <summary>Its heading.</summary>
    public static string HeadingOf(LearningHistory history) =>
        history.Periods.Any(static p => p.PriceShare is not null) ? "Share routed up, and price of all (teaching and training included) as a share of a frontier model alone" : "Share routed up";

    /// <summary>The panel's groups.</summary>
    public static IEnumerable<FigureGroup> Draw(LearningHistory history, PanelScale scale)
    {
        yield return new FigureGroup("grid", null, [.. scale.Grid(most: 5)]);
        double half = Math.Min(14, scale.Step * 0.32);
        yield return new FigureGroup("series routed", $"routed up: {string.Join(", ", history.Periods.Select(static p => $"{p.Label} {LearningText.Percent(p.RoutedUp)}"))}",
        [
            .. history.Periods.Select((p, i) => new FigureArea(
                [new(scale.X(i) - half, scale.Bottom), new(scale.X(i) - half, scale.Y(p.RoutedUp)), new(scale.X(i) + half, scale.Y(p.RoutedUp)), new(scale.X(i) + half, scale.Bottom)], FigureStyle.Routed)),
        ]);
        (double Share, double X)[] prices = [.. history.Periods.Select((p, i) => (p.PriceShare, X: scale.X(i))).Where(static p => p.PriceShare is not null).Select(static p => (p.PriceShare!.Value, p.X))];
        FigurePoint[] points = [.. prices.Select(p => new FigurePoint(p.X, scale.Y(p.Share)))];
        List<FigureShape> line = [.. points.Where(_ => history.Periods.Count <= 30 || points.Length == 1).Select(static p => new FigureDot(p, 2.4, FigureStyle.Price))];
        if (points.Length > 1)
        {
            line.Add(new FigureLine(points, FigureStyle.Price, 2.2, FigureStyle.Drawn));
        }
        yield return new FigureGroup("series price", $"price: {string.Join(", ", history.Periods.Select(static p => $"{p.Label} {LearningText.Percent(p.PriceShare)}"))}", line);
        yield return Names(history, scale, prices.Length > 0 ? prices[^1].Share : null);
    }

    private static FigureGroup Names(LearningHistory history, PanelScale scale, double? price)
    {
        if (history.Periods.Count == 0)
        {
            return new FigureGroup("names", null, []);
        }
        double routed = history.Periods[^1].RoutedUp;
        double[] heights = PanelScale.Apart(price is { } share ? [scale.Y(routed), scale.Y(share)] : [scale.Y(routed)], 18, scale.Top, scale.Bottom - 4);
        List<FigureShape> shapes =
        [
            new FigureArea([new(scale.Right + 10, heights[0] - 5), new(scale.Right + 22, heights[0] - 5), new(scale.Right + 22, heights[0] + 5), new(scale.Right + 10, heights[0] + 5)], FigureStyle.Routed),
            new FigureText(new(scale.Right + 32, heights[0] + 4), $"routed up {LearningText.Percent(routed, 0)}", FigureStyle.TextSize, FigureStyle.RoutedText, Bold: true),
        ];
        if (price is { } known)
        {
            shapes.Add(new FigureLine([new(scale.Right + 6, heights[1]), new(scale.Right + 26, heights[1])], FigureStyle.Price, 2.2, FigureStyle.Drawn));
            shapes.Add(new FigureText(new(scale.Right + 32, heights[1] + 4), $"price {LearningText.Percent(known, 0)}", FigureStyle.TextSize, FigureStyle.Price, Bold: true));
        }
        return new FigureGroup("names", null, shapes);
    }
}
