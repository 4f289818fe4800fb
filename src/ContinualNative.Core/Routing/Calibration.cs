using System.Text.Json;
using System.Text.Json.Serialization;

namespace ContinualNative.Core.Routing;

/// <summary>How answers of one adapter to requests of one task are judged. Immutable.</summary>
public sealed record Calibration
{
    /// <summary>The <see cref="Task"/> of the calibration for tasks that have none of their own.</summary>
    public const string AnyTask = "*";

    /// <summary>The version of the text that this program writes and reads.</summary>
    public const int TextVersion = 1;

    /// <summary>What the store knows it by, 1 or more; 0 before it is stored. Not part of the text.</summary>
    [JsonIgnore]
    public long Id { get; init; }

    /// <summary>The version of the text.</summary>
    public int Version { get; init; } = TextVersion;

    /// <summary>The task, or <see cref="AnyTask"/>.</summary>
    public required string Task { get; init; }

    /// <summary>The adapter.</summary>
    public required string Adapter { get; init; }

    /// <summary>The target risk that the thresholds were set for; null when only a budget decides.</summary>
    public double? TargetRisk { get; init; }

    /// <summary>Position of the newest sample in it; 0 for none.</summary>
    public long NewestSequence { get; init; }

    /// <summary>For whole answers.</summary>
    public required CalibrationSide Whole { get; init; }

    /// <summary>For streams judged by their beginning.</summary>
    public required CalibrationSide Early { get; init; }

    /// <summary>The one of the two that judges these features.</summary>
    public CalibrationSide Side(bool early) => early ? Early : Whole;

    /// <summary>
    /// Whether the threshold would have let a wrong answer through: what <see cref="RiskMonitor"/> counts. Independent of the budget, which may have let more through.
    /// null when there is no threshold.
    /// </summary>
    public bool? LossOf(in LabelledSample sample) =>
        Side(sample.Features.Early) is { Threshold: { } threshold } side ? !sample.Correct && side.Probability(sample.Features) >= threshold : null;

    /// <summary>As JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, CalibrationJson.Default.Calibration);

    /// <summary>Reads what <see cref="ToJson"/> wrote. Throws <see cref="FormatException"/> for anything else, and for the text of another version.</summary>
    public static Calibration FromJson(string json, long id = 0)
    {
        Calibration? calibration;
        try
        {
            calibration = JsonSerializer.Deserialize(json, CalibrationJson.Default.Calibration);
        }
        catch (JsonException e)
        {
            throw new FormatException($"The calibration is damaged: {e.Message} Calibrate the task again.", e);
        }
        if (calibration is null || calibration.Version != TextVersion)
        {
            throw new FormatException($"The calibration has version {calibration?.Version.ToString() ?? "none"}, and this program reads version {TextVersion}. Calibrate the task again.");
        }
        if (!calibration.Whole.IsWellFormed() || !calibration.Early.IsWellFormed() || calibration.TargetRisk is not (null or (> 0 and < 1)))
        {
            throw new FormatException("The calibration is damaged: its numbers do not fit together. Calibrate the task again.");
        }
        return calibration with { Id = id };
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    UseStringEnumConverter = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Calibration))]
internal sealed partial class CalibrationJson : JsonSerializerContext;
