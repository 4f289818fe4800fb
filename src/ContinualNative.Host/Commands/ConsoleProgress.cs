using System.Diagnostics;
using Spectre.Console;

namespace ContinualNative.Host.Commands;

/// <summary>Progress on standard error of work that takes more than two seconds: a bar on a terminal, a line every few seconds elsewhere.</summary>
internal static class ConsoleProgress
{
    private static readonly TimeSpan FirstLine = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(5);

    /// <summary>Runs work that reports how much of <paramref name="total"/> is done.</summary>
    public static Task<T> RunAsync<T>(string what, string unit, double total, Func<IProgress<double>, Task<T>> work)
    {
        Stopwatch watch = Stopwatch.StartNew();
        return RunAsync(what, total, done => Describe(done, total, unit, watch.Elapsed), work);
    }

    /// <summary>The same with words of the caller's own behind <paramref name="what"/>, from any thread.</summary>
    public static async Task<T> RunAsync<T>(string what, double total, Func<double, string> describe, Func<IProgress<double>, Task<T>> work)
    {
        Counter counter = new();
        Task<T> running = work(counter);
        if (await Task.WhenAny(running, Task.Delay(FirstLine)) == running)
        {
            return await running;
        }
        if (Console.IsErrorRedirected)
        {
            do
            {
                await Console.Error.WriteLineAsync($"{what}: {describe(counter.Done)}");
            }
            while (await Task.WhenAny(running, Task.Delay(LineEvery)) != running);
        }
        else
        {
            await ShowBarAsync(what, total, counter, describe, running);
        }
        return await running;
    }

    /// <summary>Such as <c>120 of 500 examples, 24.1 a second, 16 s left</c>.</summary>
    internal static string Describe(double done, double total, string unit, TimeSpan elapsed)
    {
        double rate = elapsed.TotalSeconds > 0 ? done / elapsed.TotalSeconds : 0;
        string left = rate > 0 ? Time(TimeSpan.FromSeconds(Math.Min((total - done) / rate, 1e8))) + " left" : "time left unknown";
        return unit == "%"
            ? $"{done:0} %, {left}"
            : $"{done:0} of {total:0} {unit}, {rate:0.#} a second, {left}";
    }

    /// <summary>Such as <c>3 min 20 s</c>.</summary>
    internal static string Time(TimeSpan time) =>
        time.TotalMinutes < 1 ? $"{Math.Ceiling(time.TotalSeconds):0} s"
        : time.TotalHours < 1 ? $"{time.Minutes} min {time.Seconds} s"
        : $"{(int)time.TotalHours} h {time.Minutes} min";

    private static async Task ShowBarAsync(string what, double total, Counter counter, Func<double, string> describe, Task running)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn())
            .StartAsync(async context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: total);
                do
                {
                    task.Value = counter.Done;
                    task.Description = Markup.Escape($"{what}: {describe(counter.Done)}");
                }
                while (await Task.WhenAny(running, Task.Delay(200)) != running);
            });
    }

    private sealed class Counter : IProgress<double>
    {
        private double _done;

        public double Done => Volatile.Read(ref _done);

        public void Report(double value) => Volatile.Write(ref _done, Math.Max(value, Done));
    }
}
