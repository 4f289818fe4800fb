using SkiaSharp;

namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>Writes a figure as PNG.</summary>
internal static class PngFile
{
    /// <summary>The bytes of the PNG.</summary>
    /// <param name="scene">The figure.</param>
    /// <param name="scale">Pixels of the image for one of the figure.</param>
    public static byte[] ToBytes(FigureScene scene, double scale = 2)
    {
        SKImageInfo info = new((int)Math.Ceiling(scene.Width * scale), (int)Math.Ceiling(scene.Height * scale), SKColorType.Rgba8888, SKAlphaType.Premul);
        using SKSurface surface = SKSurface.Create(info) ?? throw new IOException($"no image of {info.Width} × {info.Height} pixels can be drawn: there is too little memory");
        SKCanvas canvas = surface.Canvas;
        canvas.Clear(SKColors.White);
        canvas.Scale((float)scale);
        foreach (FigureShape shape in scene.Groups.SelectMany(static g => g.Shapes))
        {
            Draw(canvas, shape);
        }
        using SKImage image = surface.Snapshot();
        using SKData data = image.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }

    private static void Draw(SKCanvas canvas, FigureShape shape)
    {
        using SKPaint paint = new() { IsAntialias = true };
        switch (shape)
        {
            case FigureLine line:
                using (SKPath path = PathOf(line.Points, close: false))
                using (SKPathEffect? dash = line.Dash.Count > 0 ? SKPathEffect.CreateDash([.. line.Dash.Select(static d => (float)d)], 0) : null)
                {
                    paint.Style = SKPaintStyle.Stroke;
                    paint.Color = SKColor.Parse(line.Colour);
                    paint.StrokeWidth = (float)line.Width;
                    paint.StrokeJoin = SKStrokeJoin.Round;
                    paint.StrokeCap = dash is null ? SKStrokeCap.Round : SKStrokeCap.Butt;
                    paint.PathEffect = dash;
                    canvas.DrawPath(path, paint);
                }
                break;
            case FigureArea area:
                using (SKPath path = PathOf(area.Points, close: true))
                {
                    paint.Color = SKColor.Parse(area.Colour).WithAlpha((byte)Math.Round(255 * area.Opacity));
                    canvas.DrawPath(path, paint);
                }
                break;
            case FigureDot dot:
                paint.Color = SKColor.Parse(dot.Colour);
                canvas.DrawCircle(Of(dot.Centre), (float)dot.Radius, paint);
                break;
            case FigureText text:
                paint.Color = SKColor.Parse(text.Colour);
                Draw(canvas, text, paint);
                break;
            default:
                throw new ArgumentException($"{shape.GetType().Name} has no form in PNG.", nameof(shape));
        }
    }

    private static void Draw(SKCanvas canvas, FigureText text, SKPaint paint)
    {
        using SKFont font = FigureFont.Of(text.Size, text.Bold);
        SKTextAlign align = text.Anchor switch
        {
            FigureAnchor.Middle => SKTextAlign.Center,
            FigureAnchor.End => SKTextAlign.Right,
            _ => SKTextAlign.Left,
        };
        canvas.DrawText(text.Text, Of(text.At), align, font, paint);
    }

    private static SKPath PathOf(IReadOnlyList<FigurePoint> points, bool close)
    {
        using SKPathBuilder path = new();
        path.AddPoly([.. points.Select(Of)], close);
        return path.Detach();
    }

    private static SKPoint Of(FigurePoint point) => new((float)point.X, (float)point.Y);
}
