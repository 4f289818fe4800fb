using System.Globalization;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Core.Curation;

/// <summary>What curation chose, and what it left out and why, in numbers and without any text: the preview of a cycle, and what is stored of it.</summary>
public sealed record CurationReport
{
    /// <summary>Requests that were planned.</summary>
    public required int Planned { get; init; }

    /// <summary>Fresh examples.</summary>
    public required int Fresh { get; init; }

    /// <summary>Old examples.</summary>
    public required int Replay { get; init; }

    /// <summary>Of these, chosen because an update would interfere with them: like requests that earlier candidates broke, or with an answer that fresh examples say is wrong for others.</summary>
    public int Rehearsed { get; init; }

    /// <summary>Examples with a rejected answer.</summary>
    public required int Pairs { get; init; }

    /// <summary>Sum of the examples' weights.</summary>
    public required double Weight { get; init; }

    /// <summary>Requests to evaluate on by their suite.</summary>
    public required IReadOnlyDictionary<EvaluationSuite, int> Evaluation { get; init; }

    /// <summary>Examples by where their answer comes from.</summary>
    public required IReadOnlyDictionary<ExampleSource, int> BySource { get; init; }

    /// <summary>Examples by slice.</summary>
    public required IReadOnlyDictionary<string, int> BySlice { get; init; }

    /// <summary>Examples by the API key that sent the request; empty: none.</summary>
    public required IReadOnlyDictionary<string, int> ByKey { get; init; }

    /// <summary>Requests that were to be trained on and are not.</summary>
    public required IReadOnlyDictionary<CurationExclusion, int> Excluded { get; init; }

    /// <summary>Requests that were to be evaluated on and are not.</summary>
    public required IReadOnlyDictionary<CurationExclusion, int> ExcludedFromEvaluation { get; init; }

    /// <summary>What is known of the keys' reports.</summary>
    public required IReadOnlyList<TrustFigure> Trust { get; init; }

