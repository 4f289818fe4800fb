namespace ContinualNative.Core.Evaluation;

/// <summary>
/// Whether a candidate is better than the champion on the same requests, tested after every one of them. With d the candidate's score less the champion's, −1 to 1, the null
/// hypothesis is E[d | past] ≤ −<see cref="Margin"/>; while it holds, <see cref="Evidence"/> ever reaches 1/α with probability α at most (Ville 1939), so that one may look at
/// any time and stop at will. Not thread-safe.
/// </summary>
/// <remarks>
/// <para>
/// The e-value is the wealth of a gambler who bets shares λ of what he has on the candidate, Π (1 + λ xᵢ) with x = (d + margin) ÷ (1 − margin) ≥ −1, averaged over several λ (Robbins 1970,
/// "Statistical methods related to the law of the iterated logarithm"; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86(1);
/// Ramdas, Grünwald, Vovk, Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38(4)). For right and wrong and no margin, requests on which both
/// do the same multiply by 1, and it is the sequential sign test: only those matter where one of them is right.
/// </para>
/// <para>
/// Decision: λ from 0.2 to 0.8 with equal weights and 0.15 of the stake on λ = 1, which a single loss ruins. Six wins without a loss then give 21.9: enough at α = 0.05, where nothing can be
/// enough with less than five (2⁵ = 32). A uniform mixture gives 18.1, and none of those tried showed a gain of 5 % wins against 2 % losses notably sooner.
/// </para>
/// <para>The wealth does not depend on the order, so <see cref="Differences"/> is all there is to restore it by.</para>
/// </remarks>
public sealed class PairedTest
{
    private static readonly double[] Bets = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1];
    private static readonly double[] Weights = [.. Enumerable.Repeat(0.85 / 7, 7), 0.15];

    // Evidence has to fit into JSON, and this much is as good as certainty.
    private const double MostEvidence = 1e300;

    private readonly double[] _for = new double[Bets.Length];
    private readonly double[] _against = new double[Bets.Length];
    private readonly SortedDictionary<double, int> _differences = [];
    private double _sum;

    /// <summary>Starts without evidence.</summary>
    /// <param name="margin">How much worse the candidate may be and still be good enough, 0 to less than 1; 0: it must be better.</param>
    public PairedTest(double margin = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(margin);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(margin, 1);
        Margin = margin;
    }

    /// <summary>What is taken off the champion's score.</summary>
    public double Margin { get; }

    /// <summary>Pairs added.</summary>
    public int Count { get; private set; }

    /// <summary>Pairs in which the candidate scored more.</summary>
    public int Wins { get; private set; }

    /// <summary>Pairs in which it scored less.</summary>
    public int Losses { get; private set; }

    /// <summary>The mean difference; NaN for none.</summary>
    public double Gain => Count > 0 ? _sum / Count : double.NaN;

    /// <summary>The e-value for "the candidate's mean is above the champion's less the margin"; 1 at the start.</summary>
    public double Evidence => Wealth(_for);

    /// <summary>The e-value for the opposite: "the candidate's mean is below the champion's less the margin".</summary>
    public double EvidenceAgainst => Wealth(_against);

    /// <summary>How often each difference occurred: added again with <see cref="Add(double, int)"/>, they restore the test.</summary>
    public IReadOnlyDictionary<double, int> Differences => _differences;

    /// <summary>Adds a pair.</summary>
    /// <param name="pair">The pair.</param>
    /// <param name="graded">
    /// Whether the agreements are compared or only right and wrong. Decision: agreements, where there is no reason against it. For a measure that is 0 or 1 they are the same thing; for a graded
    /// one an answer that got better without crossing the pass mark is evidence too, and one just below the mark is not as bad as nonsense.
    /// </param>
    public void Add(PairedAnswer pair, bool graded = true)
    {
        ArgumentNullException.ThrowIfNull(pair);
        Add(DifferenceOf(pair, graded));
    }

    /// <summary>Adds a difference, −1 to 1, so many times.</summary>
    public void Add(double difference, int times = 1)
    {
        if (!(difference is >= -1 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(difference), difference, "A difference of two scores is from -1 to 1.");
        }
        ArgumentOutOfRangeException.ThrowIfLessThan(times, 1);
        // −0 and 0 are one difference.
        difference += 0.0;
        Count += times;
        Wins += difference > 0 ? times : 0;
        Losses += difference < 0 ? times : 0;
        _sum += difference * times;
        _differences[difference] = _differences.GetValueOrDefault(difference) + times;
        Bet(_for, (difference + Margin) / (1 - Margin), times);
        Bet(_against, -(difference + Margin) / (1 + Margin), times);
    }

    /// <summary>
    /// The mean difference with an interval that holds the true one at all times at once with probability 1 − α: all m for which neither "the mean is m or less" nor "m or more" is
    /// refuted by an e-value of 2/α (Waudby-Smith and Ramdas 2024, section 4).
    /// </summary>
    /// <param name="alpha">Between 0 and 1.</param>
    public Proportion Interval(double alpha)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(alpha, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(alpha, 1);
        return new Proportion(Gain, Bound(1, alpha), -Bound(-1, alpha));
    }

    /// <summary>The candidate's score less the champion's: by agreement, or by right and wrong.</summary>
    internal static double DifferenceOf(PairedAnswer pair, bool graded) =>
        graded ? pair.Candidate - pair.Champion : (pair.CandidateRight ? 1 : 0) - (pair.ChampionRight ? 1 : 0);

    // The least m, to 1e-6, for which "the mean of sign · d is m or less" is not refuted. Every factor 1 + λ (d − m) ÷ (1 + m) falls with m, so that bisection finds it.
    private double Bound(int sign, double alpha)
    {
        double low = -1, high = 1;
        double[] wealth = new double[Bets.Length];
        while (high - low > 1e-6)
        {
            double middle = (low + high) / 2;
            Array.Clear(wealth);
            foreach ((double difference, int times) in _differences)
            {
                Bet(wealth, (sign * difference - middle) / (1 + middle), times);
            }
            (low, high) = Wealth(wealth) >= 2 / alpha ? (middle, high) : (low, middle);
        }
        return low;
    }

    private static void Bet(double[] wealth, double outcome, int times)
    {
        for (int i = 0; i < Bets.Length; i++)
        {
            // Rounding can take the outcome a hair below −1.
            wealth[i] += times * Math.Log(Math.Max(1 + Bets[i] * outcome, 0));
        }
    }

    private static double Wealth(double[] logarithms)
    {
        double sum = 0;
        for (int i = 0; i < Bets.Length; i++)
        {
            sum += Weights[i] * Math.Exp(logarithms[i]);
        }
        return Math.Min(sum, MostEvidence);
    }
}
