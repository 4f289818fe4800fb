using System.Globalization;

namespace ContinualNative.Core.Curation;

/// <summary>Traffic in slices: a task in a calendar week. What a model forgets, it forgets slice by slice.</summary>
public static class Slices
{
    /// <summary>The slice's name, such as <c>triage 2026-W45</c> (ISO 8601 weeks, UTC).</summary>
    public static string Of(string task, DateTimeOffset at) =>
        string.Create(CultureInfo.InvariantCulture, $"{task} {ISOWeek.GetYear(at.UtcDateTime):0000}-W{ISOWeek.GetWeekOfYear(at.UtcDateTime):00}");
}
