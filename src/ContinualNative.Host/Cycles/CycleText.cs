using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>Cycles, adapters and promotions as JSON of the admin API and of <c>--json</c>.</summary>
internal static class CycleText
{
    /// <summary>A state, trigger, status or reason in snake case.</summary>
    public static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    public static void Write(Utf8JsonWriter json, CycleRecord cycle, CycleProgress? progress, bool detail)
    {
        json.WriteStartObject();
        json.WriteNumber("id", cycle.Id);
        json.WriteString("object", "cycle");
        json.WriteString("state", Name(cycle.State));
        json.WriteBoolean("active", cycle.IsActive);
        json.WriteString("trigger", Name(cycle.Trigger));
        json.WriteString("cause", cycle.Cause);
        json.WriteString("champion", cycle.Champion);
        json.WriteString("candidate", cycle.Candidate);
        json.WriteString("started_at", cycle.StartedAt);
        json.WriteString("changed_at", cycle.ChangedAt);
        json.WriteString("outcome", cycle.Outcome);
        if (progress is not null && progress.Cycle == cycle.Id)
        {
            json.WriteStartObject("progress");
            json.WriteString("activity", progress.Activity);
            WriteOptional(json, "share", progress.Share);
            WriteOptional(json, "seconds_left", progress.TimeLeft?.TotalSeconds);
            json.WriteEndObject();
        }
        if (detail)
        {
            json.WritePropertyName("detail");
            json.WriteRawValue(cycle.Detail);
        }
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, AdapterRecord adapter)
    {
        json.WriteStartObject();
        json.WriteString("id", adapter.Id);
        json.WriteString("object", "adapter");
        json.WriteString("status", Name(adapter.Status));
        json.WriteString("origin", Name(adapter.Origin));
        json.WriteString("parent", adapter.Parent);
        json.WriteString("created_at", adapter.At);
        json.WriteString("file", adapter.File);
        json.WriteNumber("bytes", adapter.Bytes);
        json.WriteString("sha256", adapter.Hash);
        json.WriteNumber("rank", adapter.Rank);
        if (adapter.Cycle is { } cycle)
        {
            json.WriteNumber("cycle", cycle);
        }
        else
        {
            json.WriteNull("cycle");
        }
        json.WriteString("note", adapter.Note);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, PromotionRecord promotion, bool evidence)
    {
        json.WriteStartObject();
        json.WriteNumber("number", promotion.Number);
        json.WriteString("object", "promotion");
        json.WriteString("champion", promotion.Adapter);
        json.WriteString("previous", promotion.Previous);
        json.WriteString("reason", Name(promotion.Reason));
        json.WriteString("at", promotion.At);
        if (promotion.Cycle is { } cycle)
        {
            json.WriteNumber("cycle", cycle);
        }
        if (evidence)
        {
            json.WritePropertyName("evidence");
            json.WriteRawValue(promotion.Evidence);
        }
        json.WriteEndObject();
    }

    /// <summary>Writes evaluations of an adapter as a member.</summary>
    public static void Write(Utf8JsonWriter json, string name, IReadOnlyList<StoredEvaluation> evaluations)
    {
        json.WriteStartArray(name);
        foreach (StoredEvaluation evaluation in evaluations)
        {
            json.WriteStartObject();
            json.WriteNumber("cycle", evaluation.Cycle);
            json.WriteString("kind", evaluation.Kind);
            json.WriteString("at", evaluation.At);
            json.WritePropertyName("result");
            json.WriteRawValue(evaluation.Json);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary>Promotions with their evidence, as a member.</summary>
    public static void Write(Utf8JsonWriter json, string name, IReadOnlyList<PromotionRecord> promotions)
    {
        json.WriteStartArray(name);
        foreach (PromotionRecord promotion in promotions)
        {
            Write(json, promotion, evidence: true);
        }
        json.WriteEndArray();
    }

    private static void WriteOptional(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, Math.Round(number, 4));
        }
        else
        {
            json.WriteNull(name);
        }
    }
}
