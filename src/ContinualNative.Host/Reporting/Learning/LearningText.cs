using System.Globalization;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>Figures of a history as people read them.</summary>
internal static class LearningText
{
    /// <summary>Such as <c>97.2 %</c>.</summary>
    public static string Percent(double share, int digits = 1) => (100 * share).ToString(digits == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " %";

    /// <summary>The same, or a dash.</summary>
    public static string Percent(double? share) => share is { } known && double.IsFinite(known) ? Percent(known) : "–";

    /// <summary>US dollars, or a dash.</summary>
    public static string Amount(decimal? dollars) => dollars is { } known ? ReportScreen.Amount(known) : "–";

    /// <summary>How many, with separators.</summary>
    public static string Count(long number) => number.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>A kind of event as the name of a row of them.</summary>
    public static string RowOf(LearningEventKind kind) => kind switch
    {
        LearningEventKind.Drift => "traffic changes",
        LearningEventKind.Release => "frontier release",
        LearningEventKind.Promotion => "promoted",
        LearningEventKind.Rejection => "rejected",
        LearningEventKind.Rollback => "rolled back",
        _ => "note",
    };

    /// <summary>What a history shows, in a few sentences.</summary>
    public static string Describe(LearningHistory history)
    {
        if (history.Periods.Count == 0)
        {
            return "There are no periods to show.";
        }
        LearningTotals totals = history.Totals;
        List<string> rates = [];
        void Add(string name, double? rate)
        {
            if (rate is { } known)
            {
                rates.Add($"{name} {Percent(known)}");
            }
        }
        Add("the frozen snapshot", totals.Frozen);
        Add("the continual model", totals.Continual);
        Add("the frontier", totals.Frontier);
        string over = history.Periods.Count == 1 ? history.Periods[0].Label : $"{history.Periods.Count} periods, {history.Periods[0].Label} to {history.Periods[^1].Label}";
        string quality = rates.Count > 0 ? $" Share of {history.Measure} in the last third ({(totals.LastThird == 1 ? "one period" : $"{totals.LastThird} periods")}): {string.Join(", ", rates)}." : "";
        string price = totals.PriceShare is { } share ? $" The price is {Percent(share)} of a frontier model alone, teaching, training and serving included." : "";
        return $"{Count(totals.Requests)} requests over {over}.{quality} {Percent(totals.RoutedUp)} of all requests were routed up.{price}";
    }
}
