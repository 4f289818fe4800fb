using System.Text.Json;

namespace ContinualNative.Core.Teaching;

/// <summary>How far a local answer agrees with the teacher's, from 0 to 1.</summary>
public static class Agreement
{
    // Beyond this, calls are compared in their order only: pairing them costs the square.
    private const int MaxPairedCalls = 64;

    private static readonly (AgreementMeasure Measure, string Name)[] All =
    [
        (AgreementMeasure.Exact, "exact"),
        (AgreementMeasure.Normalized, "normalized"),
        (AgreementMeasure.Json, "json"),
        (AgreementMeasure.Similarity, "similarity"),
        (AgreementMeasure.TokenF1, "token_f1"),
        (AgreementMeasure.Judge, "judge"),
    ];

    /// <summary>The names of all measures.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Select(static m => m.Name)];

    /// <summary>A measure's name.</summary>
    public static string NameOf(AgreementMeasure measure) => All.First(m => m.Measure == measure).Name;

    /// <summary>The measure of a name, or null.</summary>
    public static AgreementMeasure? Named(string? name) => All.Where(m => m.Name == name).Select(static m => (AgreementMeasure?)m.Measure).FirstOrDefault();

    /// <summary>The agreement from which on an answer counts as right where a task sets none: 1, and 0.8 for measures that are never quite certain.</summary>
    public static double DefaultPassMark(AgreementMeasure measure) =>
        measure is AgreementMeasure.Similarity or AgreementMeasure.TokenF1 or AgreementMeasure.Judge ? 0.8 : 1;

    /// <summary>
    /// Compares two answers. Where either is an assistant's message with tool calls (JSON with <c>tool_calls</c>), the calls are compared whatever
    /// the measure: names, and arguments as JSON.
    /// </summary>
    /// <param name="measure">Any but <see cref="AgreementMeasure.Judge"/>, which needs a model: for it see <see cref="JudgePrompt"/> and <see cref="ToolCallScore"/>.</param>
    /// <param name="local">The local model's answer.</param>
    /// <param name="teacher">The teacher's answer.</param>
    /// <param name="embed">Embeds a text, for <see cref="AgreementMeasure.Similarity"/>; null: words are compared.</param>
    public static double Score(AgreementMeasure measure, string local, string teacher, Func<string, ReadOnlyMemory<float>>? embed = null)
    {
        ArgumentNullException.ThrowIfNull(local);
        ArgumentNullException.ThrowIfNull(teacher);
        if (ToolCallScore(local, teacher) is { } calls)
        {
            return calls;
        }
        return measure switch
        {
            AgreementMeasure.Exact => local.AsSpan().Trim().SequenceEqual(teacher.AsSpan().Trim()) ? 1 : 0,
            AgreementMeasure.Normalized => AnswerText.Normalize(local) == AnswerText.Normalize(teacher) ? 1 : 0,
            AgreementMeasure.Json => JsonAgreement.Score(local, teacher),
            AgreementMeasure.Similarity when embed is not null => Cosine(embed(local).Span, embed(teacher).Span),
            AgreementMeasure.Similarity or AgreementMeasure.TokenF1 => TokenF1(local, teacher),
            AgreementMeasure.Judge => throw new ArgumentException("A judge's verdict comes from a model: build its messages with JudgePrompt.", nameof(measure)),
            _ => throw new ArgumentOutOfRangeException(nameof(measure), measure, null),
        };
    }

    /// <summary><see cref="Score"/> with an embedder that takes its time.</summary>
    public static async ValueTask<double> ScoreAsync(
        AgreementMeasure measure, string local, string teacher, Func<string, CancellationToken, ValueTask<ReadOnlyMemory<float>>> embed, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(embed);
        if (measure != AgreementMeasure.Similarity || ToolCallScore(local, teacher) is not null)
        {
            return Score(measure, local, teacher);
        }
        ReadOnlyMemory<float> a = await embed(local, cancellationToken).ConfigureAwait(false);
        ReadOnlyMemory<float> b = await embed(teacher, cancellationToken).ConfigureAwait(false);
        return Cosine(a.Span, b.Span);
    }

