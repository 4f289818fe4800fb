using System.Collections.Concurrent;

namespace ContinualNative.Core.Evaluation;

/// <summary>
/// Watches a new champion and alarms when it is worse than the one before. Two tests share the probability of a false alarm: one on requests that the old champion answered too, one on the rate
/// of good outcomes against the old champion's record. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// Pairs: the wealth of a gambler who bets that losses are more frequent than wins, averaged over λ from 0.4 to 0.9, as in <see cref="PairedTest"/>: what is to be found are drops of several points,
/// where most flips are losses. The watch ends after <see cref="RollbackState.Window"/> pairs, so the threshold need not be Ville's 1/α, which holds for ever: it is the least for which the
/// walk of wins and losses of a fair coin crosses it within the window with probability α at most, computed exactly. Whatever makes requests harder for both models makes no flips, and no alarm.
/// Decision: a mixture, though λ = 0.7 alone finds 6 % losses against 1 % wins within 200 requests in 78 watches of 100 instead of 75: where models flip more, 9 % against 4 %, it finds 64 within
/// 500 and the mixture 76.
/// </para>
/// <para>
/// Rates: <see cref="RateComparison"/> with the threshold 1/α. They need several times as many requests, and a record from easier traffic makes them alarm: the two rates are compared as if the
/// traffic were the same. They are for where nothing is replayed.
/// </para>
/// </remarks>
public sealed class RollbackTest
{
    // Beyond this the exact threshold costs seconds; Ville's holds anyway.
    private const int MostExact = 2000;

    private static readonly double[] Bets = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
    private static readonly ConcurrentDictionary<(int Window, double Alpha), double> Thresholds = new();

    private readonly double _rateThreshold;

