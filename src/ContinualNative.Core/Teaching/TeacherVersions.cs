namespace ContinualNative.Core.Teaching;

/// <summary>What is known of the model that an endpoint says it answered with.</summary>
public enum TeacherChange
{
    /// <summary>It answered before.</summary>
    Known,

    /// <summary>It is the endpoint's first: there is nothing to compare it with.</summary>
    First,

    /// <summary>It is new at an endpoint that had another: time to relabel.</summary>
    New,
}

/// <summary>Which teachers each endpoint has had. Thread-safe.</summary>
public sealed class TeacherVersions
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, HashSet<string>> _seen = new(StringComparer.Ordinal);

    /// <summary>With what the store knows of.</summary>
    public TeacherVersions(IEnumerable<(string Endpoint, string Teacher)> seen)
    {
        ArgumentNullException.ThrowIfNull(seen);
        foreach ((string endpoint, string teacher) in seen)
        {
            Observe(endpoint, teacher);
        }
    }

    /// <summary>Takes note of an answer's teacher; an empty name, as of an endpoint that does not say, is never new.</summary>
    public TeacherChange Observe(string endpoint, string teacher)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        if (string.IsNullOrWhiteSpace(teacher))
        {
            return TeacherChange.Known;
        }
        lock (_gate)
        {
            if (!_seen.TryGetValue(endpoint, out HashSet<string>? versions))
            {
                _seen[endpoint] = versions = new HashSet<string>(StringComparer.Ordinal);
            }
            return !versions.Add(teacher) ? TeacherChange.Known : versions.Count == 1 ? TeacherChange.First : TeacherChange.New;
        }
    }
}
