using Spectre.Console;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>A history for people: a table on a terminal, aligned lines elsewhere.</summary>
internal static class LearningTable
{
    /// <summary>Prints periods, totals and events.</summary>
    public static void Print(LearningHistory history, TextWriter output, bool terminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = terminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(output),
        });
        if (!terminal)
        {
            // Lines that are cut or wrapped are of no use to other programs.
            console.Profile.Width = 1000;
        }
        console.Write(new Text(history.Title + "\n", new Style(decoration: Decoration.Bold)));
        if (history.Periods.Count == 0)
        {
            console.WriteLine("There are no periods to show.");
            return;
        }
        console.Write(TableOf(history, terminal));
        console.WriteLine($"Shares of {history.Measure}; up: routed up; price: US dollars a request, all costs; of frontier: as a share of a frontier model alone.");
        Events(console, history);
        console.WriteLine();
        console.WriteLine(LearningText.Describe(history));
        foreach (string note in history.Notes)
        {
            console.WriteLine(note);
        }
    }

    /// <summary>The table alone.</summary>
    internal static Table TableOf(LearningHistory history, bool terminal)
    {
        bool served = history.Periods.Any(static p => p.Served is not null);
        // Vertical lines would make it too wide for 80 columns.
        Table table = new() { Border = terminal ? TableBorder.Simple : TableBorder.None };
        List<string> columns = ["period", "requests", "frozen", "continual", "frontier"];
        if (served)
        {
            columns.Add("sent");
        }
        columns.AddRange(["up", "price", "of frontier"]);
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column)) { NoWrap = true, Alignment = column == "period" ? Justify.Left : Justify.Right });
        }
        foreach (LearningPeriod period in history.Periods)
        {
            List<Text> cells =
            [
                new(period.Label),
                new(LearningText.Count(period.Requests)),
                Rated(period.Frozen, Color.Orange3),
                Rated(period.Continual, Color.Green),
                Rated(period.Frontier, Color.DodgerBlue1),
            ];
            if (served)
            {
                cells.Add(Rated(period.Served, Color.Default));
            }
            cells.AddRange([new(LearningText.Percent(period.RoutedUp)), new(LearningText.Amount(period.Price)), new(LearningText.Percent(period.PriceShare))]);
            table.AddRow(cells);
        }
        return table;
    }

    private static Text Rated(Rate? rate, Color colour) => new(LearningText.Percent(rate?.Value), new Style(colour));

    private static void Events(IAnsiConsole console, LearningHistory history)
    {
        (string Label, LearningEvent Event)[] events = [.. history.Periods.SelectMany(static p => p.Events.Select(e => (p.Label, e)))];
        if (events.Length == 0)
        {
            return;
        }
        int label = events.Max(static e => e.Label.Length);
        int kind = events.Max(static e => LearningText.RowOf(e.Event.Kind).Length);
        console.WriteLine();
        foreach ((string name, LearningEvent happened) in events)
        {
            console.WriteLine($"{name.PadRight(label)}  {LearningText.RowOf(happened.Kind).PadRight(kind)}  {happened.Text}");
        }
    }
}
