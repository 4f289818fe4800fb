namespace ContinualNative.Host.Demo;

/// <summary>What a demo run leaves out, to see what it is worth.</summary>
[Flags]
internal enum DemoAblation
{
    None = 0,

    /// <summary>No old requests among the examples.</summary>
    NoReplay = 1,

    /// <summary>Training is not held to the champion.</summary>
    NoAnchor = 2,

    /// <summary>No labels beyond escalations and audits.</summary>
    NoTeaching = 4,

    /// <summary>Customers report nothing.</summary>
    NoOutcomes = 8,

    /// <summary>What the teacher is asked is drawn at random.</summary>
    RandomTeaching = 16,
}

/// <summary>One run of the demo.</summary>
internal sealed record DemoOptions
{
    public const int DefaultWeeks = 12;
    public const int DefaultRequests = 400;

    /// <summary>The model that comes with the program.</summary>
    public static string EmbeddedModel => Path.Combine(AppContext.BaseDirectory, "demo", "support-desk.gguf");

    public ulong Seed { get; init; } = 1;

    /// <summary>Simulated weeks, the first without any drift.</summary>
    public int Weeks { get; init; } = DefaultWeeks;

    /// <summary>Requests a week.</summary>
    public int Requests { get; init; } = DefaultRequests;

    /// <summary>The server's data folder; it must be empty.</summary>
    public required string Data { get; init; }

    /// <summary>The GGUF model.</summary>
    public required string Model { get; init; }

    public DemoAblation Without { get; init; }

    /// <summary>Share of its requests that a customer reports on.</summary>
    public double FeedbackShare { get; init; } = 0.45;

    /// <summary>The week in which a partner's system sends false corrections; −1: none.</summary>
    public int PoisonedWeek { get; init; } = 7;

    /// <summary>Where the server's log goes; null: nowhere.</summary>
    public TextWriter? Log { get; init; }
}
