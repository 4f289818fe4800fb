namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>How the lines of a learning figure look. Colours are those of Okabe and Ito, "Color Universal Design" (2008), which people with any colour vision tell apart; dashes and shapes differ as well.</summary>
internal static class FigureStyle
{
    public const string Ink = "#1f2328";
    public const string Grey = "#59636e";
    public const string Axis = "#8c959f";
    public const string Grid = "#e6e9ed";

    public const string Frozen = "#d55e00";
    public const string Continual = "#00795a";
    public const string Frontier = "#0072b2";
    public const string Routed = "#8ecdf0";
    public const string RoutedText = "#2f7fae";
    public const string Price = "#8a5a00";

    public const double TitleSize = 22;
    public const double SubtitleSize = 14;
    public const double TextSize = 12;
    public const double SmallSize = 11;

    public static readonly IReadOnlyList<double> Drawn = [];
    public static readonly IReadOnlyList<double> Dashed = [8, 4];
    public static readonly IReadOnlyList<double> Dotted = [2, 3];

    /// <summary>The colour of a kind of event.</summary>
    public static string ColourOf(LearningEventKind kind) => kind switch
    {
        LearningEventKind.Drift => "#b0518a",
        LearningEventKind.Release => Frontier,
        LearningEventKind.Promotion => Continual,
        LearningEventKind.Rejection => Ink,
        LearningEventKind.Rollback => Frozen,
        _ => Grey,
    };

    /// <summary>The marker of a kind of event, about ten pixels wide.</summary>
    public static IReadOnlyList<FigureShape> MarkerOf(LearningEventKind kind, FigurePoint at)
    {
        string colour = ColourOf(kind);
        FigurePoint P(double x, double y) => new(at.X + x, at.Y + y);
        return kind switch
        {
            LearningEventKind.Drift => [new FigureArea([P(0, -6), P(5, 0), P(0, 6), P(-5, 0)], colour)],
            LearningEventKind.Release => [new FigureArea([P(-4.5, -4.5), P(4.5, -4.5), P(4.5, 4.5), P(-4.5, 4.5)], colour)],
            LearningEventKind.Promotion => [new FigureArea([P(0, -5.5), P(5.5, 4.5), P(-5.5, 4.5)], colour)],
            LearningEventKind.Rejection => [new FigureLine([P(-4, -4), P(4, 4)], colour, 2.4, Drawn), new FigureLine([P(-4, 4), P(4, -4)], colour, 2.4, Drawn)],
            LearningEventKind.Rollback => [new FigureArea([P(0, 5.5), P(5.5, -4.5), P(-5.5, -4.5)], colour)],
            _ => [new FigureDot(at, 4, colour)],
        };
    }
}
