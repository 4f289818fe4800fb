using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Reporting;

/// <summary>
/// Why a request took its route and what became of it, in sentences and as JSON: the same for <c>continual explain</c> and <c>GET /admin/requests/{id}</c>.
/// Texts are told only to those who ask for them.
/// </summary>
internal sealed class RequestExplanation
{
    private readonly StoredRequest _stored;
    private readonly Calibration? _calibration;
    private readonly decimal _machinePrice;

    private RequestExplanation(StoredRequest stored, Calibration? calibration, decimal machinePrice)
    {
        _stored = stored;
        _calibration = calibration;
        _machinePrice = machinePrice;
    }

    private RequestRecord Request => _stored.Request;

    private RouteDecision Decision => Request.Decision;

    private CalibrationSide? Side => _calibration?.Side(Decision.Features?.Early ?? false);

    private Money Serving => Money.FromDollars((decimal)Request.LocalTime.TotalSeconds / 3600 * _machinePrice);

    /// <summary>The explanation of a stored request; null when there is no such request. Throws <see cref="StoreException"/>.</summary>
    public static RequestExplanation? Find(TrafficStore store, string id, decimal machinePrice)
    {
        if (store.Find(id) is not { } stored)
        {
            return null;
        }
        Calibration? calibration = null;
        if (stored.Request.Decision.Calibration is > 0 and var number && store.Calibration(number) is { } text)
        {
            try
            {
                calibration = Calibration.FromJson(text, number);
            }
            catch (FormatException)
            {
                // Of another version of the program: its figures can't be told, the rest can.
            }
        }
        return new RequestExplanation(stored, calibration, machinePrice);
    }

    /// <summary>What happened, in order.</summary>
    public IReadOnlyList<string> Sentences()
    {
        List<string> all = [Arrival(), Reason()];
        if (Decision.Features is { } features)
        {
            all.Add(Judged(features));
        }
        if (Side is { } side)
        {
            all.Add(Calibrated(side));
        }
        else if (Decision.Calibration > 0)
        {
            all.Add($"Calibration {Decision.Calibration} was in force; it is of another version of this program and can't be read.");
        }
        if (Decision.Audited)
        {
            bool labelled = _stored.Labels.Any(static l => l.Agreement is not null);
            all.Add(Text($"It is in the random audit sample, into which requests were drawn with probability {Decision.AuditProbability:0.####}{(labelled ? "" : "; no teacher has answered it yet")}."));
        }
        all.AddRange(_stored.Labels.Select(Labelled));
        all.AddRange(_stored.Outcomes.Select(Reported));
        if (_stored.Contradicted)
        {
            all.Add("These reports contradict each other.");
        }
        all.Add(Costs());
        if (_stored.SeenBy.Count > 0)
        {
            all.Add($"It was in the training data of {string.Join(", ", _stored.SeenBy)}.");
        }
        if (_stored.Golden)
        {
            all.Add("It is golden: it stays when others expire, and is asked again of every new teacher.");
        }
        if (_stored.Erased)
        {
            all.Add($"Its texts, its key and its user were erased.{(_stored.SeenBy.Count > 0 ? " The adapters that learned from it still carry what they learned." : "")}");
        }
        else if (_stored.Expired)
        {
            all.Add("Its texts were removed because of their age.");
        }
        else if (Request.Prompt is null)
        {
            all.Add("Its texts were not stored.");
        }
        return all;
    }

    /// <summary>Its texts with their names, those that there are.</summary>
    public IReadOnlyList<(string Name, string Text)> Texts()
    {
        List<(string, string?)> texts = [("request", Request.Prompt), ("local answer", Request.LocalAnswer)];
        texts.AddRange(_stored.Labels.Select(static l => ($"answer of {l.Teacher}", l.Answer)));
        texts.AddRange(_stored.Outcomes.Select(static o => ("correction", o.Correction)));
        return [.. texts.Where(static t => t.Item2 is not null).Select(static t => (t.Item1, t.Item2!))];
    }

