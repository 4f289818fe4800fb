namespace ContinualNative.Core.Evaluation;

/// <summary>
/// Evidence that one rate of failures is above another, from counts alone. It is a ratio of marginal likelihoods, Σₛ wₛ ∫ L(p, shifted by s) dπ(p) ÷ ∫ L(p, p) dπ(p), with Jeffreys' prior π on the
/// reference's rate p and shifts s of its log-odds (two-sample Bayes factor after Gûnel and Dickey 1974). As both integrals are over the same prior, it is a martingale under equal
/// rates drawn from π: from 1/α on, an alarm is false with probability α at most on average over p, whenever one looks. For a single p that is no theorem; the tests and
/// <c>bench/results</c> say what was measured.
/// </summary>
public static class RateComparison
{
    // Jeffreys' prior is uniform in the angle of p = sin²; so are these points, which all have the same weight.
    private const int Points = 512;

    // A larger record tells hardly more about the rate, and would fall between the points.
    private const double MostReference = 5000;

    // In log-odds: from 7 % these lead to 9.2, 12, 17, 27 and 48 %.
    private static readonly double[] Shifts = [0.3, 0.6, 1, 1.6, 2.5];

    // [s][k]: ln p and ln(1 − p) of point k, shifted by s; s = 0 is no shift.
    private static readonly (double[] Bad, double[] Good)[] Tables = [.. Shifts.Prepend(0).Select(Table)];

    /// <summary>The e-value for "failures are more frequent than in the reference"; 1 without data. Counts are 0 or more.</summary>
    public static double Evidence(int referenceBad, int referenceGood, int bad, int good)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(referenceBad);
        ArgumentOutOfRangeException.ThrowIfNegative(referenceGood);
        ArgumentOutOfRangeException.ThrowIfNegative(bad);
        ArgumentOutOfRangeException.ThrowIfNegative(good);
        double scale = Math.Min(1, MostReference / Math.Max((double)referenceBad + referenceGood, 1));
        double[] reference = new double[Points];
        (double[] logBad, double[] logGood) = Tables[0];
        for (int k = 0; k < Points; k++)
        {
            reference[k] = scale * (referenceBad * logBad[k] + referenceGood * logGood[k]);
        }
        double equal = LogSum(reference, Tables[0], bad, good);
        double sum = 0;
        for (int s = 1; s < Tables.Length; s++)
        {
            sum += Math.Exp(Math.Min(LogSum(reference, Tables[s], bad, good) - equal, 690)) / Shifts.Length;
        }
        return sum;
    }

    // ln Σₖ exp(referenceₖ + bad ln pₖ + good ln(1 − pₖ)).
    private static double LogSum(double[] reference, (double[] Bad, double[] Good) table, int bad, int good)
    {
        Span<double> terms = stackalloc double[Points];
        double most = double.NegativeInfinity;
        for (int k = 0; k < Points; k++)
        {
            terms[k] = reference[k] + bad * table.Bad[k] + good * table.Good[k];
            most = Math.Max(most, terms[k]);
        }
        double sum = 0;
        foreach (double term in terms)
        {
            // Most points are nowhere near what was seen; e⁻⁴⁰ of the largest is beyond the sum's last digit.
            sum += term > most - 40 ? Math.Exp(term - most) : 0;
        }
        return most + Math.Log(sum);
    }

    private static (double[] Bad, double[] Good) Table(double shift)
    {
        double[] bad = new double[Points], good = new double[Points];
        for (int k = 0; k < Points; k++)
        {
            double root = Math.Sin(Math.PI * (k + 0.5) / (2 * Points));
            double odds = root * root / (1 - root * root) * Math.Exp(shift);
            bad[k] = Math.Log(odds / (1 + odds));
            good[k] = -Math.Log(1 + odds);
        }
        return (bad, good);
    }
}
