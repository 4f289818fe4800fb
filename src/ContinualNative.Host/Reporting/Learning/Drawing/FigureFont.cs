using SkiaSharp;

namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>The font of figures.</summary>
/// <remarks>
/// Decision: Inter (SIL Open Font License, <c>Fonts/OFL.txt</c>), cut down to Latin letters and signs, lies in the program: a server often has no fonts at all, and a PNG drawn there would
/// have no text. SVG names it and lets its reader take another one, so that the file stays small; widths are therefore measured with some room to spare.
/// </remarks>
internal static class FigureFont
{
    /// <summary>What SVG asks for.</summary>
    public const string Family = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

    /// <summary>The weight of <see cref="FigureText.Bold"/>.</summary>
    public const int BoldWeight = 600;

    // Other sans-serif fonts are up to an eighth wider.
    private const double Room = 1.12;

    private static readonly Lazy<SKTypeface> Regular = new(static () => Load("Inter-Regular.ttf"));
    private static readonly Lazy<SKTypeface> SemiBold = new(static () => Load("Inter-SemiBold.ttf"));

    /// <summary>A font to draw with; the caller disposes of it.</summary>
    public static SKFont Of(double size, bool bold) => new((bold ? SemiBold : Regular).Value, (float)size)
    {
        Edging = SKFontEdging.Antialias,
        Subpixel = true,
        // Hinting moves letters to whole pixels of the unscaled figure, which tears words apart.
        Hinting = SKFontHinting.None,
        LinearMetrics = true,
    };

    /// <summary>How wide a text may come out, in pixels.</summary>
    public static double Measure(string text, double size, bool bold = false)
    {
        using SKFont font = Of(size, bold);
        return font.MeasureText(text) * Room;
    }

    /// <summary>The text, or as much of its beginning as fits, with an ellipsis.</summary>
    public static string Fit(string text, double size, double width)
    {
        if (Measure(text, size) <= width)
        {
            return text;
        }
        for (int length = text.Length - 1; length > 0; length--)
        {
            string shorter = text[..length].TrimEnd() + "…";
            if (!char.IsHighSurrogate(text[length - 1]) && Measure(shorter, size) <= width)
            {
                return shorter;
            }
        }
        return "…";
    }

    /// <summary>The text in lines that are as long as fits; a word that is too long has its own.</summary>
    public static IReadOnlyList<string> Wrap(string text, double size, double width)
    {
        List<string> lines = [];
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (lines.Count > 0 && $"{lines[^1]} {word}" is string longer && Measure(longer, size) <= width)
            {
                lines[^1] = longer;
            }
            else
            {
                lines.Add(word);
            }
        }
        return lines;
    }

    private static SKTypeface Load(string name)
    {
        using Stream stream = typeof(FigureFont).Assembly.GetManifestResourceStream(name) ?? throw new InvalidOperationException($"the font {name} is not in the program");
        return SKTypeface.FromStream(stream) ?? throw new InvalidOperationException($"the font {name} can't be read");
    }
}