    /// <summary>Writes the members of its object.</summary>
    public void Write(Utf8JsonWriter json, bool texts)
    {
        json.WriteString("object", "request");
        json.WriteString("id", Request.Id);
        json.WriteString("at", Request.At);
        json.WriteString("kind", Request.Kind == RequestKind.Chat ? "chat" : "completion");
        json.WriteBoolean("streamed", Request.Streamed);
        json.WriteString("task", Request.Task);
        json.WriteString("model", Request.Model);
        json.WriteString("adapter", Request.Adapter);
        json.WriteString("key", Request.KeyId);
        json.WriteString("finish_reason", Request.FinishReason);
        json.WriteStartArray("explanation");
        foreach (string sentence in Sentences())
        {
            json.WriteStringValue(sentence);
        }
        json.WriteEndArray();
        json.WriteString("route", RouteNote.NameOf(Decision.Route));
        json.WriteString("reason", RouteNote.NameOf(Decision.Reason));
        Number(json, "p_correct", Decision.PCorrect);
        Number(json, "threshold", Decision.Threshold);
        WriteFeatures(json);
        WriteCalibration(json);
        json.WriteBoolean("audited", Decision.Audited);
        json.WriteNumber("audit_probability", Decision.AuditProbability);
        json.WriteNumber("prompt_tokens", Request.PromptTokens);
        json.WriteNumber("cached_tokens", Request.CachedTokens);
        json.WriteNumber("completion_tokens", Request.CompletionTokens);
        json.WriteNumber("local_seconds", Request.LocalTime.TotalSeconds);
        json.WriteNumber("total_seconds", Request.TotalTime.TotalSeconds);
        WriteLabels(json, texts);
        WriteOutcomes(json, texts);
        json.WriteBoolean("contradicted", _stored.Contradicted);
        WriteCosts(json);
        json.WriteStartArray("seen_by");
        foreach (string adapter in _stored.SeenBy)
        {
            json.WriteStringValue(adapter);
        }
        json.WriteEndArray();
        json.WriteBoolean("golden", _stored.Golden);
        json.WriteBoolean("erased", _stored.Erased);
        json.WriteBoolean("expired", _stored.Expired);
        if (texts)
        {
            json.WriteString("prompt", Request.Prompt);
            json.WriteString("local_answer", Request.LocalAnswer);
        }
    }

    private string Arrival()
    {
        string kind = Request.Kind == RequestKind.Chat ? "chat" : "completion";
        string key = Request.KeyId is { } id ? $", with key {id}" : "";
        string sent = Decision.Route == Route.Frontier ? "A frontier model's answer was sent" : $"The local answer of {Request.Model}@{Request.Adapter} was sent";
        return Text($"A {kind} request of task {Request.Task} came at {Request.At:yyyy-MM-dd HH:mm:ss} UTC{key}. {sent} after {Request.TotalTime.TotalSeconds:0.000} s; it ended with {Request.FinishReason}.");
    }

    private string Reason()
    {
        string p = Decision.PCorrect is { } probability ? Text($"{probability:0.0000}") : "unknown";
        string threshold = Decision.Threshold is { } t ? Text($"{t:0.0000}") : "unknown";
        return (Decision.Route, Decision.Reason) switch
        {
            (Route.Local, RouteReason.Confident) => $"It stayed here because the local answer was likely enough to be right: probability {p}, at least the threshold of {threshold}.",
            (_, RouteReason.Confident) => $"It went up although the local answer was likely enough to be right: probability {p}, threshold {threshold}.",
            (Route.Frontier, RouteReason.Uncertain) => $"It went up because the local answer was not likely enough to be right: probability {p}, below the threshold of {threshold}.",
            (_, RouteReason.Uncertain) => $"It stayed here although the local answer was not likely enough to be right: probability {p}, threshold {threshold}.",
            (Route.Frontier, RouteReason.Requested) => "It went up because the request asked for the frontier.",
            (_, RouteReason.Requested) => "It stayed here because the request asked for the local model, or named an adapter.",
            (Route.Frontier, RouteReason.KeyPolicy) => "It went up because its key's requests do.",
            (_, RouteReason.KeyPolicy) => "It stayed here because its key's requests do.",
            (_, RouteReason.NoFrontier) => "It stayed here because no frontier model is configured.",
            (_, RouteReason.NotPortable) => "It stayed here because it asks for something that a frontier endpoint can't do (or a text of it could not be redacted).",
            (_, RouteReason.FrontierDown) => $"It should have gone up (probability {p}, threshold {threshold}), but no frontier endpoint answered: the local answer went out, marked.",
            (_, RouteReason.OverBudget) => $"It should have gone up (probability {p}, threshold {threshold}), but the budget was used up: the local answer went out, marked.",
            (Route.Frontier, RouteReason.Uncalibrated) => "It went up because there were too few labels to judge local answers by (--uncalibrated).",
            (_, RouteReason.Uncalibrated) => "It stayed here, without a judgement: there were too few labels to judge local answers by (--uncalibrated).",
            (Route.Frontier, RouteReason.LocalFailed) => "It went up because the local model gave no usable answer.",
            (_, RouteReason.LocalFailed) => "The local model gave no usable answer, and there was no other to send.",
            _ => $"Its route was {RouteNote.NameOf(Decision.Route)}.",
        };
    }

