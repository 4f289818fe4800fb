using System.Diagnostics;
using ContinualNative.Core.Routing;
using ContinualNative.Engine.Adapters;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Sampling;

namespace ContinualNative.Engine.Scheduling;

/// <summary>A request on its way through the scheduler. After submission, the engine thread owns everything but the answer.</summary>
internal sealed class Sequence
{
    /// <summary>Prompt, then the tokens drawn; as long as it can become.</summary>
    public required int[] Tokens { get; init; }

    public required int PromptLength { get; init; }

    /// <summary>Most tokens to draw.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>The adapter that was asked for; null: the champion at admission.</summary>
    public required string? AdapterName { get; init; }

    public required long ArrivedAt { get; init; }

    /// <summary>Timestamp after which it ends with a timeout; <see cref="long.MaxValue"/>: never.</summary>
    public required long Deadline { get; init; }

    /// <summary>For answers; null when scoring.</summary>
    public RunningAnswer? Answer { get; init; }

    public TokenSampler? Sampler { get; init; }

    public TextAssembler? Assembler { get; init; }

    public bool IgnoreEnd { get; init; }

    public bool ShowSpecial { get; init; }

    /// <summary>Nothing of its prompt is taken from the cache.</summary>
    public bool ComputesAll { get; init; }

    /// <summary>For scoring: where results go; null when answering.</summary>
    public ScoreTarget? Score { get; init; }

    // From admission on.

    /// <summary>Fixed at admission, or at submission for a named one.</summary>
    public AdapterVersion? Version { get; set; }

    public int SequenceId { get; set; } = -1;

    /// <summary>Valid entries of <see cref="Tokens"/>.</summary>
    public int Count { get; set; }

    /// <summary>Tokens whose KV is in the cache.</summary>
    public int Computed { get; set; }

    /// <summary>How many of those were found there.</summary>
    public int Cached { get; set; }

    /// <summary>Tokens of this sequence in the batch being computed.</summary>
    public int InBatch { get; set; }

    /// <summary>Index in the batch of the first of them.</summary>
    public int BatchStart { get; set; }

    /// <summary>A sequence that is computing a prefix of this one's prompt, which is worth waiting for.</summary>
    public Sequence? WaitFor { get; set; }

    public int WaitLength { get; set; }

    /// <summary>
    /// The prefix cache's note of what this sequence shares while it runs: the prefix that it took over or gave away, or its whole prompt. null only while it
    /// shares nothing.
    /// </summary>
    public PrefixCache.Entry? Entry { get; set; }

    public bool Ended { get; set; }

    public long AdmittedAt { get; set; }

    public long FirstTokenAt { get; set; }

    public int Drawn => Count - PromptLength;

    /// <summary>Where the prompt's computation ends: a scored sequence needs no logits after its last token.</summary>
    public int PrefillEnd => Score is null ? PromptLength : PromptLength - 1;

    /// <summary>Cells that this sequence holds besides those that the prefix cache knows of.</summary>
    public int PrivateCells => Computed - (Entry?.Length ?? 0);

    public ReadOnlySpan<int> Prompt => Tokens.AsSpan(0, PromptLength);

    public bool IsCancelled => Answer?.IsCancelled ?? Score!.IsCancelled;

    // Confidence.
    private double _logProbSum;
    private double _entropySum;
    private float _lowest;
    private float _margin;
    private int _scored;

    public void Note(float logProb, float entropy, float firstMargin)
    {
        if (_scored == 0)
        {
            _lowest = logProb;
            _margin = firstMargin;
        }
        _lowest = MathF.Min(_lowest, logProb);
        _logProbSum += logProb;
        _entropySum += entropy;
        _scored++;
    }

    public Confidence Confidence => _scored == 0
        ? default
        : new Confidence((float)(_logProbSum / _scored), _lowest, _margin, (float)(_entropySum / _scored), _scored);

    public GenerationResult Result(FinishReason reason, long now) => new()
    {
        FinishReason = reason,
        PromptTokens = PromptLength,
        CachedTokens = Cached,
        CompletionTokens = Drawn,
        Adapter = Version?.Id ?? AdapterName ?? "",
        Confidence = Confidence,
        StopText = Assembler?.Stopped,
        QueueTime = Stopwatch.GetElapsedTime(ArrivedAt, AdmittedAt == 0 ? now : AdmittedAt),
        TimeToFirstToken = FirstTokenAt == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(ArrivedAt, FirstTokenAt),
        Total = Stopwatch.GetElapsedTime(ArrivedAt, now),
    };
}

/// <summary>Where the log-probabilities of a scored sequence go.</summary>
internal sealed class ScoreTarget(int from, int count)
{
    private volatile bool _cancelled;

    /// <summary>Index of the first token that is scored.</summary>
    public int From { get; } = from;

    public float[] LogProbs { get; } = new float[count];

    /// <summary>How many are filled in.</summary>
    public int Done { get; set; }

    public TaskCompletionSource<float[]> Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool IsCancelled => _cancelled;

    public void Cancel() => _cancelled = true;
}
