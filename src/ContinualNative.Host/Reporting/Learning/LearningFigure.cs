using System.Text;
using ContinualNative.Host.Reporting.Learning.Drawing;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>The figure of a history: quality of the three models over time, what happened, and below it what it takes.</summary>
internal static class LearningFigure
{
    private const double Width = 1000;
    private const double Left = 124;
    private const double Right = 804;
    private const double Margin = 24;
    private const double QualityHeight = 290;
    private const double PriceHeight = 96;

    /// <summary>Writes the figure as what the file's name ends in, <c>.svg</c> or <c>.png</c>. Throws <see cref="ArgumentException"/> for another ending, <see cref="IOException"/> and <see cref="UnauthorizedAccessException"/>.</summary>
    public static void Save(string path, LearningHistory history)
    {
        byte[] bytes = Path.GetExtension(path).ToUpperInvariant() switch
        {
            ".SVG" => Encoding.UTF8.GetBytes(ToSvg(history)),
            ".PNG" => ToPng(history),
            _ => throw new ArgumentException($"'{path}' ends neither in .svg nor in .png.", nameof(path)),
        };
        File.WriteAllBytes(path, bytes);
    }

    /// <summary>Whether <see cref="Save"/> knows what a file with this name is to hold.</summary>
    public static bool IsFigure(string path) => Path.GetExtension(path).ToUpperInvariant() is ".SVG" or ".PNG";

    /// <summary>The figure as SVG: a document of its own, or an element that stands in a page.</summary>
    public static string ToSvg(LearningHistory history, bool inPage = false) => SvgFile.ToText(SceneOf(history, titled: !inPage), inPage);

    /// <summary>The figure as PNG, 2,000 pixels wide.</summary>
    public static byte[] ToPng(LearningHistory history) => PngFile.ToBytes(SceneOf(history, titled: true));

    /// <summary>Lays the figure out.</summary>
    /// <param name="history">The history.</param>
    /// <param name="titled">Whether title and subtitle stand above it.</param>
    internal static FigureScene SceneOf(LearningHistory history, bool titled)
    {
        List<FigureGroup> groups = [];
        double y = Margin;
        if (titled)
        {
            (FigureGroup head, y) = Head(history, y);
            groups.Add(head);
        }
        groups.Add(Heading($"Share of {history.Measure}", y + 12));
        PanelScale quality = new(Left, Right, y + 28, y + 28 + QualityHeight, QualityPanel.LowOf(history), 1, history.Periods.Count);
        groups.AddRange(QualityPanel.Draw(history, quality));
        groups.Add(PeriodNames(history, quality));
        EventStrip events = new(history, quality, quality.Bottom + 30, Width - Margin);
        groups.AddRange(events.Groups);
        y = events.Bottom + 16;
        groups.Add(Heading(PricePanel.HeadingOf(history), y + 12));
        PanelScale price = new(Left, Right, y + 28, y + 28 + PriceHeight, 0, PricePanel.HighOf(history), history.Periods.Count);
        groups.AddRange(PricePanel.Draw(history, price));
        y = price.Bottom;
        if (history.Periods.Any(static p => new[] { p.Frozen, p.Continual, p.Frontier }.Any(static r => r is { Low: not null, High: not null })))
        {
            y += 22;
            groups.Add(new FigureGroup("foot", null, [new FigureText(new(Left, y), "Shaded: 95 % intervals. Names at the right tell the last period's figures.", FigureStyle.SmallSize, FigureStyle.Grey)]));
        }
        return new FigureScene(Width, Math.Ceiling(y + 20), history.Title, LearningText.Describe(history), groups);
    }

    private static (FigureGroup Group, double Bottom) Head(LearningHistory history, double top)
    {
        List<FigureShape> lines = [];
        double y = top;
        foreach (string line in FigureFont.Wrap(history.Title, FigureStyle.TitleSize, Width - (2 * Margin)))
        {
            y += 22;
            lines.Add(new FigureText(new(Margin, y), line, FigureStyle.TitleSize, FigureStyle.Ink, Bold: true));
            y += 6;
        }
        foreach (string line in FigureFont.Wrap(history.Subtitle, FigureStyle.SubtitleSize, Width - (2 * Margin)))
        {
            y += 18;
            lines.Add(new FigureText(new(Margin, y), line, FigureStyle.SubtitleSize, FigureStyle.Grey));
        }
        return (new FigureGroup("head", null, lines), y + 20);
    }

    private static FigureGroup Heading(string text, double y) => new("heading", null, [new FigureText(new(Margin, y), text, FigureStyle.TextSize, FigureStyle.Ink, Bold: true)]);

    private static FigureGroup PeriodNames(LearningHistory history, PanelScale scale)
    {
        string prefix = PrefixOf([.. history.Periods.Select(static p => p.Label)]);
        double widest = history.Periods.Select(p => FigureFont.Measure(p.Label[prefix.Length..], FigureStyle.SmallSize)).DefaultIfEmpty(0).Max();
        int every = Math.Max(1, (int)Math.Ceiling((widest + 8) / scale.Step));
        List<FigureShape> shapes = [new FigureLine([new(scale.Left, scale.Bottom), new(scale.Right, scale.Bottom)], FigureStyle.Axis, 1, FigureStyle.Drawn)];
        double y = scale.Bottom + 17;
        if (prefix.Length > 0)
        {
            shapes.Add(new FigureText(new(scale.Left - 8, y), prefix.TrimEnd(), FigureStyle.SmallSize, FigureStyle.Grey, Anchor: FigureAnchor.End));
        }
        for (int i = 0; i < history.Periods.Count; i++)
        {
            shapes.Add(new FigureLine([new(scale.X(i), scale.Bottom), new(scale.X(i), scale.Bottom + 4)], FigureStyle.Axis, 1, FigureStyle.Drawn));
            if (i % every == 0)
            {
                shapes.Add(new FigureText(new(scale.X(i), y), history.Periods[i].Label[prefix.Length..], FigureStyle.SmallSize, FigureStyle.Grey, Anchor: FigureAnchor.Middle));
            }
        }
        return new FigureGroup("axis", null, shapes);
    }

    // "week 1", "week 2", … need their first word only once.
    private static string PrefixOf(string[] labels)
    {
        if (labels.Length < 2)
        {
            return "";
        }
        int space = labels[0].LastIndexOf(' ');
        string prefix = labels[0][..(space + 1)];
        return labels.All(l => l.Length > prefix.Length && l.StartsWith(prefix, StringComparison.Ordinal)) ? prefix : "";
    }
}