    private static string Judged(in RoutingFeatures f)
    {
        string what = f.Early ? $"the first {f.Tokens} tokens of its stream" : $"the whole local answer of {f.Tokens} tokens{(f.Truncated ? ", cut off at its limit" : "")}";
        return Text($"It was judged by {what}: mean log-probability {f.MeanLogProb:0.000}, lowest {f.MinLogProb:0.000}, margin of the first token {f.FirstTokenMargin:0.000}, mean entropy {f.MeanEntropy:0.000} nats; prompt of {f.PromptTokens} tokens, novelty {f.Novelty:0.000}{(float.IsNaN(f.WordRisk) ? "" : Text($", risk of its least proven word {f.WordRisk:0.000}"))}.");
    }

    private string Calibrated(CalibrationSide side)
    {
        string target = _calibration!.TargetRisk is { } risk ? Text($" for a target risk of {risk:0.####}") : "";
        string threshold = side.Threshold is null
            ? "it had too few audits to set a threshold"
            : Text($"its threshold of {side.Threshold:0.0000} was set on {side.ThresholdSamples} audits{ScopeText(side.Scope)}{target}");
        string quality = side.Quality is { } q ? Text($" On {q.Samples} audits that it had not seen, its Brier score was {q.Brier:0.0000} and its calibration error {q.ExpectedCalibrationError:0.0000}.") : "";
        return $"Calibration {Decision.Calibration} of task {_calibration.Task} and adapter {_calibration.Adapter} was in force, fitted to {side.FitSamples} labelled answers; {threshold}.{quality}";
    }

    private static string ScopeText(ThresholdScope scope) => scope switch
    {
        ThresholdScope.AllTasks => " of all tasks together",
        ThresholdScope.All => " of all tasks, streams and whole answers together",
        _ => " of the task",
    };

    private string Labelled(TeacherLabel label)
    {
        string why = label.Reason switch
        {
            LabelReason.Escalated => "answered it",
            LabelReason.Audit => "was asked for the audit",
            LabelReason.Failure => "was asked because the outcome was bad",
            LabelReason.Uncertain => "was asked because the local model was unsure",
            LabelReason.Novel => "was asked because its prompt was unlike others",
            LabelReason.Gate => "was drawn for the gate of an update cycle",
            LabelReason.Relabel => "was asked again, being a new version",
            _ => "was asked",
        };
        string agreement = label.Agreement is { } a
            ? Text($"the local answer agrees with it by {a:0.000} ({label.Measure}), which counts as {(label.Correct == true ? "right" : "wrong")}")
            : "whether the local answer agrees with it is not known";
        return Text($"{label.Teacher} ({label.Endpoint}) {why}, for {ReportScreen.Amount(label.Cost.Dollars)}; {agreement}. Its terms {(label.TrainingAllowed ? "allow" : "do not allow")} training on it.");
    }

    private static string Reported(Outcome outcome)
    {
        string who = outcome.Source.Length > 0 ? $" by {outcome.Source}" : outcome.KeyId is { } key ? $" by key {key}" : "";
        string score = outcome.Score is { } s ? Text($", score {s:0.###}") : "";
        return Text($"It was reported as {outcome.Kind.ToString().ToLowerInvariant()} on {outcome.At:yyyy-MM-dd HH:mm} UTC{who}{score}.");
    }

    private string Costs()
    {
        decimal paid = _stored.Costs.Where(static c => c.Kind is LedgerKind.Escalation or LedgerKind.Teaching).Sum(static c => c.Amount.Dollars);
        string serving = _machinePrice > 0
            ? Text($"{ReportScreen.Amount(Serving.Dollars)} for {Request.LocalTime.TotalSeconds:0.000} s of this machine")
            : Text($"{Request.LocalTime.TotalSeconds:0.000} s of this machine, which has no price (--machine-price)");
        return Text($"It cost {ReportScreen.Amount(paid)} at frontier endpoints, and {serving}.");
    }

