namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>A place in a figure, in pixels from its left upper corner.</summary>
internal readonly record struct FigurePoint(double X, double Y);

/// <summary>Where a text lies from its point.</summary>
internal enum FigureAnchor
{
    Start,
    Middle,
    End,
}

/// <summary>Something drawn. Colours are <c>#rrggbb</c>, lengths are pixels.</summary>
internal abstract record FigureShape;

/// <summary>A line through points.</summary>
/// <param name="Points">Two or more.</param>
/// <param name="Colour">Its colour.</param>
/// <param name="Width">Its width.</param>
/// <param name="Dash">Lengths of dash and gap, by turns; empty: drawn through.</param>
internal sealed record FigureLine(IReadOnlyList<FigurePoint> Points, string Colour, double Width, IReadOnlyList<double> Dash) : FigureShape;

/// <summary>A filled polygon.</summary>
/// <param name="Points">Three or more.</param>
/// <param name="Colour">Its colour.</param>
/// <param name="Opacity">0 to 1.</param>
internal sealed record FigureArea(IReadOnlyList<FigurePoint> Points, string Colour, double Opacity = 1) : FigureShape;

/// <summary>A filled circle.</summary>
internal sealed record FigureDot(FigurePoint Centre, double Radius, string Colour) : FigureShape;

/// <summary>A line of text.</summary>
/// <param name="At">A point on its baseline.</param>
/// <param name="Text">The text.</param>
/// <param name="Size">The font's size.</param>
/// <param name="Colour">Its colour.</param>
/// <param name="Bold">Whether it is semi-bold.</param>
/// <param name="Anchor">What lies at the point.</param>
internal sealed record FigureText(FigurePoint At, string Text, double Size, string Colour, bool Bold = false, FigureAnchor Anchor = FigureAnchor.Start) : FigureShape;

/// <summary>Shapes that belong together.</summary>
/// <param name="Name">What they are, for style sheets and tests: <c>series continual</c>.</param>
/// <param name="Tip">What they tell, for people who point at them or can't see them; null: nothing.</param>
/// <param name="Shapes">Drawn in this order.</param>
internal sealed record FigureGroup(string Name, string? Tip, IReadOnlyList<FigureShape> Shapes);

/// <summary>A figure, ready to be written in any format.</summary>
/// <param name="Width">Pixels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Title">What it is, in one line.</param>
/// <param name="Description">What it shows, for people who can't see it.</param>
/// <param name="Groups">Drawn in this order on a white ground.</param>
internal sealed record FigureScene(double Width, double Height, string Title, string Description, IReadOnlyList<FigureGroup> Groups);
