using System.Buffers.Binary;
using System.Xml.Linq;
using ContinualNative.Host.Reporting.Learning;
using ContinualNative.Host.Reporting.Learning.Drawing;
using SkiaSharp;

namespace ContinualNative.HostTests.Reporting.Learning;

public sealed class LearningFigureTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Theory]
    [InlineData("frozen", "week 14 51.7 %")]
    [InlineData("continual", "week 14 96.3 %")]
    [InlineData("frontier", "week 14 98.8 %")]
    [InlineData("routed", "week 14 5.0 %")]
    [InlineData("price", "week 14 22.0 %")]
    public void Svg_has_each_series_with_its_line_and_what_it_tells(string name, string told)
    {
        XElement series = Assert.Single(Groups(LearningExample.Create()), g => (string?)g.Attribute("class") == $"series {name}");
        Assert.EndsWith(told, series.Element(Svg + "title")!.Value, StringComparison.Ordinal);
        if (name == "routed")
        {
            Assert.Equal(14, series.Elements(Svg + "polygon").Count());
        }
        else
        {
            string points = (string)Assert.Single(series.Elements(Svg + "polyline")).Attribute("points")!;
            Assert.Equal(14, points.Split(' ').Length);
        }
    }

    [Fact]
    public void Lines_of_models_differ_in_colour_and_in_dashes()
    {
        XElement[] lines = [.. Groups(LearningExample.Create()).Where(static g => (string?)g.Attribute("class") is "series frozen" or "series continual" or "series frontier").Select(g => g.Element(Svg + "polyline")!)];
        Assert.Equal(3, lines.Select(static l => (string?)l.Attribute("stroke")).Distinct().Count());
        Assert.Equal(3, lines.Select(static l => (string?)l.Attribute("stroke-dasharray")).Distinct().Count());
    }

    [Fact]
    public void Svg_tells_every_event_of_every_period()
    {
        LearningHistory history = LearningExample.Create();
        string[] expected = [.. history.Periods.SelectMany(static p => p.Events.Select(e => $"{LearningJson.NameOf(e.Kind)} {p.Label}: {e.Text}")).Order()];
        string[] drawn = [.. Groups(history).Where(static g => ((string?)g.Attribute("class"))!.StartsWith("event ", StringComparison.Ordinal)).Select(g => $"{((string?)g.Attribute("class"))![6..]} {g.Element(Svg + "title")!.Value}").Order()];
        Assert.Equal(expected, drawn);
    }

    [Fact]
    public void Svg_says_what_it_is_to_those_who_cannot_see_it()
    {
        XElement root = Parse(LearningExample.Create());
        Assert.Equal("img", (string?)root.Attribute("role"));
        string[] named = ((string)root.Attribute("aria-labelledby")!).Split(' ');
        Assert.Equal(named, root.Elements().Take(2).Select(static e => (string?)e.Attribute("id")));
        Assert.Contains("the continual model 93.1 %", root.Element(Svg + "desc")!.Value, StringComparison.Ordinal);
    }

    [Fact]
    public void Texts_lie_within_the_figure()
    {
        FigureScene scene = LearningFigure.SceneOf(LearningExample.Create(), titled: true);
        FigureText[] texts = [.. scene.Groups.SelectMany(static g => g.Shapes).OfType<FigureText>()];
        Assert.NotEmpty(texts);
        Assert.All(texts, text =>
        {
            double width = FigureFont.Measure(text.Text, text.Size, text.Bold);
            double left = text.At.X - (text.Anchor switch { FigureAnchor.Start => 0, FigureAnchor.Middle => width / 2, _ => width });
            Assert.True(left >= 0 && left + width <= scene.Width && text.At.Y > text.Size && text.At.Y < scene.Height, $"'{text.Text}' lies from {left} to {left + width} at {text.At.Y}.");
        });
    }

    [Fact]
    public void Words_beside_events_do_not_overlap()
    {
        (double Y, double Left, double Right)[] words = [.. LearningFigure.SceneOf(Crowded(), titled: true).Groups.Where(static g => g.Name.StartsWith("event ", StringComparison.Ordinal)).SelectMany(static g => g.Shapes.OfType<FigureText>()).Select(static t =>
        {
            double width = FigureFont.Measure(t.Text, t.Size);
            double left = t.Anchor == FigureAnchor.End ? t.At.X - width : t.At.X;
            return (t.At.Y, left, left + width);
        })];
        Assert.True(words.Length > 4);
        foreach (IGrouping<double, (double Y, double Left, double Right)> row in words.GroupBy(static w => w.Y))
        {
            (double Y, double Left, double Right)[] ordered = [.. row.OrderBy(static w => w.Left)];
            Assert.All(ordered.Zip(ordered.Skip(1)), static pair => Assert.True(pair.First.Right <= pair.Second.Left, $"{pair.First} and {pair.Second}"));
        }
    }

    [Fact]
    public void Control_characters_and_broken_pairs_of_surrogates_do_not_break_the_svg()
    {
        LearningHistory history = LearningExample.Create() with { Title = "a\u0001b\ud800c 😀" };
        Assert.Equal("a\uFFFDb\uFFFDc 😀", Parse(history).Element(Svg + "title")!.Value);
    }

    [Fact]
    public void Png_has_signature_size_and_ink_where_title_lines_and_bars_are()
    {
        byte[] png = LearningFigure.ToPng(LearningExample.Create());
        Assert.Equal([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], png[..8]);
        FigureScene scene = LearningFigure.SceneOf(LearningExample.Create(), titled: true);
        Assert.Equal((2 * (int)scene.Width, 2 * (int)scene.Height), (BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)), BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(20))));
        using SKBitmap image = SKBitmap.Decode(png);
        FigureText title = scene.Groups.Single(static g => g.Name == "head").Shapes.OfType<FigureText>().First();
        int ink = Count(image, title.At.X, title.At.Y - title.Size, 400, title.Size, SKColor.Parse(FigureStyle.Ink));
        // Letters cover some of their line, and not all of it as boxes for want of a font would.
        Assert.InRange(ink / (4 * 400 * title.Size), 0.05, 0.35);
        Assert.True(Count(image, 0, 0, scene.Width, scene.Height, SKColor.Parse(FigureStyle.Continual)) > 2000);
        Assert.True(Count(image, 0, 0, scene.Width, scene.Height, SKColor.Parse(FigureStyle.Routed)) > 2000);
    }

    [Fact]
    public void Different_letters_look_different_in_a_png()
    {
        static byte[] Of(string text) => PngFile.ToBytes(new FigureScene(60, 30, "", "", [new FigureGroup("g", null, [new FigureText(new(5, 20), text, 14, "#000000")])]));
        Assert.NotEqual(Of("A"), Of("B"));
        Assert.NotEqual(Of("é"), Of("ø"));
        Assert.NotEqual(Of("−"), Of("…"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(400)]
    public void Any_number_of_periods_with_gaps_can_be_drawn(int periods)
    {
        LearningHistory example = LearningExample.Create();
        LearningHistory history = example with
        {
            Periods = [.. Enumerable.Range(0, periods).Select(i => example.Periods[i % 14] with { Label = $"day {i}", Continual = i % 3 == 1 ? null : example.Periods[i % 14].Continual, Frozen = null, FrontierOnlyPrice = i % 2 == 0 ? null : 0.002m })],
        };
        XElement root = Parse(history);
        Assert.Equal(Math.Min(1, periods), root.Elements(Svg + "g").Count(static g => (string?)g.Attribute("class") == "series continual"));
        Assert.DoesNotContain(root.Elements(Svg + "g"), static g => (string?)g.Attribute("class") == "series frozen");
        Assert.DoesNotContain("NaN", root.ToString(), StringComparison.Ordinal);
        Assert.True(LearningFigure.ToPng(history).Length > 1000);
    }

    [Theory]
    [InlineData("a.svg", "<svg")]
    [InlineData("a.PNG", "PNG")]
    public void A_files_ending_says_what_it_is(string name, string inside)
    {
        string folder = Directory.CreateTempSubdirectory("continual-figure-").FullName;
        try
        {
            string path = Path.Combine(folder, name);
            LearningFigure.Save(path, LearningExample.Create());
            Assert.Contains(inside, File.ReadAllText(path)[..20], StringComparison.Ordinal);
            Assert.Throws<ArgumentException>(() => LearningFigure.Save(Path.Combine(folder, "a.gif"), LearningExample.Create()));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static LearningHistory Crowded()
    {
        LearningHistory example = LearningExample.Create();
        return example with { Periods = [.. example.Periods.Select(static p => p with { Events = [.. Enumerable.Range(0, 3).Select(i => new LearningEvent(LearningEventKind.Drift, $"{p.Label}, change {i} of the traffic with many words in it that go on"))] })] };
    }

    private static int Count(SKBitmap image, double left, double top, double width, double height, SKColor colour)
    {
        int count = 0;
        for (int y = (int)(2 * top); y < (int)(2 * (top + height)); y++)
        {
            for (int x = (int)(2 * left); x < (int)(2 * (left + width)); x++)
            {
                SKColor pixel = image.GetPixel(x, y);
                count += Math.Abs(pixel.Red - colour.Red) + Math.Abs(pixel.Green - colour.Green) + Math.Abs(pixel.Blue - colour.Blue) < 30 ? 1 : 0;
            }
        }
        return count;
    }

    private static XElement Parse(LearningHistory history) => XDocument.Parse(LearningFigure.ToSvg(history)).Root!;

    private static IEnumerable<XElement> Groups(LearningHistory history) => Parse(history).Elements(Svg + "g");
}
