namespace ContinualNative.Host.Frontier;

/// <summary>Why there is no answer from a frontier model.</summary>
internal enum FrontierErrorKind
{
    /// <summary>No endpoint is configured.</summary>
    NotConfigured,

    /// <summary>It cannot be reached, fails by itself (5xx), or its circuit is open.</summary>
    Unavailable,

    /// <summary>No byte came in the time allowed, or not the whole answer.</summary>
    TimedOut,

    /// <summary>It takes no more calls at the moment (429).</summary>
    RateLimited,

    /// <summary>It refuses the call as ours to mend: a wrong key, an unknown model, a bad request.</summary>
    Rejected,

    /// <summary>The day's budget does not hold the call; nothing was sent.</summary>
    OverBudget,

    /// <summary>As many calls run as may run at once; nothing was sent.</summary>
    Busy,

    /// <summary>The answer broke off after its beginning had been given to the caller.</summary>
    CutOff,

    /// <summary>An answer came that is none: empty, malformed, too large, or not the JSON that was asked for.</summary>
    Nonsense,
}
