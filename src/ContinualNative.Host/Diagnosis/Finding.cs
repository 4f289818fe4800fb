namespace ContinualNative.Host.Diagnosis;

/// <summary>How a finding bears on serving.</summary>
internal enum Severity
{
    Ok,

    /// <summary>It can serve, but something is missing or will bite.</summary>
    Warning,

    /// <summary>It can't serve.</summary>
    Problem,
}

/// <summary>One line of the diagnosis.</summary>
/// <param name="Name">What was looked at.</param>
/// <param name="Severity">How bad it is.</param>
/// <param name="Detail">What is there.</param>
/// <param name="Advice">What to do, or null.</param>
internal sealed record Finding(string Name, Severity Severity, string Detail, string? Advice = null)
{
    public static Finding Ok(string name, string detail) => new(name, Severity.Ok, detail);

    public static Finding Warn(string name, string detail, string advice) => new(name, Severity.Warning, detail, advice);

    public static Finding Bad(string name, string detail, string advice) => new(name, Severity.Problem, detail, advice);
}