    /// <summary>One JSON object.</summary>
    public string ToJson()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream))
        {
            json.WriteStartObject();
            json.WriteNumber("planned", Planned);
            json.WriteNumber("fresh", Fresh);
            json.WriteNumber("replay", Replay);
            json.WriteNumber("rehearsed", Rehearsed);
            json.WriteNumber("pairs", Pairs);
            json.WriteNumber("weight", Weight);
            Write(json, "evaluation", Evaluation, static s => Snake(s.ToString()));
            Write(json, "by_source", BySource, static s => Snake(s.ToString()));
            Write(json, "by_slice", BySlice, static s => s);
            Write(json, "by_key", ByKey, static s => s);
            Write(json, "excluded", Excluded, static s => Snake(s.ToString()));
            Write(json, "excluded_from_evaluation", ExcludedFromEvaluation, static s => Snake(s.ToString()));
            json.WriteStartArray("trust");
            foreach (TrustFigure figure in Trust)
            {
                json.WriteStartObject();
                json.WriteString("key", figure.KeyId);
                json.WriteNumber("agreed", figure.Agreed);
                json.WriteNumber("checked", figure.Checked);
                json.WriteNumber("trust", figure.Trust);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>The report in plain words, line by line; of slices and keys the twelve largest.</summary>
    public IEnumerable<string> Lines()
    {
        yield return Text($"{Count(Fresh + Replay, "example")} to train on: {Fresh} fresh, {Replay} old ones to be remembered; {Count(Pairs, "preference pair")}.");
        if (Rehearsed > 0)
        {
            yield return Text($"  {Rehearsed} of the old ones {(Rehearsed == 1 ? "is" : "are")} what an update is likely to break");
        }
        yield return Text($"{Count(Of(EvaluationSuite.Fresh), "fresh request")}, {Count(Of(EvaluationSuite.Old), "old one")} and {Count(Of(EvaluationSuite.Golden), "golden one")} to evaluate on.");
        foreach ((ExampleSource source, int count) in BySource)
        {
            yield return Text($"  {count} by {NameOf(source)}");
        }
        foreach (string line in Largest(BySlice, "slices", static slice => $"of {slice}").Concat(Largest(ByKey, "keys", static key => key.Length == 0 ? "from requests without a key" : $"from key {key}")))
        {
            yield return line;
        }
        foreach ((CurationExclusion reason, int count) in Excluded)
        {
            yield return Text($"Not trained on: {count}, {Reason(reason)}.");
        }
        foreach ((CurationExclusion reason, int count) in ExcludedFromEvaluation)
        {
            yield return Text($"Not evaluated on: {count}, {Reason(reason)}.");
        }
        foreach (TrustFigure figure in Trust)
        {
            yield return Text($"Trust in {(figure.KeyId.Length == 0 ? "reports without a key" : $"key {figure.KeyId}")}: {figure.Trust:0.00} ({figure.Agreed} of {figure.Checked} checked reports borne out).");
        }
    }

    private static IEnumerable<string> Largest(IReadOnlyDictionary<string, int> counts, string what, Func<string, string> name)
    {
        const int most = 12;
        foreach ((string item, int count) in counts.OrderByDescending(static c => c.Value).ThenBy(static c => c.Key, StringComparer.Ordinal).Take(most))
        {
            yield return Text($"  {count} {name(item)}");
        }
        if (counts.Count > most)
        {
            yield return Text($"  and {counts.Count - most} more {what}");
        }
    }

    private int Of(EvaluationSuite suite) => Evaluation.GetValueOrDefault(suite);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Count(int count, string what) => Text($"{count} {what}{(count == 1 ? "" : "s")}");

    private static string NameOf(ExampleSource source) => source switch
    {
        ExampleSource.Teacher => "a teacher",
        ExampleSource.Correction => "a client's correction",
        ExampleSource.Accepted => "the model itself, accepted by the client",
        ExampleSource.Own => "the model itself, to be kept",
        _ => throw new ArgumentOutOfRangeException(nameof(source), source, null),
    };

    private static string Reason(CurationExclusion reason) => reason switch
    {
        CurationExclusion.Missing => "erased or without texts",
        CurationExclusion.Unreadable => "no conversation that can be read",
        CurationExclusion.NoTruth => "nobody says what the right answer is",
        CurationExclusion.Contradicted => "reports that contradict each other",
        CurationExclusion.Untrusted => "reported by keys that are not trusted",
        CurationExclusion.Disputed => "the client and the teacher disagree",
        CurationExclusion.NotAllowed => "the teacher's terms forbid training",
        CurationExclusion.TeacherRejected => "the client rejected the teacher's answer",
        CurationExclusion.Superseded => "the same question has another answer since",
        CurationExclusion.Refuted => "found wrong of late for questions like it",
        CurationExclusion.Conflict => "a teacher or a correction says otherwise to the same question",
        CurationExclusion.Duplicate => "the same prompt is there already",
        CurationExclusion.NearDuplicate => "nearly the same prompt is there already",
        CurationExclusion.Leak => "the prompt is evaluated on",
        CurationExclusion.NearLeak => "nearly the same prompt is evaluated on",
        CurationExclusion.Repeated => "prompts so frequent that they are trained on instead",
        CurationExclusion.Judged => "known only because the local answer was found right or wrong",
        CurationExclusion.KeyCap => "too many rest on the word of one key",
        CurationExclusion.Room => "beyond the most that a cycle takes",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, null),
    };

    private static void Write<T>(Utf8JsonWriter json, string name, IReadOnlyDictionary<T, int> counts, Func<T, string> key)
    {
        json.WriteStartObject(name);
        foreach ((T item, int count) in counts)
        {
            json.WriteNumber(key(item), count);
        }
        json.WriteEndObject();
    }

    private static string Snake(string name) => JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
}
