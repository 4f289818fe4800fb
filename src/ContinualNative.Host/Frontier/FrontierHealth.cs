namespace ContinualNative.Host.Frontier;

/// <summary>How one endpoint does.</summary>
/// <param name="Name">Its configured name.</param>
/// <param name="Model">The model that is asked for.</param>
/// <param name="AnsweredBy">The model that its last answer named; null before the first.</param>
/// <param name="Circuit"><c>closed</c> (calls go through), <c>open</c> (none does), <c>half_open</c> (one is tried) or <c>isolated</c>.</param>
/// <param name="Calls">Calls made.</param>
/// <param name="Failures">Calls made that gave no answer, by kind; only kinds that occurred.</param>
/// <param name="Retries">Attempts beyond the first.</param>
/// <param name="Running">Calls that run now.</param>
/// <param name="Waiting">Calls that wait for a slot now.</param>
/// <param name="MedianLatency">Of the last answers (at most 256); null before the first.</param>
internal sealed record FrontierHealth(
    string Name,
    string Model,
    string? AnsweredBy,
    string Circuit,
    long Calls,
    IReadOnlyDictionary<FrontierErrorKind, long> Failures,
    long Retries,
    int Running,
    int Waiting,
    TimeSpan? MedianLatency);
