using System.Security.Cryptography;
using System.Text;
using ContinualNative.Core.Economics;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>The state behind the simulated frontier: which release is current, what fails, what was counted. Thread-safe.</summary>
internal sealed class SimulatedModel(SimulatedFrontierOptions options)
{
    // Beyond this many system prompts the oldest are no longer cached.
    private const int CachedSystems = 4096;

    private readonly Lock _gate = new();
    private readonly HashSet<string> _systems = new(StringComparer.Ordinal);
    private readonly Queue<string> _systemsByAge = new();
    private readonly SortedDictionary<string, long> _byRelease = new(StringComparer.Ordinal);
    private readonly long[] _fates = new long[Enum.GetValues<SimulatedFate>().Length];
    private SimulatedRelease? _chosen;
    private SimulatedFailures? _failures;
    private long _failuresLeft;
    private long _requests;
    private long _unknown;
    private long _promptTokens;
    private long _cachedTokens;
    private long _completionTokens;
    private Money _charged;

    public IReadOnlyList<SimulatedRelease> Releases => options.Releases;

    /// <summary>The release that answers now.</summary>
    public SimulatedRelease Current
    {
        get
        {
            lock (_gate)
            {
                return CurrentLocked();
            }
        }
    }

    /// <summary>Makes a release current; null: the one that the schedule says. False when there is none of that name.</summary>
    public bool Choose(string? name)
    {
        SimulatedRelease? release = name is null ? null : options.Releases.FirstOrDefault(r => r.Name == name);
        if (name is not null && release is null)
        {
            return false;
        }
        lock (_gate)
        {
            _chosen = release;
        }
        return true;
    }

    /// <summary>Puts failures in place of the releases' own, for so many requests; null: the releases' own again.</summary>
    public void Fail(SimulatedFailures? failures, long requests = long.MaxValue)
    {
        lock (_gate)
        {
            _failures = failures;
            _failuresLeft = requests;
        }
    }

    /// <summary>Takes the next request: its number, the release that answers it, and what befalls it.</summary>
    public (long Number, SimulatedRelease Release, SimulatedFailures Failures, SimulatedFate Fate) Next()
    {
        lock (_gate)
        {
            SimulatedRelease release = CurrentLocked();
            long number = _requests++;
            SimulatedFailures failures = release.Failures;
            if (_failures is { } instead)
            {
                failures = instead;
                if (--_failuresLeft <= 0)
                {
                    _failures = null;
                }
            }
            SimulatedFate fate = failures.FateOf(SeededHash.Share(options.Seed, "fate", $"{number}"));
            _fates[(int)fate]++;
            _byRelease[release.Name] = _byRelease.GetValueOrDefault(release.Name) + 1;
            return (number, release, failures, fate);
        }
    }

    /// <summary>What the release answers, counted and charged.</summary>
    public SimulatedAnswer Answer(SimulatedChat chat, SimulatedRelease release, long number, bool empty)
    {
        string plain = SimulatedKnowledge.Normalize(chat.Prompt);
        string? right = options.Knowledge.RightAnswer(chat.Prompt);
        // The draw is the prompt's alone, so that of two releases the better one knows all that the other knows.
        bool sure = right is not null && SeededHash.Share(options.Seed, "knows", plain) < release.Quality;
        ulong choice = SeededHash.Number(options.Seed, "wrong:" + release.Name, plain);
        string text = empty ? ""
            : sure ? right!
            : right is not null ? options.Knowledge.WrongAnswer(chat.Prompt, chat.Choices, choice)
            : chat.Choices.Count > 0 ? chat.Choices[(int)(choice % (ulong)chat.Choices.Count)]
            : options.UnknownAnswer;
        foreach (string stop in chat.Stop)
        {
            int at = stop.Length == 0 ? -1 : text.IndexOf(stop, StringComparison.Ordinal);
            text = at < 0 ? text : text[..at];
        }
        List<string> pieces = SimulatedAnswer.Split(text);
        string finish = "stop";
        while (pieces.Count > 0 && SimulatedChat.Tokens(string.Concat(pieces)) > chat.MaxTokens)
        {
            pieces.RemoveAt(pieces.Count - 1);
            finish = "length";
        }
        int completion = SimulatedChat.Tokens(string.Concat(pieces));
        lock (_gate)
        {
            int cached = Cached(chat.System);
            _unknown += right is null ? 1 : 0;
            _promptTokens += chat.PromptTokens;
            _cachedTokens += cached;
            _completionTokens += completion;
            _charged += release.Prices.Of(chat.PromptTokens, cached, completion);
            return new SimulatedAnswer
            {
                Id = $"chatcmpl-sim-{number}",
                At = options.Time.GetUtcNow(),
                Model = release.Name,
                Pieces = pieces,
                FinishReason = finish,
                PromptTokens = chat.PromptTokens,
                CachedTokens = cached,
                CompletionTokens = completion,
                TopLogProbs = chat.TopLogProbs,
                Sure = sure,
                Seed = options.Seed,
            };
        }
    }

    /// <summary>A request's time to the answer's beginning: log-normal about the release's median.</summary>
    public TimeSpan Latency(SimulatedRelease release, long number)
    {
        if (release.LatencySpread == 0)
        {
            return release.Latency;
        }
        // Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958), eq. 1.
        double radius = Math.Sqrt(-2 * Math.Log(1 - SeededHash.Share(options.Seed, "latency-radius", $"{number}")));
        double normal = radius * Math.Cos(2 * Math.PI * SeededHash.Share(options.Seed, "latency-angle", $"{number}"));
        return release.Latency * Math.Min(Math.Exp(release.LatencySpread * normal), 100);
    }

    public SimulatedState State()
    {
        lock (_gate)
        {
            return new SimulatedState(
                CurrentLocked().Name, _failures is not null, _requests, (long[])_fates.Clone(), _unknown, _promptTokens, _cachedTokens, _completionTokens, _charged, new Dictionary<string, long>(_byRelease));
        }
    }

    private SimulatedRelease CurrentLocked() =>
        _chosen ?? options.Releases.LastOrDefault(r => r.After <= _requests) ?? options.Releases[0];

    private int Cached(string system)
    {
        if (system.Length == 0)
        {
            return 0;
        }
        string key = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(system)));
        if (!_systems.Add(key))
        {
            return SimulatedChat.Tokens(system);
        }
        _systemsByAge.Enqueue(key);
        if (_systemsByAge.Count > CachedSystems)
        {
            _systems.Remove(_systemsByAge.Dequeue());
        }
        return 0;
    }
}

/// <summary>Counts of the simulated frontier; <paramref name="Fates"/> by <see cref="SimulatedFate"/>.</summary>
internal sealed record SimulatedState(
    string Release,
    bool FailuresOverridden,
    long Requests,
    long[] Fates,
    long UnknownPrompts,
    long PromptTokens,
    long CachedTokens,
    long CompletionTokens,
    Money Charged,
    IReadOnlyDictionary<string, long> ByRelease)
{
    public long Count(SimulatedFate fate) => Fates[(int)fate];
}
