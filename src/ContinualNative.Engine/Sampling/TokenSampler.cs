using ContinualNative.Engine.Generation;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Sampling;

/// <summary>
/// Draws the next token of one answer. Order: logit bias, penalties, grammar, temperature, top-k, min-p, top-p. Owned by the
/// engine thread; nothing is allocated per token once <see cref="SamplerScratch"/> has grown.
/// </summary>
internal sealed class TokenSampler : IDisposable
{
    // Decision: candidates are gathered above a threshold that falls until they hold enough of the mass, instead of sorting the
    // whole vocabulary: with 150,000 tokens the sort would cost more than the model's own output layer.
    private const float FirstThreshold = 8f;

    // Descending by weight, then ascending by token, so that equal weights have one order everywhere. One delegate: a comparer would be boxed per sort.
    private static readonly Comparison<Candidate> HeaviestFirst = static (x, y) =>
    {
        int byWeight = y.Weight.CompareTo(x.Weight);
        return byWeight != 0 ? byWeight : x.Token.CompareTo(y.Token);
    };

    private readonly SamplingOptions _options;
    private readonly KeyValuePair<int, float>[] _bias;
    private readonly LlamaGrammar? _grammar;
    private readonly bool _penalize;

    // Occurrences of tokens in the answer, as two parallel arrays: answers hold few different tokens.
    private readonly int[] _seen = [];
    private readonly int[] _counts = [];
    private int _distinct;
    private Xoshiro256 _random;

    public TokenSampler(SamplingOptions options, LlamaGrammar? grammar, int maxTokens)
    {
        _options = options;
        _grammar = grammar;
        _bias = [.. options.LogitBias];
        _random = new Xoshiro256(options.Seed ?? (ulong)Random.Shared.NextInt64());
        _penalize = options.PresencePenalty != 0 || options.FrequencyPenalty != 0 || options.RepeatPenalty != 1;
        if (_penalize)
        {
            _seen = new int[maxTokens];
            _counts = new int[maxTokens];
        }
    }

    /// <summary>
    /// The next token, or −1 when nothing is allowed. Writes into <paramref name="row"/>. <paramref name="statistics"/> are those of the untouched
    /// row; <paramref name="logProb"/> is the token's log-probability under them.
    /// </summary>
    public int Next(Span<float> row, in LogitStatistics statistics, SamplerScratch scratch, out float logProb)
    {
        bool touched = Adjust(row, scratch);
        int token = Draw(row, touched ? null : statistics, scratch);
        if (_grammar is not null && (token < 0 || !_grammar.Allows(token)))
        {
            // Decision: the grammar looks at one token first. Most are allowed, and asking about the whole vocabulary is
            // hundreds of times slower. Drawing again from the allowed ones gives the same distribution as masking at once.
            _grammar.Mask(row);
            token = Draw(row, null, scratch);
        }
        if (token < 0)
        {
            logProb = float.NegativeInfinity;
            return -1;
        }
        logProb = scratch.Original(token, row[token]) - statistics.LogSumExp;
        return token;
    }

    /// <summary>Takes note of a token that joined the answer.</summary>
    public void Accept(int token)
    {
        _grammar?.Accept(token);
        if (!_penalize)
        {
            return;
        }
        int at = _seen.AsSpan(0, _distinct).IndexOf(token);
        if (at >= 0)
        {
            _counts[at]++;
        }
        else if (_distinct < _seen.Length)
        {
            _seen[_distinct] = token;
            _counts[_distinct++] = 1;
        }
    }

    public void Dispose() => _grammar?.Dispose();

    private bool Adjust(Span<float> row, SamplerScratch scratch)
    {
        scratch.Forget();
        foreach ((int token, float bias) in _bias)
        {
            scratch.Keep(token, row[token]);
            row[token] = bias <= -100f ? float.NegativeInfinity : row[token] + bias;
        }
        for (int i = 0; i < _distinct; i++)
        {
            int token = _seen[i];
            float logit = row[token];
            scratch.Keep(token, logit);
            logit = logit > 0 ? logit / _options.RepeatPenalty : logit * _options.RepeatPenalty;
            row[token] = logit - _options.PresencePenalty - (_counts[i] * _options.FrequencyPenalty);
        }
        return _bias.Length + _distinct > 0;
    }

    private int Draw(Span<float> row, LogitStatistics? untouched, SamplerScratch scratch)
    {
        int argmax;
        float max;
        if (untouched is { } known)
        {
            (argmax, max) = (known.Argmax, known.Max);
        }
        else
        {
            argmax = LogitStatistics.Best(row, out max);
        }
        if (float.IsNegativeInfinity(max) || float.IsNaN(max))
        {
            return -1;
        }
        if (_options.Temperature <= 0 || _options.TopK == 1)
        {
            return argmax;
        }
        float inverse = 1f / _options.Temperature;
        // exp((x − max)/T) ≥ min-p  ⇔  x ≥ max + T·ln(min-p)
        float floor = _options.MinP > 0 ? max + (_options.Temperature * MathF.Log(_options.MinP)) : float.NegativeInfinity;
        bool needsMass = _options.TopP < 1;
        double mass = _options.TopK == 0 && _options.MinP <= 0 ? scratch.Mass(row, max, inverse) : 0;
        double wanted = _options.TopP * mass;

        for (float threshold = FirstThreshold; ; threshold *= 2)
        {
            // Past 100 nats nothing representable is left.
            bool last = threshold > 100f;
            float lowest = last ? floor : MathF.Max(floor, max - (threshold * _options.Temperature));
            bool complete = last || lowest <= floor;
            int count = scratch.Gather(row, lowest, max, inverse);
            Span<Candidate> candidates = scratch.Candidates(count);
            double held = 0;
            foreach (ref readonly Candidate candidate in candidates)
            {
                held += candidate.Weight;
            }
            if (!complete)
            {
                // Enough when the set certainly holds the nucleus, the k best, or all but a part in 10⁷ of the mass.
                bool enough = _options.TopK > 0 ? count >= _options.TopK
                    : _options.MinP <= 0 && held >= (needsMass ? wanted : mass * (1 - 1e-7));
                if (!enough)
                {
                    continue;
                }
            }
            if (_options.TopK > 0 || needsMass)
            {
                candidates.Sort(HeaviestFirst);
                if (_options.TopK > 0 && candidates.Length > _options.TopK)
                {
                    candidates = candidates[.._options.TopK];
                    held = 0;
                    foreach (ref readonly Candidate candidate in candidates)
                    {
                        held += candidate.Weight;
                    }
                }
                if (needsMass)
                {
                    // The nucleus is taken of what top-k and min-p left, as llama.cpp and the original do.
                    double target = _options.TopP * (_options.TopK > 0 || _options.MinP > 0 ? held : mass);
                    double running = 0;
                    for (int i = 0; i < candidates.Length; i++)
                    {
                        running += candidates[i].Weight;
                        if (running >= target)
                        {
                            candidates = candidates[..(i + 1)];
                            break;
                        }
                    }
                    held = running;
                }
            }
            double point = _random.NextDouble() * held;
            foreach (ref readonly Candidate candidate in candidates)
            {
                point -= candidate.Weight;
                if (point < 0)
                {
                    return candidate.Token;
                }
            }
            return candidates[^1].Token;
        }
    }
}

/// <summary>A token that may be drawn, with its weight exp((logit − max) ÷ temperature).</summary>
internal readonly record struct Candidate(int Token, float Weight);
