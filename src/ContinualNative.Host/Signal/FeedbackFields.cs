using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.Signal;

/// <summary>A report of an outcome, as it comes by HTTP and in files.</summary>
internal sealed record FeedbackFields(string RequestId, OutcomeKind Kind, string? Correction, double? Score, string Source)
{
    public const int MaxSource = 200;
    public const int MaxCorrection = 1 << 20;

    /// <summary>Reads one; throws <see cref="ApiException"/> naming the field that is wrong.</summary>
    public static FeedbackFields Parse(JsonElement root)
    {
        string? id = null;
        string? outcome = null;
        string? correction = null;
        double? score = null;
        string source = "";
        foreach (JsonProperty field in root.EnumerateObject())
        {
            JsonElement value = field.Value;
            switch (field.Name)
            {
                case "request_id":
                    id = JsonIn.Text(value, "request_id");
                    break;
                case "outcome":
                    outcome = value.IsNull() ? null : JsonIn.OneOf(value, "outcome", "accepted", "rejected", "corrected");
                    break;
                case "correction":
                    correction = value.IsNull() ? null : JsonIn.Text(value, "correction");
                    break;
                case "score":
                    score = value.IsNull() ? null : JsonIn.Number(value, "score", 0, 1);
                    break;
                case "source":
                    source = value.IsNull() ? "" : JsonIn.Text(value, "source");
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(field.Name));
            }
        }
        if (id is null)
        {
            throw ApiException.Missing("request_id");
        }
        if (!IsRequestId(id))
        {
            throw ApiException.WrongValue("request_id", $"Invalid 'request_id': '{JsonIn.Short(id)}' is none; it has 24 hexadecimal digits, as in the header x-continual-request-id.");
        }
        if (outcome is null && score is null)
        {
            throw ApiException.Missing("outcome");
        }
        if (outcome == "corrected" && string.IsNullOrEmpty(correction))
        {
            throw ApiException.WrongValue("correction", "Missing 'correction': with the outcome 'corrected' it is the right answer. Without one, report 'rejected'.");
        }
        if (outcome != "corrected" && correction is not null)
        {
            throw ApiException.WrongValue("correction", "Invalid 'correction': it goes with the outcome 'corrected' only.");
        }
        if (correction?.Length > MaxCorrection)
        {
            throw ApiException.WrongValue("correction", $"Invalid 'correction': it is longer than {MaxCorrection} characters.");
        }
        if (source.Length > MaxSource || source.Any(char.IsControl))
        {
            throw ApiException.WrongValue("source", $"Invalid 'source': at most {MaxSource} characters, without control characters.");
        }
        OutcomeKind kind = outcome switch
        {
            "accepted" => OutcomeKind.Accepted,
            "rejected" => OutcomeKind.Rejected,
            "corrected" => OutcomeKind.Corrected,
            _ => OutcomeKind.Scored,
        };
        return new FeedbackFields(id.ToLowerInvariant(), kind, correction, score, source);
    }

    /// <summary>Whether a text can be a request's id; a completion's id (<c>chatcmpl-...</c>) is none.</summary>
    public static bool IsRequestId(string id) => id.Length == 24 && id.All(char.IsAsciiHexDigit);
}
