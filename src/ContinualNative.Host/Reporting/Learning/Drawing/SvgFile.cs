using System.Globalization;
using System.Text;
using System.Xml;

namespace ContinualNative.Host.Reporting.Learning.Drawing;

/// <summary>Writes a figure as SVG: text stays text, and each group says what it tells.</summary>
internal static class SvgFile
{
    private const string Namespace = "http://www.w3.org/2000/svg";

    /// <summary>The SVG as a document of its own, or as an element that stands in a page.</summary>
    public static string ToText(FigureScene scene, bool inPage = false)
    {
        StringBuilder text = new();
        XmlWriterSettings settings = new() { Indent = true, IndentChars = " ", OmitXmlDeclaration = true, NewLineChars = "\n", CheckCharacters = true };
        using (XmlWriter xml = XmlWriter.Create(text, settings))
        {
            Write(xml, scene, inPage);
        }
        return text.Append('\n').ToString();
    }

    private static void Write(XmlWriter xml, FigureScene scene, bool inPage)
    {
        xml.WriteStartElement("svg", Namespace);
        xml.WriteAttributeString("viewBox", $"0 0 {Number(scene.Width)} {Number(scene.Height)}");
        if (!inPage)
        {
            xml.WriteAttributeString("width", Number(scene.Width));
            xml.WriteAttributeString("height", Number(scene.Height));
        }
        xml.WriteAttributeString("role", "img");
        xml.WriteAttributeString("aria-labelledby", "figure-title figure-description");
        xml.WriteAttributeString("font-family", FigureFont.Family);
        Element(xml, "title", "figure-title", scene.Title);
        Element(xml, "desc", "figure-description", scene.Description);
        Start(xml, "rect", ("width", "100%"), ("height", "100%"), ("fill", "#ffffff"));
        xml.WriteEndElement();
        foreach (FigureGroup group in scene.Groups)
        {
            Start(xml, "g", ("class", group.Name));
            if (group.Tip is not null)
            {
                Element(xml, "title", null, group.Tip);
            }
            foreach (FigureShape shape in group.Shapes)
            {
                Write(xml, shape);
            }
            xml.WriteEndElement();
        }
        xml.WriteEndElement();
    }

    private static void Write(XmlWriter xml, FigureShape shape)
    {
        switch (shape)
        {
            case FigureLine line:
                Start(xml, "polyline", ("points", Points(line.Points)), ("fill", "none"), ("stroke", line.Colour), ("stroke-width", Number(line.Width)), ("stroke-linejoin", "round"), ("stroke-linecap", line.Dash.Count > 0 ? "butt" : "round"));
                if (line.Dash.Count > 0)
                {
                    xml.WriteAttributeString("stroke-dasharray", string.Join(' ', line.Dash.Select(Number)));
                }
                break;
            case FigureArea area:
                Start(xml, "polygon", ("points", Points(area.Points)), ("fill", area.Colour));
                if (area.Opacity < 1)
                {
                    xml.WriteAttributeString("fill-opacity", Number(area.Opacity));
                }
                break;
            case FigureDot dot:
                Start(xml, "circle", ("cx", Number(dot.Centre.X)), ("cy", Number(dot.Centre.Y)), ("r", Number(dot.Radius)), ("fill", dot.Colour));
                break;
            case FigureText text:
                Write(xml, text);
                break;
            default:
                throw new ArgumentException($"{shape.GetType().Name} has no form in SVG.", nameof(shape));
        }
        xml.WriteEndElement();
    }

    private static void Write(XmlWriter xml, FigureText text)
    {
        Start(xml, "text", ("x", Number(text.At.X)), ("y", Number(text.At.Y)), ("font-size", Number(text.Size)), ("fill", text.Colour));
        if (text.Bold)
        {
            xml.WriteAttributeString("font-weight", FigureFont.BoldWeight.ToString(CultureInfo.InvariantCulture));
        }
        if (text.Anchor != FigureAnchor.Start)
        {
            xml.WriteAttributeString("text-anchor", text.Anchor == FigureAnchor.End ? "end" : "middle");
        }
        xml.WriteString(Clean(text.Text));
    }

    private static void Element(XmlWriter xml, string name, string? id, string text)
    {
        xml.WriteStartElement(name, Namespace);
        if (id is not null)
        {
            xml.WriteAttributeString("id", id);
        }
        xml.WriteString(Clean(text));
        xml.WriteEndElement();
    }

    private static void Start(XmlWriter xml, string name, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        xml.WriteStartElement(name, Namespace);
        foreach ((string attribute, string value) in attributes)
        {
            xml.WriteAttributeString(attribute, value);
        }
    }

    // XML 1.0 has no place for control characters, escaped or not.
    private static string Clean(string text)
    {
        StringBuilder clean = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]))
            {
                clean.Append(text[i]).Append(text[++i]);
            }
            else
            {
                clean.Append(XmlConvert.IsXmlChar(text[i]) ? text[i] : '\uFFFD');
            }
        }
        return clean.ToString();
    }

    private static string Points(IReadOnlyList<FigurePoint> points) => string.Join(' ', points.Select(static p => $"{Number(p.X)},{Number(p.Y)}"));

    private static string Number(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);
}
