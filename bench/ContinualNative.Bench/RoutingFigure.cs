using System.Globalization;
using System.Net;
using System.Text;

namespace ContinualNative.Bench;

/// <summary>A line chart as SVG: shares on both axes are written in percent.</summary>
internal sealed class RoutingFigure
{
    private const double Width = 920;
    private const double Height = 480;
    private const double Left = 64;
    private const double Right = 310;
    private const double Top = 44;
    private const double Bottom = 52;

    public required string Title { get; init; }

    public required string Across { get; init; }

    public required string Up { get; init; }

    public required double MaxAcross { get; init; }

    public required double MaxUp { get; init; }

    public required double TickAcross { get; init; }

    public required double TickUp { get; init; }

    /// <summary>Whether the horizontal axis is a share (written in percent) or a count.</summary>
    public bool AcrossIsShare { get; init; } = true;

    /// <summary>Places on the horizontal axis where something happens, with what it is.</summary>
    public IReadOnlyList<(double At, string What)> Marks { get; init; } = [];

    public required IReadOnlyList<RoutingSeries> Series { get; init; }

    public string ToSvg()
    {
        StringBuilder svg = new();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<rect width=\"{Width}\" height=\"{Height}\" fill=\"#ffffff\"/>\n");
        Text(svg, Left, 24, Title, "start", "font-size=\"15\"");
        for (double x = 0; x <= MaxAcross * (1 + 1e-9); x += TickAcross)
        {
            Line(svg, X(x), Y(0), X(x), Y(MaxUp), "#e4e4e4");
            Text(svg, X(x), Y(0) + 18, AcrossIsShare ? Percent(x) : x.ToString("0", CultureInfo.InvariantCulture), "middle");
        }
        for (double y = 0; y <= MaxUp * (1 + 1e-9); y += TickUp)
        {
            Line(svg, X(0), Y(y), X(MaxAcross), Y(y), "#e4e4e4");
            Text(svg, X(0) - 8, Y(y) + 4, Percent(y), "end");
        }
        Line(svg, X(0), Y(0), X(MaxAcross), Y(0), "#444444");
        Line(svg, X(0), Y(0), X(0), Y(MaxUp), "#444444");
        Text(svg, (X(0) + X(MaxAcross)) / 2, Height - 12, Across, "middle");
        double middle = (Y(0) + Y(MaxUp)) / 2;
        Text(svg, 16, middle, Up, "middle", string.Create(CultureInfo.InvariantCulture, $"transform=\"rotate(-90 16 {middle:0.#})\""));
        foreach ((double at, string what) in Marks)
        {
            Line(svg, X(at), Y(0), X(at), Y(MaxUp), "#888888", "stroke-dasharray=\"3 3\"");
            Text(svg, X(at) + 4, Y(MaxUp) + 12, what, "start", "fill=\"#666666\"");
        }
        for (int i = 0; i < Series.Count; i++)
        {
            Draw(svg, Series[i], Top + 8 + (i * 20));
        }
        return svg.Append("</svg>\n").ToString();
    }

    private void Draw(StringBuilder svg, RoutingSeries series, double legend)
    {
        string dash = series.Dashed ? "stroke-dasharray=\"6 4\"" : "";
        // What lies above the frame is cut off there.
        IEnumerable<(double X, double Y)> points = series.Points.Select(p => (X(p.X), Y(Math.Min(p.Y, MaxUp))));
        string path = string.Join(' ', points.Select(static p => string.Create(CultureInfo.InvariantCulture, $"{p.X:0.#},{p.Y:0.#}")));
        svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{path}\" fill=\"none\" stroke=\"{series.Color}\" stroke-width=\"2\" {dash}/>\n");
        if (series.Dots)
        {
            foreach ((double x, double y) in points)
            {
                Dot(svg, x, y, series.Color);
            }
        }
        double from = Width - Right + 20;
        Line(svg, from, legend, from + 26, legend, series.Color, $"stroke-width=\"2\" {dash}");
        if (series.Dots)
        {
            Dot(svg, from + 13, legend, series.Color);
        }
        Text(svg, from + 34, legend + 4, series.Name, "start");
    }

    private double X(double value) => Left + (value / MaxAcross * (Width - Left - Right));

    private double Y(double value) => Height - Bottom - (value / MaxUp * (Height - Top - Bottom));

    private static string Percent(double share) => (share * 100).ToString("0.##", CultureInfo.InvariantCulture) + " %";

    private static void Line(StringBuilder svg, double x1, double y1, double x2, double y2, string color, string more = "") =>
        svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{x1:0.#}\" y1=\"{y1:0.#}\" x2=\"{x2:0.#}\" y2=\"{y2:0.#}\" stroke=\"{color}\" {more}/>\n");

    private static void Dot(StringBuilder svg, double x, double y, string color) =>
        svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{x:0.#}\" cy=\"{y:0.#}\" r=\"3.5\" fill=\"{color}\"/>\n");

    private static void Text(StringBuilder svg, double x, double y, string text, string anchor, string more = "") =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\" {more}>{WebUtility.HtmlEncode(text)}</text>\n");
}

/// <summary>One line of a <see cref="RoutingFigure"/>.</summary>
internal sealed record RoutingSeries(string Name, string Color, IReadOnlyList<(double X, double Y)> Points, bool Dots = false, bool Dashed = false);
