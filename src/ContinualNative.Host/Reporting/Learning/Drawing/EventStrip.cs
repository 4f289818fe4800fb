namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>Rows of markers under the panel of quality: one for each kind of event, and more where the words beside them would overlap.</summary>
internal sealed class EventStrip
{
    private const double RowHeight = 19;
    private const double MostText = 250;
    private const int MostRows = 4;

    private readonly List<FigureGroup> _groups = [];
    private readonly PanelScale _scale;
    private readonly double _right;

    /// <summary>Lays out the events.</summary>
    /// <param name="history">The history.</param>
    /// <param name="scale">Where its periods lie.</param>
    /// <param name="top">Where the strip begins.</param>
    /// <param name="right">How far words may reach.</param>
    public EventStrip(LearningHistory history, PanelScale scale, double top, double right)
    {
        _scale = scale;
        _right = right;
        Bottom = top;
        foreach (LearningEventKind kind in Enum.GetValues<LearningEventKind>())
        {
            Placed[] events = [.. history.Periods.SelectMany((p, i) => p.Events.Where(e => e.Kind == kind).Select(e => new Placed(i, p.Label, e)))];
            if (events.Length > 0)
            {
                Lay(kind, events);
            }
        }
    }

    /// <summary>The groups to draw.</summary>
    public IReadOnlyList<FigureGroup> Groups => _groups;

    /// <summary>Where the strip ends.</summary>
    public double Bottom { get; private set; }

    private void Lay(LearningEventKind kind, Placed[] events)
    {
        List<double> ends = [];
        double top = Bottom;
        _groups.Add(new FigureGroup($"row {LearningJson.NameOf(kind)}", null,
        [
            new FigureText(new(_scale.Left - 8, top + (RowHeight / 2) + 4), LearningText.RowOf(kind), FigureStyle.SmallSize, FigureStyle.ColourOf(kind), Bold: true, Anchor: FigureAnchor.End),
        ]));
        foreach (Placed placed in events)
        {
            double x = _scale.X(placed.Period);
            string words = FigureFont.Fit(placed.Event.Mark ?? placed.Event.Text, FigureStyle.SmallSize, MostText);
            double width = FigureFont.Measure(words, FigureStyle.SmallSize);
            bool leftwards = x + 10 + width > _right;
            double from = leftwards ? x - 10 - width : x - 7;
            int row = ends.FindIndex(end => end <= from);
            if (row < 0 && ends.Count < MostRows)
            {
                row = ends.Count;
                ends.Add(0);
            }
            bool fits = row >= 0;
            row = fits ? row : MostRows - 1;
            ends[row] = Math.Max(ends[row], leftwards || !fits ? x + 10 : x + 10 + width + 6);
            double y = top + (RowHeight * (row + 0.5));
            List<FigureShape> shapes = [.. FigureStyle.MarkerOf(kind, new(x, y))];
            if (fits)
            {
                shapes.Add(new FigureText(new(leftwards ? x - 9 : x + 9, y + 4), words, FigureStyle.SmallSize, FigureStyle.Ink, Anchor: leftwards ? FigureAnchor.End : FigureAnchor.Start));
            }
            _groups.Add(new FigureGroup($"event {LearningJson.NameOf(kind)}", $"{placed.Label}: {placed.Event.Text}", shapes));
        }
        Bottom = top + (RowHeight * ends.Count);
    }

    private sealed record Placed(int Period, string Label, LearningEvent Event);
}
