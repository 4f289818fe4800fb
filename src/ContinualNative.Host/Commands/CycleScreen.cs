using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Cycles;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary>Cycles and verdicts for people.</summary>
internal static class CycleScreen
{
    private const int MostChecks = 60;

    /// <summary>A cycle in one line.</summary>
    public static string Line(CycleRecord cycle) => Clean(string.Create(
        CultureInfo.InvariantCulture,
        $"{cycle.Id,4}  {cycle.StartedAt:yyyy-MM-dd HH:mm}  {CycleText.Name(cycle.State),-10}  {cycle.Candidate} against {cycle.Champion}, {CycleText.Name(cycle.Trigger)}{(cycle.Cause.Length > 0 ? $" ({cycle.Cause})" : "")}{(cycle.Outcome.Length > 0 ? $": {cycle.Outcome}" : "")}"));

    /// <summary>A cycle with what its steps left and what was found of its candidate.</summary>
    public static void Print(CycleRecord cycle, IReadOnlyList<StoredEvaluation> evaluations, TextWriter output)
    {
        Write(output, $"Cycle {cycle.Id}: {CycleText.Name(cycle.State)}");
        Write(output, $"  '{cycle.Candidate}' against the champion '{cycle.Champion}'; begun {cycle.StartedAt:yyyy-MM-dd HH:mm:ss} UTC by {CycleText.Name(cycle.Trigger)}{(cycle.Cause.Length > 0 ? $" ({cycle.Cause})" : "")}, {CycleText.Name(cycle.State)} since {cycle.ChangedAt:yyyy-MM-dd HH:mm:ss}");
        if (cycle.Outcome.Length > 0)
        {
            Write(output, $"  {cycle.Outcome}");
        }
        foreach (string step in Steps(cycle.Detail))
        {
            Write(output, $"  {step}");
        }
        foreach (StoredEvaluation evaluation in evaluations)
        {
            Print(evaluation, output);
        }
    }

    /// <summary>One evaluation: a verdict of the gate as a table, anything else as its JSON.</summary>
    public static void Print(StoredEvaluation evaluation, TextWriter output)
    {
        output.WriteLine();
        GateVerdict verdict;
        try
        {
            verdict = GateVerdictJson.Read(evaluation.Json);
        }
        catch (JsonException)
        {
            Write(output, $"{evaluation.Kind}, {evaluation.At:yyyy-MM-dd HH:mm}: {evaluation.Json}");
            return;
        }
        string of = evaluation.Cycle > 0 ? $" of cycle {evaluation.Cycle}" : "";
        Write(output, $"{evaluation.Kind}{of}, {evaluation.At:yyyy-MM-dd HH:mm}: {Name(verdict.Decision)}. {verdict.Summary}");
        Write(output, $"  right on {verdict.Fresh} fresh requests: champion {verdict.ChampionRight:P1}, candidate {verdict.CandidateRight:P1}; evidence of a gain {verdict.Evidence:0.##}");
        Print(verdict.Checks, output);
    }

    private static void Print(IReadOnlyList<GateCheck> checks, TextWriter output)
    {
        string[][] rows =
        [
            ["check", "slice", "found", "allowed", "requests", "says"],
            .. checks.Take(MostChecks).Select(static c => (string[])[c.Name, c.Slice ?? "all", Figure(c.Found), Figure(c.Allowed), c.Count.ToString(CultureInfo.InvariantCulture), Name(c.Decision)]),
        ];
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(i => rows.Max(r => r[i].Length))];
        for (int i = 0; i < rows.Length; i++)
        {
            string reason = i == 0 ? "" : checks[i - 1].Reason;
            Write(output, $"  {string.Join("  ", rows[i].Select((cell, column) => cell.PadRight(widths[column])))}  {reason}");
            if (i > 0 && checks[i - 1].Examples.Count > 0)
            {
                Write(output, $"    examples: {string.Join(", ", checks[i - 1].Examples)}");
            }
        }
        if (checks.Count > MostChecks)
        {
            Write(output, $"  and {checks.Count - MostChecks} more checks (--json has them all)");
        }
    }

    /// <summary>What each finished step of a cycle left, a line each.</summary>
    public static IEnumerable<string> Steps(string detail)
    {
        using JsonDocument document = JsonDocument.Parse(detail);
        List<string> lines = [];
        foreach (JsonProperty step in document.RootElement.EnumerateObject())
        {
            if (step.Value.ValueKind == JsonValueKind.Object && Step(step.Name, step.Value) is { } line)
            {
                lines.Add(line);
            }
        }
        return lines;
    }

    // The verdict of 'evaluate' is among the evaluations.
    private static string? Step(string name, JsonElement step)
    {
        return name switch
        {
            "curate" => Text($"curated: {Of("fresh")} fresh examples, {Of("replay")} old ones{(Of("rehearsed") > 0 ? $" ({Of("rehearsed")} likely to be broken)" : "")}, {Of("pairs")} preference pairs"),
            "train" => Text($"trained: {Of("examples")} examples and {Of("pairs")} pairs in {Of("steps")} steps, loss {Of("loss_first"):0.000} to {Of("loss_last"):0.000}, {Of("seconds"):0} s at {Of("tokens_per_second"):0} tok/s; rank {Of("rank")}, learning rate {Of("learning_rate"):0.0e-0}{TriedOf(step)}, {Of("epochs")} epochs, anchor {Of("anchor"):0.###}, begun with {ParentOf(step)}"),
            "shadow" => Text($"shadow: {Of("compared")} live requests compared, {Of("agreed")} agree, {Of("invalid")} answers without a proper end; {Of("fresh")} fresh requests in evidence"),
            "canary" => Text($"canary: {Of("candidate_good")} of {Of("candidate")} answers of the candidate were good, and {Of("champion_good")} of {Of("champion")} of the champion beside it"),
            _ => null,
        };

        static string TriedOf(JsonElement step) => step.TryGetProperty("tried", out JsonElement tried) && tried.ValueKind == JsonValueKind.Array ? $" of {tried.GetArrayLength()} tried" : "";

        double Of(string field) => step.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : 0;
    }

    private static string ParentOf(JsonElement step) =>
        step.TryGetProperty("parent", out JsonElement parent) && parent.ValueKind == JsonValueKind.String ? $"'{parent.GetString()}'" : "the bare model";

    private static string Name(GateDecision decision) => CycleText.Name(decision);

    private static string Figure(double value) => value.ToString("0.####", CultureInfo.InvariantCulture);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    // Causes, slices and ids come from clients and people.
    private static string Clean(string text) => CommandRun.Printable(text.ReplaceLineEndings(" "));

    private static void Write(TextWriter output, FormattableString text) => output.WriteLine(Clean(Text(text)).TrimEnd());
}
