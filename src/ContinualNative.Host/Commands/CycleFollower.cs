using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using Spectre.Console;

namespace ContinualNative.Host.Commands;

/// <summary>Shows a running cycle of a server until it ends: one line that changes on a terminal, a line now and then elsewhere.</summary>
internal sealed class CycleFollower(ServerAccess server, long cycle)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LineEvery = TimeSpan.FromSeconds(5);

    // A server that is restarted takes the cycle up again.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private long _told;
    private CycleState? _state;

    /// <summary>The ended cycle, as the server tells of it. Throws <see cref="NoServerException"/>, <see cref="RefusedException"/> and <see cref="OperationCanceledException"/>; the cycle goes on then.</summary>
    public Task<JsonElement> RunAsync(CancellationToken cancellationToken)
    {
        if (Console.IsErrorRedirected)
        {
            return FollowAsync(TellLine, cancellationToken);
        }
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Status().StartAsync($"cycle {cycle}", context => FollowAsync((_, text) => context.Status = Markup.Escape(text), cancellationToken));
    }

    /// <summary>Such as <c>cycle 3, training: step 12 of 90, loss 0.912, 13 %, 20 s left</c>.</summary>
    internal static string Describe(long cycle, CycleState state, JsonElement? progress)
    {
        string text = $"cycle {cycle}, {CycleText.Name(state)}";
        if (progress is not { } now)
        {
            return text;
        }
        text += $": {CommandRun.Printable(now.GetProperty("activity").GetString() ?? "")}";
        if (now.TryGetProperty("share", out JsonElement share) && share.ValueKind == JsonValueKind.Number)
        {
            text += string.Create(CultureInfo.InvariantCulture, $", {share.GetDouble():P0}");
        }
        if (now.TryGetProperty("seconds_left", out JsonElement left) && left.ValueKind == JsonValueKind.Number)
        {
            text += $", {ConsoleProgress.Time(TimeSpan.FromSeconds(Math.Clamp(left.GetDouble(), 0, 1e8)))} left";
        }
        return text;
    }

    private async Task<JsonElement> FollowAsync(Action<CycleState?, string> tell, CancellationToken cancellationToken)
    {
        long lost = 0;
        while (true)
        {
            try
            {
                JsonElement now = await server.GetAsync(string.Create(CultureInfo.InvariantCulture, $"/admin/cycles/{cycle}"), cancellationToken);
                CycleState state = CycleView.StateOf(now);
                if (state >= CycleState.Promoted)
                {
                    return now;
                }
                lost = 0;
                tell(state, Describe(cycle, state, now.TryGetProperty("progress", out JsonElement progress) ? progress : null));
            }
            catch (Exception e) when (e is NoServerException or RefusedException { Status: HttpStatusCode.ServiceUnavailable })
            {
                lost = lost == 0 ? Stopwatch.GetTimestamp() : lost;
                if (Stopwatch.GetElapsedTime(lost) > Patience)
                {
                    throw;
                }
                tell(null, $"cycle {cycle}: the server does not answer; waiting for it");
            }
            await Task.Delay(Interval, cancellationToken);
        }
    }

    private void TellLine(CycleState? state, string text)
    {
        if (_told != 0 && state == _state && Stopwatch.GetElapsedTime(_told) < LineEvery)
        {
            return;
        }
        (_told, _state) = (Stopwatch.GetTimestamp(), state);
        Console.Error.WriteLine(text);
    }
}
