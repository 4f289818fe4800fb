namespace ContinualNative.Host.Frontier;

/// <summary>What the handlers of one call know of it. It flows with the call, as the OpenAI package offers no place of its own.</summary>
internal sealed class CallState(TimeProvider time, TimeSpan attempt, TimeSpan total)
{
    private static readonly AsyncLocal<CallState?> Flowing = new();

    private readonly long _started = time.GetTimestamp();

    /// <summary>The call that the running code belongs to.</summary>
    public static CallState? Current
    {
        get => Flowing.Value;
        set => Flowing.Value = value;
    }

    /// <summary>Attempts begun.</summary>
    public int Attempts { get; set; }

    /// <summary>Whether the endpoint may be at work for us, and so may charge.</summary>
    public bool Working { get; set; }

    /// <summary>Called when an attempt's first byte has come, with the time since the attempt began.</summary>
    public Action<TimeSpan>? FirstByte { get; init; }

    public TimeSpan Elapsed => time.GetElapsedTime(_started);

    /// <summary>What is left of the time for the whole call.</summary>
    public TimeSpan Left => total - Elapsed;

    /// <summary>How long the attempt that begins now may take to its first byte.</summary>
    public TimeSpan AttemptLimit()
    {
        TimeSpan least = TimeSpan.FromMilliseconds(1);
        TimeSpan limit = Left < attempt ? Left : attempt;
        return limit > least ? limit : least;
    }
}