    private void WriteFeatures(Utf8JsonWriter json)
    {
        if (Decision.Features is not { } f)
        {
            json.WriteNull("features");
            return;
        }
        json.WriteStartObject("features");
        json.WriteNumber("mean_log_prob", f.MeanLogProb);
        json.WriteNumber("min_log_prob", f.MinLogProb);
        json.WriteNumber("first_token_margin", f.FirstTokenMargin);
        json.WriteNumber("mean_entropy", f.MeanEntropy);
        json.WriteNumber("tokens", f.Tokens);
        json.WriteNumber("prompt_tokens", f.PromptTokens);
        json.WriteNumber("novelty", f.Novelty);
        if (!float.IsNaN(f.WordRisk))
        {
            json.WriteNumber("word_risk", f.WordRisk);
        }
        json.WriteBoolean("truncated", f.Truncated);
        json.WriteBoolean("early", f.Early);
        json.WriteEndObject();
    }

    private void WriteCalibration(Utf8JsonWriter json)
    {
        if (Decision.Calibration == 0)
        {
            json.WriteNull("calibration");
            return;
        }
        json.WriteStartObject("calibration");
        json.WriteNumber("id", Decision.Calibration);
        if (Side is { } side)
        {
            json.WriteString("task", _calibration!.Task);
            json.WriteString("adapter", _calibration.Adapter);
            Number(json, "target_risk", _calibration.TargetRisk);
            json.WriteNumber("fit_samples", side.FitSamples);
            Number(json, "threshold", side.Threshold);
            json.WriteNumber("threshold_samples", side.ThresholdSamples);
            json.WriteString("threshold_scope", side.Scope.ToString().ToLowerInvariant());
            Number(json, "escalation_share", side.EscalationShare);
            if (side.Quality is { } q)
            {
                json.WriteStartObject("quality");
                json.WriteNumber("samples", q.Samples);
                json.WriteNumber("accuracy", q.Accuracy);
                json.WriteNumber("brier", q.Brier);
                json.WriteNumber("log_loss", q.LogLoss);
                json.WriteNumber("calibration_error", q.ExpectedCalibrationError);
                Number(json, "auc", q.Auc);
                json.WriteEndObject();
            }
        }
        json.WriteEndObject();
    }

    private void WriteLabels(Utf8JsonWriter json, bool texts)
    {
        json.WriteStartArray("labels");
        foreach (TeacherLabel label in _stored.Labels)
        {
            json.WriteStartObject();
            json.WriteString("at", label.At);
            json.WriteString("endpoint", label.Endpoint);
            json.WriteString("teacher", label.Teacher);
            json.WriteString("reason", label.Reason.ToString().ToLowerInvariant());
            json.WriteString("measure", label.Measure);
            Number(json, "agreement", label.Agreement);
            if (label.Correct is { } correct)
            {
                json.WriteBoolean("correct", correct);
            }
            else
            {
                json.WriteNull("correct");
            }
            json.WriteNumber("cost", label.Cost.Dollars);
            json.WriteNumber("seconds", label.Latency.TotalSeconds);
            json.WriteBoolean("training_allowed", label.TrainingAllowed);
            if (texts)
            {
                json.WriteString("answer", label.Answer);
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private void WriteOutcomes(Utf8JsonWriter json, bool texts)
    {
        json.WriteStartArray("outcomes");
        foreach (Outcome outcome in _stored.Outcomes)
        {
            json.WriteStartObject();
            json.WriteString("at", outcome.At);
            json.WriteString("outcome", outcome.Kind.ToString().ToLowerInvariant());
            Number(json, "score", outcome.Score);
            json.WriteString("source", outcome.Source);
            json.WriteString("key", outcome.KeyId);
            if (texts)
            {
                json.WriteString("correction", outcome.Correction);
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private void WriteCosts(Utf8JsonWriter json)
    {
        json.WriteStartObject("costs");
        json.WriteNumber("serving", Serving.Dollars);
        foreach ((string name, LedgerKind kind) in (ReadOnlySpan<(string, LedgerKind)>)[("escalation", LedgerKind.Escalation), ("teaching", LedgerKind.Teaching)])
        {
            json.WriteNumber(name, _stored.Costs.Where(c => c.Kind == kind).Sum(static c => c.Amount.Dollars));
        }
        json.WriteEndObject();
    }

    private static void Number(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number && double.IsFinite(number))
        {
            json.WriteNumber(name, number);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static string Text(FormattableString text) => FormattableString.Invariant(text);
}