    /// <summary>Starts, or goes on where a stored state ended. Throws <see cref="ArgumentException"/> for a state that cannot be.</summary>
    public RollbackTest(RollbackState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.ReferenceGood < 0 || state.ReferenceCount < state.ReferenceGood || state.Window < 1 || !(state.Alpha is > 0 and < 1) || !(state.PairedShare is >= 0 and <= 1)
            || Math.Min(Math.Min(state.Wins, state.Losses), Math.Min(state.Ties, Math.Min(state.Good, state.Bad))) < 0)
        {
            throw new ArgumentException($"There is no such watch: {state}.", nameof(state));
        }
        State = state;
        PairedThreshold = state.PairedShare > 0 ? ThresholdFor(state.Window, state.Alpha * state.PairedShare) : double.PositiveInfinity;
        _rateThreshold = state.PairedShare < 1 ? 1 / (state.Alpha * (1 - state.PairedShare)) : double.PositiveInfinity;
    }

    /// <summary>Everything there is to know of it.</summary>
    public RollbackState State { get; private set; }

    /// <summary>The wealth of the pairs from which on it alarms; infinite when pairs don't count.</summary>
    public double PairedThreshold { get; }

    /// <summary>Whether the new champion is to be taken back.</summary>
    public bool Alarm => State.Alarm;

    /// <summary>Why, for people; empty without an alarm.</summary>
    public string Reason => State.Reason;

    /// <summary>Pairs added.</summary>
    public int Pairs => State.Wins + State.Losses + State.Ties;

    /// <summary>Outcomes added.</summary>
    public int Outcomes => State.Good + State.Bad;

    /// <summary>Whether either count has reached the window: the new champion stays, and no test is done any more.</summary>
    public bool IsOver => Alarm || Pairs >= State.Window || Outcomes >= State.Window;

    /// <summary>The evidence of the pairs, as a share of what an alarm needs; 0 when pairs don't count.</summary>
    public double PairedProgress => Wealth(State.Wins, State.Losses) / PairedThreshold;

    /// <summary>The same of the rates.</summary>
    public double RateProgress => RateComparison.Evidence(State.ReferenceCount - State.ReferenceGood, State.ReferenceGood, State.Bad, State.Good) / _rateThreshold;

    /// <summary>Adds a request that the old champion answered too. Ignored once the watch is over. Returns <see cref="Alarm"/>.</summary>
    public bool AddPair(bool oldRight, bool newRight)
    {
        if (IsOver)
        {
            return Alarm;
        }
        State = (oldRight, newRight) switch
        {
            (false, true) => State with { Wins = State.Wins + 1 },
            (true, false) => State with { Losses = State.Losses + 1 },
            _ => State with { Ties = State.Ties + 1 },
        };
        if (PairedProgress >= 1)
        {
            State = State with
            {
                Alarm = true,
                Reason = $"Of {Pairs} requests that both answered, the new champion got {State.Losses} wrong that the old one had right, and {State.Wins} the other way round: "
                    + $"by chance so within {State.Window} requests in at most {State.Alpha * State.PairedShare:P1} of all watches.",
            };
        }
        return Alarm;
    }

    /// <summary>Adds an outcome of the new champion's. Ignored once the watch is over. Returns <see cref="Alarm"/>.</summary>
    public bool AddOutcome(bool good)
    {
        if (IsOver)
        {
            return Alarm;
        }
        State = good ? State with { Good = State.Good + 1 } : State with { Bad = State.Bad + 1 };
        // Good news never crosses a threshold that was not crossed before.
        if (!good && State.PairedShare < 1 && RateProgress >= 1)
        {
            State = State with
            {
                Alarm = true,
                Reason = $"{(double)State.Good / Outcomes:P1} of {Outcomes} outcomes were good since the change, and {(double)State.ReferenceGood / Math.Max(State.ReferenceCount, 1):P1} of {State.ReferenceCount} "
                    + $"before it: the e-value {RateProgress * _rateThreshold:0.0} is above {_rateThreshold:0.0}.",
            };
        }
        return Alarm;
    }

    // The least threshold that the wealth of a bet on a fair coin reaches within so many flips with probability alpha at most.
    private static double ThresholdFor(int window, double alpha) => window > MostExact ? 1 / alpha : Thresholds.GetOrAdd((window, alpha), static key =>
    {
        double low = 1, high = 1 / key.Alpha;
        while (high / low > 1.0001)
        {
            double middle = Math.Sqrt(low * high);
            (low, high) = Crossing(key.Window, middle) <= key.Alpha ? (low, middle) : (middle, high);
        }
        return high;
    });

    // The probability that a fair coin's wealth reaches the threshold within so many flips: the walk's distribution over wins, flip by flip, without what has crossed.
    private static double Crossing(int flips, double threshold)
    {
        double[] now = new double[flips + 2], next = new double[flips + 2];
        int[] most = MostWins(flips, threshold);
        now[0] = 1;
        double crossed = 0;
        for (int n = 1; n <= flips; n++)
        {
            Array.Clear(next, 0, n + 1);
            for (int wins = 0; wins < n; wins++)
            {
                next[wins] += now[wins] / 2;
                next[wins + 1] += now[wins] / 2;
            }
            for (int wins = 0; wins <= n && wins <= most[n - wins]; wins++)
            {
                crossed += next[wins];
                next[wins] = 0;
            }
            (now, next) = (next, now);
        }
        return crossed;
    }

    // By the number of losses, the most wins with which the wealth still reaches the threshold; −1: none. It grows with the losses.
    private static int[] MostWins(int flips, double threshold)
    {
        int[] most = new int[flips + 1];
        int wins = -1;
        for (int losses = 0; losses <= flips; losses++)
        {
            while (wins < flips && Wealth(wins + 1, losses) >= threshold)
            {
                wins++;
            }
            most[losses] = wins;
        }
        return most;
    }

    private static double Wealth(int wins, int losses)
    {
        double sum = 0;
        foreach (double bet in Bets)
        {
            sum += Math.Exp(losses * Math.Log(1 + bet) + wins * Math.Log(1 - bet)) / Bets.Length;
        }
        return sum;
    }
}
