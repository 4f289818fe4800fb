using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Storage;
using Prometheus;

namespace ContinualNative.Host.Signal;

/// <summary>Figures of routing, teaching, outcomes, money and the store for <c>/metrics</c>. Thread-safe.</summary>
internal sealed class SignalMetrics
{
    private readonly Counter _routed;
    private readonly Counter _audited;
    private readonly Histogram _probability;
    private readonly Counter _feedback;
    private readonly Counter _labels;
    private readonly Counter _judged;
    private readonly Counter _frontierFailures;
    private readonly Counter _redactionFailures;
    private readonly Counter _calibrations;

    public SignalMetrics(CollectorRegistry registry, SignalHub hub)
    {
        MetricFactory metrics = Metrics.WithCustomRegistry(registry);
        _routed = metrics.CreateCounter("continual_routed_total", "Answered requests by route and reason.", "task", "route", "reason");
        _audited = metrics.CreateCounter("continual_audited_total", "Requests drawn into the audit sample.", "task");
        _probability = metrics.CreateHistogram("continual_p_correct", "Estimated probability that the local answer is right.", new HistogramConfiguration { Buckets = Histogram.LinearBuckets(0.05, 0.05, 20) });
        _feedback = metrics.CreateCounter("continual_feedback_total", "Reports of outcomes, by what became of them.", "status");
        _labels = metrics.CreateCounter("continual_labels_total", "Teacher's answers stored, by why they were asked and whether the local answer agreed.", "task", "reason", "agreed");
        _judged = metrics.CreateCounter("continual_judgements_total", "Answers judged by a prompt; no verdict: the judge said nothing usable.", "verdict");
        _frontierFailures = metrics.CreateCounter("continual_frontier_failures_total", "Calls of frontier endpoints that gave no answer.", "kind");
        _redactionFailures = metrics.CreateCounter("continual_redaction_failures_total", "Texts that were neither stored nor sent because a rule broke.", "rule");
        _calibrations = metrics.CreateCounter("continual_calibrations_total", "Calibrations put in force.", "task");

        Gauge rows = metrics.CreateGauge("continual_store_rows", "Rows of the store.", "table");
        Gauge bytes = metrics.CreateGauge("continual_store_bytes", "Bytes of the store and its log.");
        Gauge queued = metrics.CreateGauge("continual_store_queue", "Writes that wait.");
        Gauge failing = metrics.CreateGauge("continual_store_failing", "1 while writing fails.");
        Counter dropped = metrics.CreateCounter("continual_store_dropped_total", "Records given up because the store could not be written.");
        Counter commits = metrics.CreateCounter("continual_store_commits_total", "Transactions committed.");
        Gauge pending = metrics.CreateGauge("continual_unrecorded_requests", "Requests answered or being answered that are not in the store's queue yet.");
        Gauge circuit = metrics.CreateGauge("continual_frontier_circuit_open", "1 while an endpoint is left alone.", "endpoint");
        Gauge latency = metrics.CreateGauge("continual_frontier_latency_seconds", "Median time of an endpoint's last answers.", "endpoint");
        Gauge running = metrics.CreateGauge("continual_frontier_running", "Calls of an endpoint that run.", "endpoint");
        Counter calls = metrics.CreateCounter("continual_frontier_calls_total", "Calls of an endpoint.", "endpoint");
        Gauge spent = metrics.CreateGauge("continual_spent_dollars_today", "US dollars spent since midnight UTC.", "purpose");
        Gauge busy = metrics.CreateGauge("continual_busy_seconds_total", "Seconds in which the local model generated.");
        registry.AddBeforeCollectCallback(() =>
        {
            pending.Set(hub.Pending.Count);
            busy.Set(hub.Clock.BusySeconds);
            if (hub.Store is { } store)
            {
                StoreStatistics s = store.Statistics;
                rows.WithLabels("requests").Set(s.Requests);
                rows.WithLabels("outcomes").Set(s.Outcomes);
                rows.WithLabels("labels").Set(s.Labels);
                bytes.Set(s.Bytes);
                queued.Set(s.Queued);
                failing.Set(s.Failing is null ? 0 : 1);
                dropped.IncTo(s.Dropped);
                commits.IncTo(s.Commits);
            }
            foreach (FrontierHealth endpoint in hub.Frontier.Health())
            {
                circuit.WithLabels(endpoint.Name).Set(endpoint.Circuit == "closed" ? 0 : 1);
                latency.WithLabels(endpoint.Name).Set(endpoint.MedianLatency?.TotalSeconds ?? 0);
                running.WithLabels(endpoint.Name).Set(endpoint.Running);
                calls.WithLabels(endpoint.Name).IncTo(endpoint.Calls);
            }
            foreach (FrontierPurpose purpose in Enum.GetValues<FrontierPurpose>())
            {
                spent.WithLabels(purpose.ToString().ToLowerInvariant()).Set((double)hub.Frontier.Spend.Status(purpose.Kind()).Spent.Dollars);
            }
        });
    }

    public void Routed(string task, RouteDecision decision)
    {
        _routed.WithLabels(task, RouteNote.NameOf(decision.Route), RouteNote.NameOf(decision.Reason)).Inc();
        if (decision.Audited)
        {
            _audited.WithLabels(task).Inc();
        }
        if (decision.PCorrect is { } p)
        {
            _probability.Observe(p);
        }
    }

    public void Feedback(string status) => _feedback.WithLabels(status).Inc();

    public void Labelled(string task, LabelReason reason, bool? agreed) =>
        _labels.WithLabels(task, reason.ToString().ToLowerInvariant(), agreed switch { true => "yes", false => "no", null => "unknown" }).Inc();

    public void Judged(bool verdict) => _judged.WithLabels(verdict ? "given" : "none").Inc();

    public void FrontierFailed(FrontierErrorKind kind) => _frontierFailures.WithLabels(kind.ToString().ToLowerInvariant()).Inc();

    public void RedactionFailed(string rule) => _redactionFailures.WithLabels(rule).Inc();

    public void Calibrated(string task) => _calibrations.WithLabels(task).Inc();
}
