using System.Text.Json;
using System.Text.Json.Serialization;
using ContinualNative.Core.Routing;

namespace ContinualNative.Bench;

/// <summary>One line of the features file: an utterance, its intent, and what the local model answered and how sure it was.</summary>
/// <param name="Set"><see cref="Learned"/>, <see cref="Exchangeable"/> or <see cref="Drift"/>.</param>
/// <param name="Text">The utterance.</param>
/// <param name="Label">Its intent.</param>
/// <param name="Answer">The local model's answer; null for what it learned from, which it is not asked.</param>
/// <param name="MeanLogProb">As in <see cref="Confidence"/>, like the next four.</param>
/// <param name="MinLogProb">See there.</param>
/// <param name="FirstTokenMargin">See there.</param>
/// <param name="MeanEntropy">See there.</param>
/// <param name="Tokens">See there.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="Truncated">Whether the answer ran out of tokens.</param>
internal sealed record RoutingRow(
    string Set,
    string Text,
    string Label,
    string? Answer,
    float MeanLogProb,
    float MinLogProb,
    float FirstTokenMargin,
    float MeanEntropy,
    int Tokens,
    int PromptTokens,
    bool Truncated)
{
    /// <summary>Utterances that the adapter was trained on.</summary>
    public const string Learned = "learned";

    /// <summary>Unseen utterances of the intents that it was trained on.</summary>
    public const string Exchangeable = "exchangeable";

    /// <summary>Utterances of intents that it never learned.</summary>
    public const string Drift = "drift";

    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>Whether the answer is the intent.</summary>
    [JsonIgnore]
    public bool Correct => Answer == Label;

    /// <summary>How sure the model was.</summary>
    [JsonIgnore]
    public Confidence Confidence => new(MeanLogProb, MinLogProb, FirstTokenMargin, MeanEntropy, Tokens);

    /// <summary>The rows of a file. Throws <see cref="InvalidDataException"/> naming the line.</summary>
    public static RoutingRow[] Read(string path) => [.. File.ReadLines(path).Select((line, i) =>
    {
        try
        {
            return JsonSerializer.Deserialize<RoutingRow>(line, Options)!;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{path}, line {i + 1}: {e.Message} Record the file again with 'routing record'.", e);
        }
    })];

    /// <summary>Writes a file whole.</summary>
    public static void Write(string path, IEnumerable<RoutingRow> rows) => File.WriteAllLines(path, rows.Select(static row => JsonSerializer.Serialize(row, Options)));
}
