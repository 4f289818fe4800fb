using System.Text.Json;
using System.Text.Json.Serialization;

namespace ContinualNative.Core.Evaluation;

/// <summary>A <see cref="GateVerdict"/> as JSON, with names in snake case: what is stored and shown.</summary>
public static class GateVerdictJson
{
    /// <summary>As JSON, one line.</summary>
    public static string Write(GateVerdict verdict) => JsonSerializer.Serialize(verdict, GateJsonContext.Default.GateVerdict);

    /// <summary>Reads what <see cref="Write"/> wrote. Throws <see cref="JsonException"/>.</summary>
    public static GateVerdict Read(string json) =>
        JsonSerializer.Deserialize(json, GateJsonContext.Default.GateVerdict) ?? throw new JsonException("A verdict is an object, not null.");
}

/// <summary>Serialization without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(GateVerdict))]
internal sealed partial class GateJsonContext : JsonSerializerContext;
