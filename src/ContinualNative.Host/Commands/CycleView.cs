using System.Text.Json;
using ContinualNative.Core.Cycles;

namespace ContinualNative.Host.Commands;

/// <summary>A cycle out of the admin API's JSON.</summary>
internal static class CycleView
{
    /// <summary>Its state.</summary>
    public static CycleState StateOf(JsonElement cycle) => Parse<CycleState>(cycle.GetProperty("state"));

    /// <summary>The whole record, as far as the API tells it.</summary>
    public static CycleRecord Read(JsonElement cycle) => new()
    {
        Id = cycle.GetProperty("id").GetInt64(),
        State = StateOf(cycle),
        Trigger = Parse<CycleTrigger>(cycle.GetProperty("trigger")),
        Cause = cycle.GetProperty("cause").GetString()!,
        Champion = cycle.GetProperty("champion").GetString()!,
        Candidate = cycle.GetProperty("candidate").GetString()!,
        StartedAt = cycle.GetProperty("started_at").GetDateTimeOffset(),
        ChangedAt = cycle.GetProperty("changed_at").GetDateTimeOffset(),
        Detail = cycle.TryGetProperty("detail", out JsonElement detail) ? detail.GetRawText() : "{}",
        Outcome = cycle.GetProperty("outcome").GetString()!,
    };

    private static T Parse<T>(JsonElement name)
        where T : struct, Enum => Enum.Parse<T>(name.GetString()!.Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
}