    /// <summary>
    /// The agreement of two answers of which at least one is a message with tool calls, or null when neither is: the mean over the calls of the
    /// longer list of 0 for a call without its like, else <see cref="AgreementMeasure.Json"/> of the arguments. Ids and the calls' order do not matter.
    /// </summary>
    public static double? ToolCallScore(string local, string teacher)
    {
        List<(string Name, string Arguments)>? a = Calls(local);
        List<(string Name, string Arguments)>? b = Calls(teacher);
        if (a is null || b is null)
        {
            return a is null && b is null ? null : 0;
        }
        double sum = 0;
        bool[] used = new bool[a.Count];
        bool paired = Math.Max(a.Count, b.Count) <= MaxPairedCalls;
        for (int i = 0; i < b.Count; i++)
        {
            int best = -1;
            double bestScore = -1;
            // The call in the same place first: of equally good ones it is the one that is meant.
            for (int k = 0; k < a.Count && bestScore < 1; k++)
            {
                int candidate = (i + k) % a.Count;
                if (!paired && k > 0)
                {
                    break;
                }
                if (!used[candidate] && (paired || i < a.Count) && a[candidate].Name == b[i].Name)
                {
                    double score = JsonAgreement.Score(a[candidate].Arguments, b[i].Arguments);
                    if (score > bestScore)
                    {
                        (best, bestScore) = (candidate, score);
                    }
                }
            }
            if (best >= 0)
            {
                used[best] = true;
                sum += bestScore;
            }
        }
        return sum / Math.Max(a.Count, b.Count);
    }

    /// <summary>
    /// Cosine of two embeddings of one length, which need not be of unit length, in double precision; 0 where it is negative or either has no length.
    /// </summary>
    public static double Cosine(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        if (a.Length != b.Length)
        {
            throw new ArgumentException($"Embeddings of {a.Length} and {b.Length} numbers cannot be compared: they are of two models.", nameof(b));
        }
        double dot = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.Length; i++)
        {
            dot += (double)a[i] * b[i];
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
        }
        double cosine = dot / Math.Sqrt(aa * bb);
        return double.IsFinite(cosine) ? Math.Clamp(cosine, 0, 1) : 0;
    }

    /// <summary>
    /// F1 over the words of both answers as multisets: 2 · common ÷ (words of one + words of the other); 1 when neither has any. Words are
    /// normalized; a character of a script without spaces is a word.
    /// </summary>
    public static double TokenF1(string local, string teacher)
    {
        Dictionary<string, int> words = new(StringComparer.Ordinal);
        int total = 0;
        foreach (string word in AnswerText.Words(teacher))
        {
            words[word] = words.GetValueOrDefault(word) + 1;
            total++;
        }
        int common = 0;
        foreach (string word in AnswerText.Words(local))
        {
            total++;
            if (words.TryGetValue(word, out int left) && left > 0)
            {
                words[word] = left - 1;
                common++;
            }
        }
        return total == 0 ? 1 : 2.0 * common / total;
    }

    private static List<(string Name, string Arguments)>? Calls(string answer)
    {
        if (!answer.Contains("tool_calls", StringComparison.Ordinal) || !answer.AsSpan().TrimStart().StartsWith("{"))
        {
            return null;
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(answer);
            if (!document.RootElement.TryGetProperty("tool_calls", out JsonElement list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            {
                return null;
            }
            List<(string, string)> calls = new(list.GetArrayLength());
            foreach (JsonElement entry in list.EnumerateArray())
            {
                JsonElement call = entry.ValueKind == JsonValueKind.Object && entry.TryGetProperty("function", out JsonElement function) ? function : entry;
                if (call.ValueKind != JsonValueKind.Object || !call.TryGetProperty("name", out JsonElement name) || name.ValueKind != JsonValueKind.String)
                {
                    return null;
                }
                string arguments = !call.TryGetProperty("arguments", out JsonElement given) ? "{}" : given.ValueKind == JsonValueKind.String ? given.GetString()! : given.GetRawText();
                calls.Add((name.GetString()!, string.IsNullOrWhiteSpace(arguments) ? "{}" : arguments));
            }
            return calls;
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
            return null;
        }
    }
}
