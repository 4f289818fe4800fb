namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>Where the periods and the shares of a panel lie, in pixels.</summary>
/// <param name="Left">The panel's left edge.</param>
/// <param name="Right">Its right edge.</param>
/// <param name="Top">Where <paramref name="High"/> lies.</param>
/// <param name="Bottom">Where <paramref name="Low"/> lies.</param>
/// <param name="Low">The lowest share shown.</param>
/// <param name="High">The highest one.</param>
/// <param name="Periods">How many periods.</param>
internal sealed record PanelScale(double Left, double Right, double Top, double Bottom, double Low, double High, int Periods)
{
    /// <summary>The width that a period has for itself.</summary>
    public double Step => (Right - Left) / Math.Max(1, Periods);

    /// <summary>The middle of a period.</summary>
    public double X(int period) => Left + (Step * (period + 0.5));

    /// <summary>The height of a share; one that is out of the range lies on its edge.</summary>
    public double Y(double share) => Bottom - ((Math.Clamp(share, Low, High) - Low) / (High - Low) * (Bottom - Top));

    /// <summary>Round shares to draw lines at, lowest first.</summary>
    public IReadOnlyList<double> Ticks(int most)
    {
        foreach (double step in (ReadOnlySpan<double>)[0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100])
        {
            int first = (int)Math.Ceiling((Low / step) - 1e-9);
            int last = (int)Math.Floor((High / step) + 1e-9);
            if (last - first < most)
            {
                return [.. Enumerable.Range(first, last - first + 1).Select(i => i * step)];
            }
        }
        return [Low, High];
    }

    /// <summary>Lines across the panel with their shares to the left.</summary>
    public IEnumerable<FigureShape> Grid(int most)
    {
        foreach (double tick in Ticks(most))
        {
            yield return new FigureLine([new(Left, Y(tick)), new(Right, Y(tick))], FigureStyle.Grid, 1, FigureStyle.Drawn);
            yield return new FigureText(new(Left - 8, Y(tick) + 4), LearningText.Percent(tick, 0), FigureStyle.SmallSize, FigureStyle.Grey, Anchor: FigureAnchor.End);
        }
    }

    /// <summary>Heights moved apart, so that labels at them do not overlap; as near to where they were as that allows.</summary>
    public static double[] Apart(IReadOnlyList<double> heights, double gap, double top, double bottom)
    {
        int[] order = [.. Enumerable.Range(0, heights.Count).OrderBy(i => heights[i])];
        double[] moved = [.. heights];
        for (int k = 0; k < order.Length; k++)
        {
            double above = k == 0 ? top : moved[order[k - 1]] + gap;
            moved[order[k]] = Math.Max(moved[order[k]], above);
        }
        for (int k = order.Length - 1; k >= 0; k--)
        {
            double below = k == order.Length - 1 ? bottom : moved[order[k + 1]] - gap;
            moved[order[k]] = Math.Min(moved[order[k]], below);
        }
        return moved;
    }
}
