using System.Globalization;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Reporting.Learning.Drawing;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace ContinualNative.Host.Reporting.Learning;

/// <summary>Shows a run while it goes on: quality of the three models, share routed up, price, what is done now, and the time left.</summary>
internal sealed class LearningLiveView : ILearningView
{
    private const string Bars = "▁▂▃▄▅▆▇█";
    private const int MostBars = 40;
    private const int MostEvents = 4;

    private static readonly TimeSpan RefreshEvery = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(5);

    private readonly LearningLiveOptions _options;
    private readonly long _begun;
    private readonly Lock _lock = new();
    private readonly List<LearningPeriod> _periods = [];
    private string _activity = "starting";
    private double? _share;
    private long _lastPeriod;
    private long _lastLine;

    private LearningLiveView(LearningLiveOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Periods, 1);
        _options = options;
        _begun = _lastPeriod = _lastLine = options.Time.GetTimestamp();
    }

    /// <summary>Runs work that tells a view of itself. What the work throws is thrown again once the view is gone.</summary>
    public static async Task<T> RunAsync<T>(LearningLiveOptions options, Func<ILearningView, Task<T>> work)
    {
        LearningLiveView view = new(options);
        if (!options.Terminal)
        {
            return await work(view);
        }
        // Work that computes before it first waits must not keep the view from being drawn.
        Task<T> running = Task.Run(() => work(view));
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(options.Output) });
        await console.Live(view.Render()).AutoClear(true).StartAsync(async context =>
        {
            do
            {
                context.UpdateTarget(view.Render());
            }
            while (await Task.WhenAny(running, Task.Delay(RefreshEvery)) != running);
        });
        return await running;
    }

    /// <inheritdoc/>
    public void Period(LearningPeriod period)
    {
        lock (_lock)
        {
            _periods.Add(period);
            _lastPeriod = _lastLine = _options.Time.GetTimestamp();
            if (!_options.Terminal)
            {
                _options.Output.WriteLine(LineOf(period));
                foreach (LearningEvent happened in period.Events)
                {
                    _options.Output.WriteLine($"  {LearningText.RowOf(happened.Kind)}: {happened.Text}");
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Now(string activity, double? share = null)
    {
        lock (_lock)
        {
            (_activity, _share) = (activity, share);
            if (!_options.Terminal && _options.Time.GetElapsedTime(_lastLine) >= LineEvery)
            {
                _lastLine = _options.Time.GetTimestamp();
                _options.Output.WriteLine($"  {activity}{(share is { } done ? $", {LearningText.Percent(done, 0)} of it" : "")}{LeftOf()}");
            }
        }
    }

    /// <summary>A period in one line.</summary>
    internal static string LineOf(LearningPeriod period)
    {
        string price = period.PriceShare is { } share ? $", price {LearningText.Percent(share)} of a frontier alone" : "";
        return $"{period.Label}: frozen {LearningText.Percent(period.Frozen?.Value)}, continual {LearningText.Percent(period.Continual?.Value)}, frontier {LearningText.Percent(period.Frontier?.Value)}, routed up {LearningText.Percent(period.RoutedUp)}{price}";
    }

    /// <summary>Values as a row of bars, the newest last; from <paramref name="low"/> (lowest bar) to <paramref name="high"/>; a space for one that is unknown.</summary>
    internal static string Sparkline(IEnumerable<double?> values, double low, double high) =>
        string.Concat(values.TakeLast(MostBars).Select(v => v is { } known ? Bars[(int)Math.Round(Math.Clamp((known - low) / (high - low), 0, 1) * (Bars.Length - 1))] : ' '));

    private Rows Render()
    {
        lock (_lock)
        {
            double low = QualityPanel.LowOf(new LearningHistory { Title = "", Periods = _periods });
            Table table = new Table { Border = TableBorder.Rounded, ShowHeaders = false, Title = new TableTitle(Markup.Escape(_options.Title), new Style(decoration: Decoration.Bold)) }
                .AddColumn("").AddColumn(new TableColumn("") { Alignment = Justify.Right, NoWrap = true }).AddColumn(new TableColumn("") { Width = MostBars, NoWrap = true });
            void Row(string name, Color colour, Func<LearningPeriod, double?> value, double from, double to)
            {
                Style style = new(colour);
                table.AddRow(new Text(name, style), new Text(LearningText.Percent(_periods.Count > 0 ? value(_periods[^1]) : null), style), new Text(Sparkline(_periods.Select(value), from, to), style));
            }
            Row("frontier", Color.DodgerBlue1, static p => p.Frontier?.Value, low, 1);
            Row("continual", Color.Green, static p => p.Continual?.Value, low, 1);
            Row("frozen snapshot", Color.Orange3, static p => p.Frozen?.Value, low, 1);
            Row("routed up", Color.Default, static p => p.RoutedUp, 0, 1);
            Row("price, of frontier", Color.Default, static p => p.PriceShare, 0, 1);
            List<IRenderable> rows = [table];
            rows.AddRange(_periods.SelectMany(static p => p.Events.Select(e => $"{p.Label}  {LearningText.RowOf(e.Kind)}: {e.Text}")).TakeLast(MostEvents).Select(static e => new Text(e, new Style(Color.Grey))));
            string label = _periods.Count > 0 ? $"{_periods[^1].Label} is done, {_periods.Count} of {_options.Periods}" : $"{_options.Periods} periods to go";
            rows.Add(new Text($"{label}; {ConsoleProgress.Time(_options.Time.GetElapsedTime(_begun))} so far{LeftOf()}"));
            rows.Add(new Text(_share is { } done ? $"{Bar(done)} {_activity}" : _activity));
            return new Rows(rows);
        }
    }

    private static string Bar(double share)
    {
        int full = (int)Math.Round(Math.Clamp(share, 0, 1) * 20);
        return string.Create(CultureInfo.InvariantCulture, $"{new string('━', full)}{new string('─', 20 - full)}");
    }

    // From the time that periods took so far.
    private string LeftOf()
    {
        if (_periods.Count == 0)
        {
            return "";
        }
        TimeSpan all = _options.Time.GetElapsedTime(_begun, _lastPeriod) / _periods.Count * _options.Periods;
        TimeSpan left = all - _options.Time.GetElapsedTime(_begun);
        return $", about {ConsoleProgress.Time(left > TimeSpan.Zero ? left : TimeSpan.Zero)} left";
    }
}
