using System.Text.Encodings.Web;
using System.Text.Json;

namespace ContinualNative.Host.Cycles;

/// <summary>How the details of cycles are written.</summary>
internal static class CycleJson
{
    /// <summary>Snake case, as all JSON of the server.</summary>
    public static readonly JsonSerializerOptions Options = new(JsonSerializerDefaults.General)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        RespectNullableAnnotations = true,
    };
}
