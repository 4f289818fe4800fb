using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Serving;
using Prometheus;

namespace ContinualNative.Host.Admin;

/// <summary>Figures for Prometheus. Each server has a registry of its own. Thread-safe.</summary>
internal sealed class ServerMetrics
{
    private readonly CollectorRegistry _registry = Metrics.NewCustomRegistry();
    private readonly Counter _requests;
    private readonly Histogram _duration;
    private readonly Histogram _firstToken;
    private readonly Histogram _interToken;
    private readonly Histogram _queueTime;
    private readonly Counter _promptTokens;
    private readonly Counter _completionTokens;
    private readonly Counter _answers;

    public ServerMetrics(ServerState state)
    {
        MetricFactory metrics = Metrics.WithCustomRegistry(_registry);
        _requests = metrics.CreateCounter("continual_requests_total", "HTTP requests answered.", "route", "status");
        _duration = metrics.CreateHistogram("continual_request_duration_seconds", "From a request's arrival to the end of its answer.", ["route"], new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.005, 2, 15) });
        _firstToken = metrics.CreateHistogram("continual_time_to_first_token_seconds", "From an answer's submission to its first token.", new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.005, 2, 14) });
        _interToken = metrics.CreateHistogram("continual_inter_token_seconds", "Between tokens of streamed answers.", new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 13) });
        _queueTime = metrics.CreateHistogram("continual_queue_seconds", "From an answer's submission to the start of its computation.", new HistogramConfiguration { Buckets = Histogram.ExponentialBuckets(0.001, 2, 15) });
        _promptTokens = metrics.CreateCounter("continual_answer_prompt_tokens_total", "Prompt tokens of answers that ended.");
        _completionTokens = metrics.CreateCounter("continual_answer_completion_tokens_total", "Tokens of answers that ended.");
        _answers = metrics.CreateCounter("continual_answers_total", "Answers that ended.", "adapter", "finish_reason");

        Gauge ready = metrics.CreateGauge("continual_ready", "1 when the model is loaded and requests are accepted.");
        Gauge inFlight = metrics.CreateGauge("continual_http_in_flight", "API requests being answered.");
        Gauge queued = metrics.CreateGauge("continual_queue_depth", "Answers waiting for a sequence.");
        Gauge running = metrics.CreateGauge("continual_running", "Sequences that run.");
        Gauge kvUsed = metrics.CreateGauge("continual_kv_tokens_used", "Cells of the KV cache that hold something.");
        Gauge kvTotal = metrics.CreateGauge("continual_kv_tokens", "Cells of the KV cache.");
        Gauge prefixes = metrics.CreateGauge("continual_cached_prefixes", "Prefixes kept by the prefix cache.");
        Gauge prefixBytes = metrics.CreateGauge("continual_prefix_cache_bytes", "Bytes of host memory that hold cached prefixes.");
        Gauge adapters = metrics.CreateGauge("continual_adapters", "Adapters loaded.");
        Counter computed = metrics.CreateCounter("continual_prompt_tokens_total", "Prompt tokens computed.");
        Counter cached = metrics.CreateCounter("continual_prefix_cache_hit_tokens_total", "Prompt tokens taken from the prefix cache.");
        Counter restored = metrics.CreateCounter("continual_prefixes_restored_total", "Cached prefixes that came back from host memory to the KV cells.");
        Counter generated = metrics.CreateCounter("continual_generated_tokens_total", "Tokens generated.");
        Counter steps = metrics.CreateCounter("continual_steps_total", "Steps of the engine.");
        Counter switches = metrics.CreateCounter("continual_adapter_switches_total", "Changes of the adapter between steps.");
        Counter refused = metrics.CreateCounter("continual_refused_total", "Answers refused because the queue was full.");
        Counter admitted = metrics.CreateCounter("continual_admitted_total", "Answers taken into the queue: finished, cancelled, waiting and running together.");
        Counter finished = metrics.CreateCounter("continual_finished_total", "Answers that ended by themselves, by time or by an error.");
        Counter cancelled = metrics.CreateCounter("continual_cancelled_total", "Answers cancelled by their client.");
        _registry.AddBeforeCollectCallback(() =>
        {
            ready.Set(state.IsReady ? 1 : 0);
            inFlight.Set(state.InFlight);
            if (!state.TryGetModel(out ServedModel? model))
            {
                return;
            }
            EngineStatistics s = model.Engine.Statistics;
            queued.Set(s.Queued);
            running.Set(s.Running);
            kvUsed.Set(s.KvTokensUsed);
            kvTotal.Set(s.KvTokens);
            prefixes.Set(s.CachedPrefixes);
            prefixBytes.Set(s.PrefixCacheBytes);
            adapters.Set(model.Engine.Adapters.List().Count);
            computed.IncTo(s.PromptTokens);
            cached.IncTo(s.CachedPromptTokens);
            restored.IncTo(s.PrefixesRestored);
            generated.IncTo(s.GeneratedTokens);
            steps.IncTo(s.Steps);
            switches.IncTo(s.AdapterSwitches);
            refused.IncTo(s.Refused);
            admitted.IncTo(s.Admitted);
            finished.IncTo(s.Finished);
            cancelled.IncTo(s.Cancelled);
        });
    }

    /// <summary>Where further figures of the same server are registered.</summary>
    public CollectorRegistry Registry => _registry;

    public void Request(string route, int status, TimeSpan duration)
    {
        _requests.WithLabels(route, status.ToString()).Inc();
        _duration.WithLabels(route).Observe(duration.TotalSeconds);
    }

    public void Answered(GenerationResult result)
    {
        _answers.WithLabels(result.Adapter, result.FinishReason.ToString().ToLowerInvariant()).Inc();
        _promptTokens.Inc(result.PromptTokens);
        _completionTokens.Inc(result.CompletionTokens);
        _queueTime.Observe(result.QueueTime.TotalSeconds);
        if (result.CompletionTokens > 0)
        {
            _firstToken.Observe(result.TimeToFirstToken.TotalSeconds);
        }
    }

    /// <summary>A chunk of a stream came <paramref name="gap"/> after the one before it.</summary>
    public void InterToken(TimeSpan gap, int tokens)
    {
        if (tokens > 0)
        {
            _interToken.Observe(gap.TotalSeconds / tokens, tokens);
        }
    }

    /// <summary>Everything, in Prometheus' text format.</summary>
    public Task WriteAsync(Stream stream, CancellationToken cancellationToken) => _registry.CollectAndExportAsTextAsync(stream, cancellationToken);
}
