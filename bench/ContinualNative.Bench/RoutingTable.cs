using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace ContinualNative.Bench;

/// <summary>A table of the report.</summary>
internal sealed record RoutingTable(string Name, string Title, IReadOnlyList<string> Columns, IReadOnlyList<RoutingCell[]> Rows)
{
    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"### {Title}\n\n| {string.Join(" | ", Columns)} |\n|{string.Concat(Columns.Select(static _ => "---|"))}\n");
        foreach (RoutingCell[] row in Rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", row.Select(static c => c.ToString()))} |\n");
        }
        return text.ToString();
    }

    public JsonObject ToJson()
    {
        JsonArray rows = [];
        foreach (RoutingCell[] row in Rows)
        {
            JsonObject one = [];
            for (int i = 0; i < row.Length; i++)
            {
                one[Columns[i]] = row[i].ToJson();
            }
            rows.Add(one);
        }
        return new JsonObject { ["title"] = Title, ["rows"] = rows };
    }
}

/// <summary>A word, or a number with its standard error where it is a mean.</summary>
internal readonly record struct RoutingCell
{
    private readonly string? _text;
    private readonly double _value;
    private readonly double _error;
    private readonly bool _share;
    private readonly int _digits;

    private RoutingCell(string? text, double value, double error, bool share, int digits) => (_text, _value, _error, _share, _digits) = (text, value, error, share, digits);

    public static RoutingCell Text(string text) => new(text, 0, double.NaN, false, 0);

    public static RoutingCell Number(double value, int digits) => new(null, value, double.NaN, false, digits);

    public static RoutingCell Number((double Mean, double Error) mean, int digits) => new(null, mean.Mean, mean.Error, false, digits);

    /// <summary>Written in percent.</summary>
    public static RoutingCell Share(double value, int digits = 1) => new(null, value, double.NaN, true, digits);

    /// <summary>Written in percent.</summary>
    public static RoutingCell Share((double Mean, double Error) mean, int digits = 2) => new(null, mean.Mean, mean.Error, true, digits);

    public JsonNode? ToJson() =>
        _text is not null ? JsonValue.Create(_text)
        : !double.IsFinite(_value) ? null
        : double.IsFinite(_error) ? new JsonObject { ["mean"] = _value, ["standard_error"] = _error }
        : JsonValue.Create(_value);

    public override string ToString()
    {
        if (_text is not null)
        {
            return _text;
        }
        double scale = _share ? 100 : 1;
        string format = "F" + _digits.ToString(CultureInfo.InvariantCulture);
        return !double.IsFinite(_value) ? "–"
            : (_value * scale).ToString(format, CultureInfo.InvariantCulture)
                + (double.IsFinite(_error) ? " ± " + (_error * scale).ToString(format, CultureInfo.InvariantCulture) : "")
                + (_share ? " %" : "");
    }
}
